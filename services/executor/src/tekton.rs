//! The engine `tekton`: one PipelineRun per run, born pending.

#[cfg(test)]
mod fixtures;
mod follow;
mod kind;
mod observe;
mod render;
mod secrets;
mod settle;
mod spans;
mod types;
mod words;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use evenkeel_core::start::Stage;
use evenkeel_kit::{shutdown::CancellationToken, trace::Carrier};
use evenkeel_proto::execution::v1::{EngineCapability, Execution};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PostParams, PropagationPolicy},
    core::{ApiResource, DeserializeGuard, DynamicObject, Status},
};
use parking_lot::RwLock;
use serde_json::{Value, json};

use crate::{
    attempt::Attempt,
    engine::{Created, Engine, Found, Removal, Removed, Rendered},
    error::{Error, Result},
    marks::{CANCELLED, LIVE},
    needs, object,
    runs::Runs,
    watch,
};
use kind::Kind;
use types::{PIPELINE_RUN_LABEL, PipelineRun, TaskRun};
use words::Logs;

const ENGINE: &str = evenkeel_core::failure::tekton::ENGINE;
/// What `spec.status` says of a run that Tekton is not to take up yet.
const PENDING: &str = "PipelineRunPending";
/// The same of one that is to end: its tasks are stopped, and what the pipeline does finally is done.
const CANCEL: &str = "CancelledRunFinally";
/// How long the end of a run may be held back until its tasks are seen to have ended.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked whether Tekton is there.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Runs workflows as Tekton pipelines.
pub(crate) struct TektonEngine {
    client: Client,
    api: Api<PipelineRun>,
    /// One task that cannot be read does not keep the others from being read.
    tasks: Api<DeserializeGuard<TaskRun>>,
    pods: Api<Pod>,
    namespace: String,
    logs: Logs,
    run_as_non_root: bool,
    /// How PipelineRuns were served when that was asked last.
    kind: RwLock<Option<Kind>>,
}

impl TektonEngine {
    pub(crate) fn new(client: Client, namespace: &str, run_as_non_root: bool) -> Self {
        let (api, tasks) =
            (Api::namespaced(client.clone(), namespace), Api::namespaced(client.clone(), namespace));
        let pods = Api::namespaced(client.clone(), namespace);
        let logs = Logs::new(client.clone());
        let namespace = namespace.to_owned();
        Self { client, api, tasks, pods, namespace, logs, run_as_non_root, kind: RwLock::default() }
    }

    /// Asks how PipelineRuns are served now.
    async fn discover(&self) -> kube::Result<Kind> {
        let now = kind::discover(&self.client).await?;
        let before = self.kind.write().replace(now.clone());
        if before.as_ref() != Some(&now) {
            match now.problem() {
                None => tracing::info!("Tekton is there"),
                Some(problem) => tracing::info!("the engine '{ENGINE}' is not available: {problem}"),
            }
        }
        Ok(now)
    }

    fn is(&self, kind: &Kind) -> bool {
        self.kind.read().as_ref() == Some(kind)
    }

