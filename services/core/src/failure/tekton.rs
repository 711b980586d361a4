//! What Tekton says of a PipelineRun. It has words where others have causes, so they are read: as
//! words, in the order of the contract.

use super::{Reason, text::has};
use crate::facts::FailedTask;

/// Name of the engine.
pub const ENGINE: &str = "tekton";

/// Reason of a TaskRun for whose pod a quota has no room. Tekton tries again for as long as the run may
/// take, so it is told before Tekton gives it up, as of a Job.
const CROWDED: &str = "ExceededResourceQuota";
/// The cause that it is, whatever the engine.
const NO_QUOTA: &str = "QuotaExceeded";

/// The reason behind the condition `Succeeded` of a PipelineRun that failed.
pub fn of_condition(reason: &str, message: &str) -> Reason {
    let reason = reason.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| has(message, phrase));
    if says(&["oomkilled", "oom"]) {
        Reason::OomKilled
    } else if reason.contains("timeout") || says(&["timeout", "deadline"]) {
        Reason::DeadlineExceeded
    } else if says(&["forbidden", "rbac", "permission denied"]) {
        Reason::Forbidden
    } else if says(&["quota", "resource exhausted"]) {
        Reason::ResourceExhausted
    } else if says(&["imagepullbackoff", "image pull"]) {
        Reason::ImagePullBackOff
    } else if says(&["invalid", "configuration"]) {
        Reason::ConfigurationError
    } else if reason.contains("taskfailed") || (says(&["task", "taskrun"]) && says(&["failed"])) {
        Reason::TaskFailed
    } else {
        Reason::Unknown
    }
}

/// Whether anything of a pipeline may have run: `started` when it has a start time, `has_children` when
/// any of its tasks was created.
pub fn may_have_run(started: bool, has_children: bool, reason: Reason) -> bool {
    let keeps_from_running =
        matches!(reason, Reason::ImagePullBackOff | Reason::ConfigurationError | Reason::ResourceExhausted);
    let comes_from_running = matches!(
        reason,
        Reason::OomKilled | Reason::DeadlineExceeded | Reason::Forbidden | Reason::TaskFailed
    );
    match (started, has_children) {
        (true, _) => !keeps_from_running,
        (false, true) => true,
        (false, false) => comes_from_running,
    }
}

/// A child of a PipelineRun, in the order of its `childReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Its kind, such as `TaskRun`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Whether it failed; false for one that cannot be read.
    pub failed: bool,
    /// Why, in a word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
}

/// A step of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// How it exited; none while it runs.
    pub exit_code: Option<i32>,
    /// What the container says of its end, such as `OOMKilled`.
    pub reason: String,
}

/// The first TaskRun that failed, or that a quota keeps out, with the first step of it that did. Its position counts every child,
/// also those that are no TaskRun.
pub fn failed_task(children: &[Child]) -> Option<FailedTask> {
    let has_failed = |child: &Child| child.kind == "TaskRun" && (child.failed || child.reason == CROWDED);
    let (index, child) = children.iter().enumerate().find(|(_, child)| has_failed(child))?;
    let reason = if child.reason == CROWDED { NO_QUOTA } else { &child.reason };
    let step = child.steps.iter().find(|step| step.exit_code.is_some_and(|code| code != 0));
    let cause = step.map(|step| step.reason.as_str()).filter(|reason| !reason.is_empty());
    Some(FailedTask {
        index: i64::try_from(index).unwrap_or(i64::MAX),
        name: child.name.clone(),
        step: step.map(|step| step.name.clone()).unwrap_or_default(),
        exit_code: step.and_then(|step| step.exit_code),
        cause: cause.unwrap_or(reason).to_owned(),
        message: child.message.clone(),
        last_lines: Vec::new(),
    })
}

#[cfg(test)]
#[path = "tekton_tests.rs"]
mod tests;
