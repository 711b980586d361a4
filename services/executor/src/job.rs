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
use evenkeel_kit::{shutdown::CancellationToken, trace::Carrier};
use evenkeel_proto::execution::v1::EngineCapability;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Secret, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use serde_json::json;

use crate::{
    attempt::Attempt,
    config::Hardening,
    engine::{Created, Engine, Found, Removal, Removed, Rendered},
    error::{self, Error, Result},
    runs::Runs,
};

/// Annotation that says a run went live, also if somebody suspends it afterwards.
const LIVE: &str = "evenkeel.dev/live";
/// Annotation with the reason of a cancel.
const CANCELLED: &str = "evenkeel.dev/cancelled";
const OWNER_UID: &str = "evenkeel.dev/owner-uid";
const OWNER: &str = "evenkeel.dev/owner";
const TOKEN: &str = "evenkeel.dev/token";
const TARGET: &str = "kubernaut.ai/target-resource";
const EXECUTION_LABEL: &str = "kubernaut.ai/workflow-execution";
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

    fn missing(&self, kind: &str, name: &str, what: &str) -> Error {
        Error::DependencyMissing(format!("{kind} {name:?} {what} in namespace {:?}", self.namespace))
    }

    async fn check_secrets(&self, names: &[String]) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        for name in names {
            let secret = api.get_opt(name).await?.ok_or_else(|| self.missing("Secret", name, "not found"))?;
            if secret.data.is_none_or(|data| data.is_empty()) {
                return Err(self.missing("Secret", name, "is empty"));
            }
        }
        Ok(())
    }

    async fn check_config_maps(&self, names: &[String]) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        for name in names {
            let map = api.get_opt(name).await?.ok_or_else(|| self.missing("ConfigMap", name, "not found"))?;
            let is_empty = map.data.is_none_or(|data| data.is_empty())
                && map.binary_data.is_none_or(|data| data.is_empty());
            if is_empty {
                return Err(self.missing("ConfigMap", name, "is empty"));
            }
        }
        Ok(())
    }

    async fn patch(&self, run: &str, patch: serde_json::Value) -> kube::Result<Job> {
        self.api.patch(run, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Swallows the error of a patch when it says that the object is gone or another has its name. The
    /// API server answers 422 to a wrong uid, and to much else; what is there now tells them apart.
    async fn unless_gone(&self, run: &str, uid: &str, error: kube::Error) -> Result<()> {
        match error {
            kube::Error::Api(status) if matches!(status.code, 404 | 409) => Ok(()),
            kube::Error::Api(status) if status.code == 422 => {
                let now = self.api.get_metadata_opt(run).await?;
                let is_there = now.is_some_and(|job| job.metadata.uid.as_deref() == Some(uid));
                if is_there { Err(kube::Error::Api(status).into()) } else { Ok(()) }
            }
            error => Err(error.into()),
        }
    }
}

#[async_trait]
impl Engine for JobEngine {
    fn name(&self) -> &'static str {
        "job"
    }

    fn capabilities(&self) -> &'static [EngineCapability] {
        &[
            EngineCapability::FencedStart,
            EngineCapability::Dependencies,
            EngineCapability::Timeout,
            EngineCapability::Explain,
        ]
    }

    /// Secrets first, then ConfigMaps, in the order given; the first problem is reported.
    #[tracing::instrument(name = "k8s.dependencies.check", skip_all, fields(otel.kind = "client"))]
    async fn check(&self, attempt: &Attempt) -> Result<()> {
        self.check_secrets(&attempt.secrets).await?;
        self.check_config_maps(&attempt.config_maps).await?;
        let account = &attempt.service_account;
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        if !account.is_empty() && api.get_opt(account).await?.is_none() {
            return Err(self.missing("ServiceAccount", account, "not found"));
        }
        Ok(())
    }

    #[tracing::instrument(name = "k8s.job.read", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn look(&self, run: &str) -> Result<Option<Found>> {
        Ok(self.api.get_opt(run).await?.map(|job| observe::found(&job)))
    }

    #[tracing::instrument(name = "k8s.job.create", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = attempt.target.run_name()))]
    async fn create(&self, attempt: &Attempt, token: i64) -> Result<Created> {
        match self.api.create(&PostParams::default(), &self.manifest(attempt, token)).await {
            Ok(job) => Ok(Created::New(job.metadata.uid.unwrap_or_default())),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Created::Exists),
            Err(error) => match error::of_create(error) {
                refusal @ Error::Refused { .. } => Ok(Created::Refused(refusal)),
                other => Err(other),
            },
        }
    }

    #[tracing::instrument(name = "k8s.job.release", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn go_live(&self, run: &str, uid: &str) -> Result<Option<Found>> {
        let patch = json!({
            "metadata": {"uid": uid, "annotations": {LIVE: "true"}},
            "spec": {"suspend": false},
        });
        match self.patch(run, patch).await {
            Ok(job) => Ok(Some(observe::found(&job)).filter(|found| !found.going)),
            Err(error) => self.unless_gone(run, uid, error).await.map(|()| None),
        }
    }

    #[tracing::instrument(name = "k8s.job.delete", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn remove(&self, run: &str, removal: Removal<'_>) -> Result<Removed> {
        let Removal { uid, stage, unchanged_since } = removal;
        // A live Job stays until its pods are gone, so that nobody takes the target before that. One that
        // was never live has no pods, and Kubernetes says that one has ended only when its pods have.
        let propagation = match stage {
            Stage::Live => PropagationPolicy::Foreground,
            Stage::Inert | Stage::Done => PropagationPolicy::Background,
        };
        let resource_version = unchanged_since.map(str::to_owned);
        let parameters = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version }),
            ..DeleteParams::default()
        };
        match self.api.delete(run, &parameters).await {
            // While finalizers hold it the object comes back, and else a status.
            Ok(answer) => Ok(if answer.is_left() { Removed::Going } else { Removed::Gone }),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Removed::Gone),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Removed::Changed),
            Err(error) => Err(error.into()),
        }
    }

    async fn await_gone(&self, run: &str, uid: &str, limit: Duration) -> Result<bool> {
        let gone = await_condition(self.api.clone(), run, is_deleted(uid));
        match tokio::time::timeout(limit, gone).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
            Err(_) => Ok(false),
        }
    }

    /// The deadline ends the pods and marks the Job failed, and leaves its outcome readable.
    #[tracing::instrument(name = "k8s.job.cancel", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.job.name = run))]
    async fn stop(&self, run: &str, uid: &str, reason: &str) -> Result<()> {
        let patch = json!({
            "metadata": {"uid": uid, "annotations": {CANCELLED: reason}},
            "spec": {"activeDeadlineSeconds": 1, "suspend": false},
        });
        match self.patch(run, patch).await {
            Ok(_) => Ok(()),
            Err(error) => self.unless_gone(run, uid, error).await,
        }
    }

    async fn render(&self, attempt: &Attempt, token: i64) -> Result<Rendered> {
        let manifest = self.manifest(attempt, token);
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        // Under a name of its own, since a run may be on the target now.
        let mut trial = manifest;
        trial.metadata.name = Some(format!("{}-trial", attempt.target.run_name()));
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let refusal = match self.api.create(&dry_run, &trial).await {
            Ok(_) => None,
            Err(error) => match error::of_create(error) {
                refusal @ Error::Refused { .. } => Some(refusal),
                other => return Err(other),
            },
        };
        Ok(Rendered { manifests: vec![text], refusal })
    }

    async fn follow(self: Arc<Self>, runs: Runs, shutdown: CancellationToken) {
        follow::follow(self.client.clone(), &self.namespace, runs, shutdown).await;
    }
}

/// How far a Job got. A suspended Job that is not ours was suspended by its owner, for reasons of their
/// own: it counts as live, so that nobody removes it.
fn stage(job: &Job) -> Stage {
    let has = |key: &str| job.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(key));
    let is_live = has(LIVE) || !has(OWNER_UID);
    let is_suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
    if observe::ending(job).is_some() {
        Stage::Done
    } else if is_live || !is_suspended {
        Stage::Live
    } else {
        Stage::Inert
    }
}