    /// Asks again and again until PipelineRuns are served, or are not.
    async fn until_served(&self, served: bool, runs: &Runs) {
        loop {
            match self.discover().await {
                Ok(kind) => {
                    if kind != Kind::Served {
                        runs.set_synced(ENGINE);
                    }
                    if (kind == Kind::Served) == served {
                        return;
                    }
                }
                Err(error) => tracing::warn!("could not ask whether Tekton is there: {error}"),
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    #[tracing::instrument(name = "k8s.pipelinerun.read", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.pipelinerun.name = run))]
    async fn read(&self, run: &str) -> kube::Result<PipelineRun> {
        self.api.get(run).await
    }

    /// What an answer means that says neither yes nor no to a question for a run. Without the kind there
    /// is no run, and no permission is needed to know that. That the kind is not listed is not enough: an
    /// API server that is starting may list less than it serves. Whatever cannot be told is an error: a
    /// run that is not seen may be live.
    async fn look_elsewhere(&self, run: &str, status: Box<Status>) -> Result<Option<Found>> {
        let kind = self.discover().await?;
        match &kind {
            Kind::Absent => Ok(None),
            Kind::Served => Err(kube::Error::Api(status).into()),
            Kind::Elsewhere(version) => {
                if kind::exists_in(&self.client, &self.namespace, version, run).await? {
                    let problem = kind.problem().unwrap_or_default();
                    let why = format!("the PipelineRun {run} is there and cannot be read: {problem}");
                    return Err(Error::RunUnreadable(why));
                }
                Ok(None)
            }
        }
    }

    /// The end of this very run with its tasks and last words, once its tasks are seen to have ended, or it
    /// is too late for that.
    async fn end(&self, found: &Found) -> kube::Result<Option<Execution>> {
        let name = &found.facts.run_name;
        let of_run = ListParams::default().labels(&format!("{PIPELINE_RUN_LABEL}={name}"));
        let (run, tasks) = futures::try_join!(self.read(name), self.tasks.list(&of_run))?;
        if run.metadata.uid.as_ref() != Some(&found.uid) {
            return Ok(None);
        }
        let tasks = tasks.items.iter().filter_map(|task| task.0.as_ref().ok());
        let tasks: Vec<_> = tasks.filter(|task| task.belongs_to(&found.uid)).collect();
        if !observe::is_whole(&run, &tasks) && observe::has_just_ended(&run) {
            return Ok(None);
        }
        let mut facts = observe::facts(&run, &tasks);
        if let Some(question) = words::question(&run, &tasks, &facts) {
            let lines = self.logs.ask(&question).await;
            if let Some(task) = &mut facts.failed_task {
                task.last_lines = lines;
            }
        }
        Ok(Some(facts))
    }

    /// Why a run cannot be created when the API server does not know what a PipelineRun is.
    async fn refusal(&self) -> Error {
        match self.discover().await.map(|kind| kind.problem()) {
            Ok(Some(why)) => Error::EngineUnavailable { engine: ENGINE, why },
            Ok(None) => Error::Unavailable("Tekton has only just come".to_owned()),
            Err(error) => error.into(),
        }
    }

    fn manifest(&self, attempt: &Attempt, token: i64) -> Value {
        let trace = Carrier::current();
        render::pipeline_run(attempt, &self.namespace, token, trace.as_ref(), self.run_as_non_root)
    }

    /// Where manifests are sent, which hold more of a PipelineRun than is read here.
    fn manifests(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<PipelineRun>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }
}

fn object_of(manifest: Value) -> Result<DynamicObject> {
    serde_json::from_value(manifest).map_err(|error| Error::Unavailable(error.to_string()))
}

#[async_trait]
impl Engine for TektonEngine {
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

    fn unavailable(&self) -> Option<String> {
        match &*self.kind.read() {
            Some(kind) => kind.problem(),
            None => Some("it is not known yet whether Tekton is there".to_owned()),
        }
    }

    async fn check(&self, attempt: &Attempt) -> Result<()> {
        if !self.is(&Kind::Served)
            && let Some(why) = self.discover().await?.problem()
        {
            return Err(Error::EngineUnavailable { engine: ENGINE, why });
        }
        needs::check(&self.client, &self.namespace, attempt).await
    }

    async fn look(&self, run: &str) -> Result<Option<Found>> {
        match self.read(run).await {
            Ok(run) => Ok(Some(observe::found(&run))),
            Err(kube::Error::Api(status)) if object::is_missing(&status) => Ok(None),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                self.look_elsewhere(run, status).await
            }
            Err(kube::Error::SerdeError(error)) => {
                let why = format!("what is answered for the PipelineRun {run} cannot be read: {error}");
                Err(Error::RunUnreadable(why))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The end of a run is final for those who hear of it, so it comes whole or later: who is told that a
    /// run is ending asks again.
    async fn tell(&self, found: Found) -> Execution {
        if found.stage != Stage::Done {
            return found.facts;
        }
        match self.end(&found).await {
            Ok(Some(facts)) => return facts,
            Ok(None) => {}
            Err(error) => tracing::debug!(run = found.facts.run_name, "could not read its tasks: {error}"),
        }
        let mut facts = found.facts;
        watch::hold_back(&mut facts);
        facts
    }

    #[tracing::instrument(name = "k8s.pipelinerun.create", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.pipelinerun.name = attempt.target.run_name()))]
    async fn create(&self, attempt: &Attempt, token: i64) -> Result<Created> {
        let run = object_of(self.manifest(attempt, token))?;
        match self.manifests().create(&PostParams::default(), &run).await {
            Err(kube::Error::Api(status)) if status.code == 404 && !object::is_missing(&status) => {
                match self.refusal().await {
                    refusal @ Error::EngineUnavailable { .. } => Ok(Created::Refused(refusal)),
                    other => Err(other),
                }
            }
            answer => object::created(answer),
        }
    }

    /// The patch holds only for what is still pending. Another executor may have woken this run before,
    /// and somebody cancelled it since: a late patch that merely cleared `spec.status` would undo that.
    #[tracing::instrument(name = "k8s.pipelinerun.release", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.pipelinerun.name = run))]
    async fn go_live(&self, run: &str, uid: &str) -> Result<Option<Found>> {
        let operations = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": "/spec/status", "value": PENDING},
            {"op": "remove", "path": "/spec/status"},
            {"op": "add", "path": format!("/metadata/annotations/{}", LIVE.replace('/', "~1")), "value": "true"},
        ]);
        let patch =
            serde_json::from_value(operations).map_err(|error| Error::Unavailable(error.to_string()))?;
        let live = match object::patch(&self.api, run, uid, &Patch::Json(patch)).await {
            Ok(live) => live.map(|run| observe::found(&run)),
            Err(kube::Error::Api(status)) if status.code == 422 => {
                let now = self.look(run).await?.filter(|found| found.uid == uid);
                if now.as_ref().is_some_and(|found| found.stage == Stage::Inert) {
                    return Err(kube::Error::Api(status).into());
                }
                now
            }
            Err(error) => return Err(error.into()),
        };
        Ok(live.filter(|found| !found.going))
    }

    async fn settle(&self, run: &str, uid: &str, stage: Stage) -> Result<()> {
        if stage == Stage::Live {
            settle::end(&self.api, run, uid).await?;
        }
        settle::clear(&self.tasks, &self.pods, uid).await
    }

    #[tracing::instrument(name = "k8s.pipelinerun.delete", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.pipelinerun.name = run))]
    async fn remove(&self, run: &str, removal: Removal<'_>) -> Result<Removed> {
        object::remove(&self.api, run, &removal, PropagationPolicy::Foreground).await
    }

    async fn await_gone(&self, run: &str, uid: &str, limit: Duration) -> Result<bool> {
        object::await_gone(&self.api, run, uid, limit).await
    }

    /// Tekton refuses every change of a run that has ended, with a 400: there is nothing left to stop.
    #[tracing::instrument(name = "k8s.pipelinerun.cancel", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.pipelinerun.name = run))]
    async fn stop(&self, run: &str, uid: &str, reason: &str) -> Result<()> {
        let patch = Patch::Merge(json!({
            "metadata": {"uid": uid, "annotations": {CANCELLED: reason}},
            "spec": {"status": CANCEL},
        }));
        match object::patch(&self.api, run, uid, &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 400 => {
                let now = self.look(run).await?.filter(|found| found.uid == uid);
                let is_over = now.is_none_or(|found| found.stage == Stage::Done);
                if is_over { Ok(()) } else { Err(kube::Error::Api(status).into()) }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn render(&self, attempt: &Attempt, token: i64) -> Result<Rendered> {
        let manifest = self.manifest(attempt, token);
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        let mut trial = object_of(manifest)?;
        // Under a name of its own, since a run may be on the target now.
        trial.metadata.name = Some(format!("{}-trial", attempt.target.run_name()));
        let refusal = object::try_out(&self.manifests(), &trial).await?;
        Ok(Rendered { manifests: vec![text], refusal })
    }

    /// Watches while there is something to watch. What was seen is kept while there is not: that Tekton
    /// is away does not mean that its runs are gone.
    async fn follow(self: Arc<Self>, runs: Runs, shutdown: CancellationToken) {
        let following = async {
            let mut seen = follow::Seen::default();
            loop {
                self.until_served(true, &runs).await;
                tokio::select! {
                    () = follow::publish(&self.client, &self.namespace, &self.logs, &mut seen, &runs) => {}
                    () = self.until_served(false, &runs) => {}
                }
            }
        };
        shutdown.run_until_cancelled(following).await;
    }
}

#[cfg(test)]
#[path = "tekton/engine_tests.rs"]
mod tests;
