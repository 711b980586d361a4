//! What the step that made a run fail printed last. Tekton keeps notes of its own where a container may
//! leave its last words, so they are read from the step's log, as long as its pod is there.

use std::time::Duration;

use evenkeel_core::quote;
use evenkeel_kit::trace::Carrier;
use evenkeel_proto::execution::v1::{Execution, ExecutionState};
use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, LogParams},
    core::{ApiResource, DynamicObject},
};
use tokio::{sync::Semaphore, time::timeout};
use tracing::Instrument as _;

use super::{
    observe, secrets, spans,
    types::{PipelineRun, TaskRun},
};

/// How long the end of a run may be held back for the sake of its last words.
const PATIENCE: Duration = Duration::from_secs(2);
/// More lines than are told, since empty ones are left out.
const LINES: i64 = 20;
/// That many bytes are read at most, counted from the first of those lines: not to be told, but so that
/// lines without end fill no memory. A log keeps no more than 16 KiB in one piece.
const BYTES: i64 = 512 * 1024;
/// How many logs are read at a time, when an executor starts that has many runs.
const TURNS: usize = 8;

/// The log in which the last words of a run are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) run: String,
    /// Uid of the PipelineRun.
    pub(super) uid: String,
    namespace: String,
    pod: String,
    container: String,
    /// The trace that the run carries.
    trace: Option<Carrier>,
}

/// Where the last words of a run are, when it has failed by a step that ran. Of a run that was given
/// Secrets nothing is told, since any line may hold a value of theirs, handed on by another task perhaps.
pub(super) fn question(run: &PipelineRun, tasks: &[&TaskRun], facts: &Execution) -> Option<Question> {
    if facts.state() != ExecutionState::Failed || observe::has_secrets(run, tasks) {
        return None;
    }
    let failed = facts.failed_task.as_ref()?;
    let task = observe::find(tasks, &failed.name)?;
    let mut steps = task.status.steps.iter();
    let step = steps.find(|step| step.name == failed.step && observe::has_begun(task, step))?;
    let (pod, container) = (task.status.pod_name.clone(), step.container.clone());
    let is_known = !pod.is_empty() && !container.is_empty();
    is_known.then(|| Question {
        run: run.name_any(),
        uid: run.uid().unwrap_or_default(),
        namespace: run.namespace().unwrap_or_default(),
        pod,
        container,
        trace: spans::parent(run),
    })
}

/// Reads logs, some at a time.
pub(super) struct Logs {
    client: Client,
    turns: Semaphore,
}

impl Logs {
    pub(super) fn new(client: Client) -> Self {
        Self { client, turns: Semaphore::new(TURNS) }
    }

    /// The last lines of a log. That it is gone, or cannot be read in time, is no reason to tell nothing
    /// of a failure.
    pub(super) async fn ask(&self, question: &Question) -> Vec<String> {
        let (pod, container) = (&question.pod, &question.container);
        let read = async {
            let _turn = self.turns.acquire().await;
            self.read(question).await
        };
        match timeout(PATIENCE, read).await {
            Ok(Ok(printed)) => return quote::last_lines(&String::from_utf8_lossy(&printed)),
            Ok(Err(error)) => {
                tracing::info!(pod, container, "could not read what a step printed last: {error}");
            }
            Err(_) => {
                tracing::info!(pod, container, "what a step printed last was not read in time");
            }
        }
        Vec::new()
    }

    /// Pods as they are, also with what is newer than what is known here.
    fn pods(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<Pod>(&()))
    }

    async fn read(&self, question: &Question) -> kube::Result<Vec<u8>> {
        let Question { namespace, pod, container, .. } = question;
        let span = tracing::info_span!(parent: None, "k8s.pod.log.read", otel.kind = "client",
            k8s.namespace.name = namespace, k8s.pod.name = pod, k8s.container.name = container);
        if let Some(trace) = &question.trace {
            trace.adopt(&span);
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let only = ListParams::default().fields(&format!("metadata.name={pod}"));
        let parameters = LogParams {
            container: Some(container.clone()),
            tail_lines: Some(LINES),
            limit_bytes: Some(BYTES),
            ..LogParams::default()
        };
        let read = async {
            let mut printed = Vec::new();
            // The pod knows of more than its task: Tekton gives it what belongs to its ServiceAccount, and
            // webhooks give it what they like. It is listed, since nothing else needs `get`.
            let found = self.pods(namespace).list(&only).await?.items;
            if found.first().is_none_or(|pod| secrets::are_in(&pod.data["spec"])) {
                tracing::debug!(pod, "it is gone, or was given Secrets, so what it printed is not read");
                return Ok(printed);
            }
            let mut log = api.log_stream(pod, &parameters).await?;
            log.read_to_end(&mut printed).await.map_err(kube::Error::ReadEvents)?;
            Ok(printed)
        };
        read.instrument(span).await
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
