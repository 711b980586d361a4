//! PipelineRuns and TaskRuns, as far as they are read here. Everything may be absent, and what is not
//! known is passed over, so that one release of Tekton is as good as another.

use k8s_openapi::{
    Metadata, NamespaceResourceScope, Resource,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use serde::{Deserialize, de::IgnoredAny};

use super::secrets;

/// Group of Tekton's kinds.
pub(super) const GROUP: &str = "tekton.dev";
/// The version in which runs are made and read.
pub(super) const VERSION: &str = "v1";

/// Label that Tekton puts on the TaskRuns of a PipelineRun. It hands our own labels down, too.
pub(super) const PIPELINE_RUN_LABEL: &str = "tekton.dev/pipelineRun";
/// The same with the uid of the PipelineRun, also on the pods.
pub(super) const PIPELINE_RUN_UID_LABEL: &str = "tekton.dev/pipelineRunUID";
/// The same with the name of the task in its pipeline.
pub(super) const PIPELINE_TASK_LABEL: &str = "tekton.dev/pipelineTask";

/// A pipeline that runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PipelineRun {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: Spec,
    pub(super) status: Status,
}

/// What a run was given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    /// What is asked of it, such as `PipelineRunPending` or `CancelledRunFinally`.
    pub(super) status: String,
    /// Whether any of its workspaces is bound to Secrets.
    #[serde(rename = "workspaces", deserialize_with = "secrets::are_read")]
    pub(super) has_secrets: bool,
}

/// How far a run got.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) conditions: Vec<Condition>,
    pub(super) start_time: Option<Time>,
    pub(super) completion_time: Option<Time>,
    pub(super) child_references: Vec<ChildReference>,
    pub(super) results: Vec<PipelineResult>,
}

/// A condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) last_transition_time: Option<Time>,
}

/// A task of a run: a TaskRun, or something of another kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ChildReference {
    pub(super) kind: String,
    pub(super) name: String,
}

/// What a pipeline says came of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PipelineResult {
    pub(super) name: String,
    /// A text, a list of texts, or an object of texts.
    pub(super) value: serde_json::Value,
}

/// A task that runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TaskRun {
    pub(super) metadata: ObjectMeta,
    /// Whether it was given Secrets, by its workspaces or for its pod.
    #[serde(rename = "spec", deserialize_with = "secrets::are_read")]
    is_given_secrets: bool,
    pub(super) status: TaskStatus,
}

impl TaskRun {
    /// Whether anything in it was given Secrets.
    pub(super) fn has_secrets(&self) -> bool {
        self.is_given_secrets || self.status.takes_secrets
    }

    /// Whether it is a task of the PipelineRun of this uid, and not of an earlier one of its name.
    pub(super) fn belongs_to(&self, run_uid: &str) -> bool {
        self.metadata.owner_references.iter().flatten().any(|owner| owner.uid == run_uid)
    }
}

/// How far a task got.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct TaskStatus {
    /// Whether the task itself takes Secrets, as it was resolved.
    #[serde(rename = "taskSpec", deserialize_with = "secrets::are_read")]
    takes_secrets: bool,
    pub(super) conditions: Vec<Condition>,
    pub(super) start_time: Option<Time>,
    pub(super) completion_time: Option<Time>,
    /// Pod of the last try.
    pub(super) pod_name: String,
    pub(super) steps: Vec<Step>,
    /// One for each earlier try. What they came to fills no memory.
    pub(super) retries_status: Vec<IgnoredAny>,
}

/// A step of a task, in one container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) container: String,
    pub(super) running: Option<IgnoredAny>,
    pub(super) terminated: Option<Terminated>,
    /// Why it ended, as Tekton sees it, such as `Continued`, `Skipped` or `TimeoutExceeded`.
    pub(super) termination_reason: String,
}

/// How a step ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) reason: String,
    pub(super) started_at: Option<Time>,
    pub(super) finished_at: Option<Time>,
}

/// The condition that says how a run or a task stands.
pub(super) fn succeeded(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == "Succeeded")
}

/// The same, once it has ended.
pub(super) fn ending(conditions: &[Condition]) -> Option<&Condition> {
    succeeded(conditions).filter(|condition| matches!(condition.status.as_str(), "True" | "False"))
}

impl Resource for PipelineRun {
    const API_VERSION: &'static str = "tekton.dev/v1";
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = "PipelineRun";
    const VERSION: &'static str = VERSION;
    const URL_PATH_SEGMENT: &'static str = "pipelineruns";
    type Scope = NamespaceResourceScope;
}

impl Metadata for PipelineRun {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Resource for TaskRun {
    const API_VERSION: &'static str = "tekton.dev/v1";
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = "TaskRun";
    const VERSION: &'static str = VERSION;
    const URL_PATH_SEGMENT: &'static str = "taskruns";
    type Scope = NamespaceResourceScope;
}

impl Metadata for TaskRun {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
