//! The engine `job`: one Kubernetes Job per run, born suspended.

mod follow;
mod mask;
mod observe;
mod render;
mod task;
mod words;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use evenkeel_core::start::Stage;
use evenkeel_kit::{failpoint, shutdown::CancellationToken, trace::Carrier};
use evenkeel_proto::execution::v1::EngineCapability;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PostParams, PropagationPolicy},
};
use serde_json::json;

use crate::{
    attempt::Attempt,
    config::Hardening,
    engine::{Created, Engine, Found, Removal, Removed, Rendered},
    error::Result,
    marks::{self, CANCELLED, LIVE},
    needs, object,
    runs::Runs,
};

const ENGINE: &str = "job";
/// The one container of a run.
const CONTAINER: &str = "workflow";

/// Runs workflows as Kubernetes Jobs.
pub(crate) struct JobEngine {
    client: Client,
    api: Api<Job>,
    namespace: String,
    hardening: Hardening,
}

impl JobEngine {
    pub(crate) fn new(client: Client, namespace: &str, hardening: Hardening) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { client, api, namespace: namespace.to_owned(), hardening }
    }

    fn manifest(&self, attempt: &Attempt, token: i64) -> Job {
        render::job(attempt, &self.namespace, token, Carrier::current().as_ref(), self.hardening)
    }
}

#[async_trait]
impl Engine for JobEngine {
    fn name(&self) -> &'static str {
        ENGINE
    }

    fn capabilities(&self) -> &'static [EngineCapability] {
        &[
            EngineCapability::FencedStart,
            EngineCapability::Dependencies,
            EngineCapability::Timeout,
            EngineCapability::Explain,
        ]
    }

    async fn check(&self, attempt: &Attempt) -> Result<()> {
        needs::check(&self.client, &self.namespace, attempt).await
    }

    #[tracing::instrument(name = "k8s.job.read", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn look(&self, run: &str) -> Result<Option<Found>> {
        Ok(self.api.get_opt(run).await?.map(|job| observe::found(&job)))
    }

    #[tracing::instrument(name = "k8s.job.create", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = attempt.target.run_name()))]
    async fn create(&self, attempt: &Attempt, token: i64) -> Result<Created> {
        object::created(self.api.create(&PostParams::default(), &self.manifest(attempt, token)).await)
    }

    #[tracing::instrument(name = "k8s.job.release", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn go_live(&self, run: &str, uid: &str) -> Result<Option<Found>> {
        let patch = json!({
            "metadata": {"uid": uid, "annotations": {LIVE: "true"}},
            "spec": {"suspend": false},
        });
        let live = object::patch(&self.api, run, uid, &Patch::Merge(patch)).await?;
        Ok(live.map(|job| observe::found(&job)).filter(|found| !found.going))
    }

    /// Kubernetes says that a Job has ended only when its pods have, and makes no others then. Of one that
    /// is deleted it may be about to make a pod, and the garbage collector waits only for pods that it has
    /// heard of.
    async fn settle(&self, run: &str, uid: &str, stage: Stage) -> Result<()> {
        if stage == Stage::Done {
            return Ok(());
        }
        failpoint::hit("executor.end.before");
        let end = json!({"metadata": {"uid": uid}, "spec": {"activeDeadlineSeconds": 1}});
        object::patch(&self.api, run, uid, &Patch::Merge(end)).await?;
        failpoint::hit("executor.end.after");
        let is_so = |job: &Job| job.uid().as_deref() != Some(uid) || observe::is_at_rest(job);
        object::until(&self.api, run, is_so).await
    }

    #[tracing::instrument(name = "k8s.job.delete", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn remove(&self, run: &str, removal: Removal<'_>) -> Result<Removed> {
        // One that has just ended goes with its pods; of the others they have been gone, or never were.
        let propagation = match removal.stage {
            Stage::Live => PropagationPolicy::Foreground,
            Stage::Inert | Stage::Done => PropagationPolicy::Background,
        };
        object::remove(&self.api, run, &removal, propagation).await
    }

    async fn await_gone(&self, run: &str, uid: &str, limit: Duration) -> Result<bool> {
        object::await_gone(&self.api, run, uid, limit).await
    }

    /// The deadline ends the pods and marks the Job failed, and leaves its outcome readable.
    #[tracing::instrument(name = "k8s.job.cancel", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn stop(&self, run: &str, uid: &str, reason: &str) -> Result<()> {
        let patch = json!({
            "metadata": {"uid": uid, "annotations": {CANCELLED: reason}},
            "spec": {"activeDeadlineSeconds": 1, "suspend": false},
        });
        object::patch(&self.api, run, uid, &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn render(&self, attempt: &Attempt, token: i64) -> Result<Rendered> {
        let manifest = self.manifest(attempt, token);
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        // Under a name of its own, since a run may be on the target now.
        let mut trial = manifest;
        trial.metadata.name = Some(format!("{}-trial", attempt.target.run_name()));
        let refusal = object::try_out(&self.api, &trial).await?;
        Ok(Rendered { manifests: vec![text], refusal })
    }

    async fn follow(self: Arc<Self>, runs: Runs, shutdown: CancellationToken) {
        follow::follow(self.client.clone(), &self.namespace, runs, shutdown).await;
    }
}

/// How far a Job got.
fn stage(job: &Job) -> Stage {
    let is_suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
    if observe::ending(job).is_some() {
        Stage::Done
    } else if is_suspended && marks::was_never_live(&job.metadata) {
        Stage::Inert
    } else {
        Stage::Live
    }
}
