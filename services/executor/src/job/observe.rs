//! What a Job, its pods and their warnings say, as facts. Nothing is judged here.

use evenkeel_core::start::Stage;
use evenkeel_proto::execution::v1::{Execution, ExecutionState, FailedTask};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::{Job, JobCondition},
    core::v1::{Event, Pod},
};
use kube::ResourceExt as _;

use super::{ENGINE, stage, task};
use crate::{
    engine::Found,
    marks::{self, CANCELLED, wire_time},
};

/// How a Job ended.
pub(crate) struct Ending {
    succeeded: bool,
    reason: String,
    message: String,
    at: Option<Timestamp>,
}

/// How the Job ended, once it has.
pub(crate) fn ending(job: &Job) -> Option<Ending> {
    let end = |type_: &str, succeeded| condition(job, type_).map(|condition| of(condition, succeeded));
    end("Complete", true).or_else(|| end("Failed", false))
}

/// Whether Kubernetes has said that no pod of it is there or will be: it has ended, or was suspended by
/// hand, when no deadline ends it.
pub(super) fn is_at_rest(job: &Job) -> bool {
    let is_suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    let pods = job
        .status
        .as_ref()
        .map_or(0, |status| status.active.unwrap_or(0).saturating_add(status.terminating.unwrap_or(0)));
    ending(job).is_some() || (is_suspended && pods == 0 && condition(job, "Suspended").is_some())
}

fn of(condition: &JobCondition, succeeded: bool) -> Ending {
    Ending {
        succeeded,
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        at: condition.last_transition_time.as_ref().map(|time| time.0),
    }
}

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// The Job as the protocol sees it.
pub(crate) fn found(job: &Job) -> Found {
    Found {
        owner: marks::owner(&job.metadata, ENGINE),
        stage: stage(job),
        going: job.metadata.deletion_timestamp.is_some(),
        uid: job.uid().unwrap_or_default(),
        resource_version: job.resource_version().unwrap_or_default(),
        facts: facts(job, &[], &[], &mut Memory::default()),
    }
}

/// The facts of a run, with what is remembered of it.
pub(super) fn facts(job: &Job, pods: &[&Pod], warnings: &[&Event], memory: &mut Memory) -> Execution {
    let status = job.status.clone().unwrap_or_default();
    let ending = ending(job);
    let (state, reason, message) = standing(job, ending.as_ref());
    let task = memory.take_in(pods, warnings);
    Execution {
        state: state.into(),
        reason,
        message,
        start_time: status.start_time.as_ref().map(|time| wire_time(time.0)),
        completion_time: ending.as_ref().and_then(|ending| ending.at).map(wire_time),
        total_tasks: 1,
        completed_tasks: i32::from(status.succeeded.unwrap_or(0) > 0),
        failed_task: task.and_then(|task| failed_task(job, state, memory, task)),
        workflow_started: memory.started
            || state == ExecutionState::Succeeded
            || memory.is_incomplete(job, pods),
        ..marks::facts(&job.metadata, ENGINE)
    }
}

fn standing(job: &Job, ending: Option<&Ending>) -> (ExecutionState, String, String) {
    let cancelled = job.annotations().get(CANCELLED);
    match (ending, cancelled) {
        (Some(Ending { succeeded: true, message, .. }), _) => {
            (ExecutionState::Succeeded, "Complete".to_owned(), message.clone())
        }
        (Some(_), Some(why)) => (ExecutionState::Failed, "Cancelled".to_owned(), why.clone()),
        (Some(ending), None) => (ExecutionState::Failed, ending.reason.clone(), ending.message.clone()),
        (None, _) if stage(job) == Stage::Inert => {
            (ExecutionState::Inert, "Suspended".to_owned(), String::new())
        }
        (None, _) => {
            let active = job.status.as_ref().and_then(|status| status.active).unwrap_or(0);
            (ExecutionState::Running, "Running".to_owned(), format!("{active} pod(s) active"))
        }
    }
}

/// The task that failed or cannot start. A pod that is ended on purpose, by the deadline or by a cancel,
/// exits badly too, but that is a consequence and no cause.
fn failed_task(job: &Job, state: ExecutionState, memory: &Memory, task: FailedTask) -> Option<FailedTask> {
    if state == ExecutionState::Succeeded {
        return None;
    }
    let Some(purpose) = purpose(job).filter(|_| memory.started) else { return Some(task) };
    Some(FailedTask { cause: purpose.to_owned(), exit_code: None, message: String::new(), ..task })
}

/// What the pods of a Job are ended for, if they are.
fn purpose(job: &Job) -> Option<&'static str> {
    let mut ends = ["Failed", "FailureTarget"].iter().filter_map(|type_| condition(job, type_));
    let is_over = ends.any(|condition| condition.reason.as_deref() == Some("DeadlineExceeded"));
    let purpose = if job.annotations().contains_key(CANCELLED) { "Cancelled" } else { "DeadlineExceeded" };
    is_over.then_some(purpose)
}

/// What was true of a run once and that its objects may not tell any more: the pods of a Job that
/// failed by its deadline, and those that are evicted, are removed.
#[derive(Default)]
pub(super) struct Memory {
    has_seen_pods: bool,
    started: bool,
    /// The task seen last, and whether the workflow had begun by then: what kept it waiting is no cause
    /// any more once it has.
    task: Option<(FailedTask, bool)>,
    /// What the container that failed printed last, not masked.
    pub(super) printed: Option<String>,
}

impl Memory {
    /// Takes in what is there now, and gives the task that failed or cannot start.
    fn take_in(&mut self, pods: &[&Pod], warnings: &[&Event]) -> Option<FailedTask> {
        self.has_seen_pods |= !pods.is_empty();
        self.started |= pods.iter().any(|pod| task::has_started(pod));
        if let Some(printed) = task::printed(pods) {
            self.printed = Some(printed);
        }
        let waits = || task::of_warnings(warnings).filter(|_| !self.started);
        if let Some(task) = task::of_pods(pods).or_else(waits) {
            self.task = Some((task.clone(), self.started));
            return Some(task);
        }
        let remembered =
            self.task.as_ref().filter(|(_, started)| pods.is_empty() && *started == self.started);
        remembered.map(|(task, _)| task.clone())
    }

    /// Whether a pod existed of which nothing is known any more, so that it may have done something.
    fn is_incomplete(&self, job: &Job, pods: &[&Pod]) -> bool {
        let failed = job.status.as_ref().and_then(|status| status.failed).unwrap_or(0);
        failed > 0 && pods.is_empty() && !self.has_seen_pods
    }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
