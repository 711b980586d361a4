//! What the executor says: facts of runs, the lock of a target, and refusals.

use crate::conditions::Millis;

/// Whom a run or a lock belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Namespace of the owner.
    pub namespace: String,
    /// Name of the owner.
    pub name: String,
    /// Its attempt id.
    pub uid: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.namespace.is_empty(), self.name.is_empty()) {
            (_, true) => f.write_str(if self.uid.is_empty() { "an unknown owner" } else { &self.uid }),
            (true, false) => f.write_str(&self.name),
            (false, false) => write!(f, "{}/{}", self.namespace, self.name),
        }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Exists, but nothing runs.
    Inert,
    /// Live.
    #[default]
    Running,
    /// Ended well.
    Succeeded,
    /// Ended otherwise.
    Failed,
}

impl RunState {
    /// Whether it ended.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// The facts of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whom it belongs to.
    pub owner: Owner,
    /// Engine that runs it.
    pub engine: String,
    /// Name of the backend's object.
    pub run_name: String,
    /// Namespace of the backend's object.
    pub run_namespace: String,
    /// Where it stands.
    pub state: RunState,
    /// The backend's reason.
    pub reason: String,
    /// The backend's message.
    pub message: String,
    /// When it went live.
    pub start: Option<Millis>,
    /// When it ended.
    pub completion: Option<Millis>,
    /// Number of tasks.
    pub total_tasks: i64,
    /// Number of tasks that succeeded.
    pub completed_tasks: i64,
    /// The task that failed, or cannot start.
    pub failed_task: Option<FailedTask>,
    /// Whether anything of the workflow ever ran.
    pub workflow_started: bool,
}

/// The task that failed, or cannot start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedTask {
    /// Zero-based position.
    pub index: i64,
    /// Name of its object.
    pub name: String,
    /// Step that failed; empty when unknown.
    pub step: String,
    /// Exit code of the step.
    pub exit_code: Option<i32>,
    /// Machine-readable cause; empty when unknown.
    pub cause: String,
    /// What the backend says of it.
    pub message: String,
    /// What the step printed last. These are the workflow's own words: they are shown to people, and
    /// neither judged nor recorded.
    pub last_lines: Vec<String>,
}

/// The lock of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Fencing token at the time of the reading.
    pub token: i64,
    /// Who holds the target.
    pub holder: Option<Owner>,
    /// Since when.
    pub held_since: Option<Millis>,
    /// Uid of the attempt released last.
    pub released: Option<String>,
    /// The run that exists on the target, whoever it belongs to.
    pub run: Option<Facts>,
}

impl Lock {
    /// The run of an attempt on this target, once it was live.
    pub fn launched_run(&self, uid: &str) -> Option<&Facts> {
        self.run.as_ref().filter(|run| run.owner.uid == uid && run.state != RunState::Inert)
    }
}

/// Why the executor will never start an execution as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// The executor's words.
    pub message: String,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A field of the request is wrong.
    Invalid,
    /// It has no such engine.
    UnknownEngine,
    /// A Secret or ConfigMap is missing or empty.
    DependencyMissing,
    /// A quota.
    QuotaExceeded,
    /// A permission.
    Forbidden,
}

impl RefusalKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Invalid, Self::UnknownEngine, Self::DependencyMissing, Self::QuotaExceeded, Self::Forbidden];
}
