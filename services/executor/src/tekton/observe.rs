//! What a PipelineRun and its TaskRuns say, as facts. Nothing is judged here.

use std::time::Duration;

use evenkeel_core::{
    failure::tekton::{self as rules, Child},
    quote,
    start::Stage,
};
use evenkeel_proto::execution::v1::{Execution, ExecutionState, FailedTask};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    ENGINE, PATIENCE, PENDING,
    types::{PipelineRun, Step, TaskRun, Terminated, ending, succeeded},
};
use crate::{
    engine::Found,
    marks::{self, CANCELLED, wire_time},
};

const TASK_RUN: &str = "TaskRun";
/// Reason of a TaskRun that failed where its pipeline goes on all the same.
const IGNORED: &str = "FailureIgnored";
/// What Tekton says of steps that failed and did not fail their task, or that were passed over.
const NO_FAILURE: [&str; 2] = ["Continued", "Skipped"];
/// What Tekton says of a step that its entrypoint ended, since its own timeout was over or it was
/// cancelled.
pub(super) const ENDED: [&str; 2] = ["TimeoutExceeded", "Cancelled"];
/// Reason of a TaskRun whose pod has all its containers. Before that no step begins, since steps wait
/// inside of their containers to be told to.
const RUNNING: &str = "Running";
/// Reasons of TaskRuns whose pod never got so far.
const NEVER_RAN: [&str; 4] =
    ["TaskRunImagePullFailed", "CreateContainerConfigError", "PodCreationFailed", "PodAdmissionFailed"];
/// Reason of a TaskRun whose pod lost its place, and may not tell any more what it did.
const EVICTED: &str = "PodEvicted";
/// Reasons of containers that ended without having started.
const NEVER_STARTED: [&str; 2] = ["StartError", "ContainerCannotRun"];
/// How many bytes of results are told.
const RESULTS_LIMIT: usize = 1024;

/// How far a run got. Tekton does not take up what is pending, and refuses to make pending again what
/// it has taken up.
pub(super) fn stage(run: &PipelineRun) -> Stage {
    if ending(&run.status.conditions).is_some() {
        Stage::Done
    } else if run.spec.status == PENDING && marks::was_never_live(&run.metadata) {
        Stage::Inert
    } else {
        Stage::Live
    }
}

/// The PipelineRun as the protocol sees it.
pub(super) fn found(run: &PipelineRun) -> Found {
    Found {
        owner: marks::owner(&run.metadata, ENGINE),
        stage: stage(run),
        going: run.metadata.deletion_timestamp.is_some(),
        uid: run.metadata.uid.clone().unwrap_or_default(),
        resource_version: run.metadata.resource_version.clone().unwrap_or_default(),
        facts: facts(run, &[]),
    }
}

/// The facts of a run, with its tasks as far as they are known.
pub(super) fn facts(run: &PipelineRun, tasks: &[&TaskRun]) -> Execution {
    let (state, reason, message) = standing(run, tasks);
    let status = &run.status;
    let completed = tasks.iter().filter(|task| is(task, "True")).count();
    let failed = matches!(state, ExecutionState::Running | ExecutionState::Failed);
    Execution {
        state: state.into(),
        reason,
        message,
        start_time: status.start_time.as_ref().map(|time| wire_time(time.0)),
        completion_time: ended_at(run).map(wire_time),
        total_tasks: i32::try_from(status.child_references.len()).unwrap_or(i32::MAX),
        completed_tasks: i32::try_from(completed).unwrap_or(i32::MAX),
        failed_task: failed.then(|| failed_task(run, tasks)).flatten(),
        workflow_started: tasks.iter().any(|task| has_started(task)) || has_unknown_child(run, tasks),
        ..marks::facts(&run.metadata, ENGINE)
    }
}

/// When a run ended, once it has.
fn ended_at(run: &PipelineRun) -> Option<Timestamp> {
    let ending = ending(&run.status.conditions)?;
    run.status.completion_time.as_ref().or(ending.last_transition_time.as_ref()).map(|time| time.0)
}

/// Whether it is not known what some child did: one of another kind, or one that is not there any more
/// when the run has ended.
fn has_unknown_child(run: &PipelineRun, tasks: &[&TaskRun]) -> bool {
    let has_ended = ending(&run.status.conditions).is_some();
    run.status.child_references.iter().any(|child| child.kind != TASK_RUN)
        || (has_ended && task_runs(run).any(|name| find(tasks, name).is_none()))
}

/// Whether all is known that belongs to the end of this run. Tekton says that a run has ended when it
/// has told its tasks to end, and one watch may be ahead of the other.
pub(super) fn is_whole(run: &PipelineRun, tasks: &[&TaskRun]) -> bool {
    ending(&run.status.conditions).is_none()
        || task_runs(run)
            .all(|name| find(tasks, name).is_some_and(|task| ending(&task.status.conditions).is_some()))
}

/// Whether a run has ended so short a time ago that its tasks may still be about to be seen to have ended.
pub(super) fn has_just_ended(run: &PipelineRun) -> bool {
    let Some(at) = ended_at(run) else { return false };
    // What is less than nothing is a clock that goes wrong.
    Duration::try_from(Timestamp::now().duration_since(at)).ok().is_none_or(|since| since < PATIENCE)
}

/// Whether anything of the workflow began in this task, in this try or an earlier one.
pub(super) fn has_started(task: &TaskRun) -> bool {
    !task.status.retries_status.is_empty()
        || reason(task) == EVICTED
        || task.status.steps.iter().any(|step| has_begun(task, step))
}

/// Whether a step of a task began, as far as its last try tells.
pub(super) fn has_begun(task: &TaskRun, step: &Step) -> bool {
    let reason = reason(task);
    match &step.terminated {
        _ if NEVER_RAN.contains(&reason) => false,
        Some(exit) if exit.reason == reason => was_running(task, exit),
        Some(exit) => !NEVER_STARTED.contains(&exit.reason.as_str()),
        None => step.running.is_some() && reason == RUNNING,
    }
}

/// Whether a step that Tekton ended had a container that ran: of one that had none, the time of the
/// TaskRun's creation is given as its start.
fn was_running(task: &TaskRun, exit: &Terminated) -> bool {
    let created = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
    exit.started_at.as_ref().is_some_and(|time| Some(time.0) > created)
}

pub(super) fn reason(task: &TaskRun) -> &str {
    succeeded(&task.status.conditions).map_or("", |condition| condition.reason.as_str())
}

fn standing(run: &PipelineRun, tasks: &[&TaskRun]) -> (ExecutionState, String, String) {
    if stage(run) == Stage::Inert {
        return (ExecutionState::Inert, PENDING.to_owned(), String::new());
    }
    let Some(condition) = succeeded(&run.status.conditions) else {
        return (ExecutionState::Running, "Pending".to_owned(), String::new());
    };
    let (reason, message) = (condition.reason.clone(), condition.message.clone());
    match (condition.status.as_str(), marks::note(&run.metadata, CANCELLED)) {
        ("True", _) => (ExecutionState::Succeeded, reason, message + &results(run, tasks)),
        ("False", Some(why)) => (ExecutionState::Failed, "Cancelled".to_owned(), why.to_owned()),
        ("False", None) => (ExecutionState::Failed, reason, message),
        _ => (ExecutionState::Running, reason, message),
    }
}

/// Names of the TaskRuns of a run, in the order in which Tekton names them.
fn task_runs(run: &PipelineRun) -> impl Iterator<Item = &str> {
    let children = run.status.child_references.iter().filter(|child| child.kind == TASK_RUN);
    children.map(|child| child.name.as_str())
}

pub(super) fn find<'a>(tasks: &[&'a TaskRun], name: &str) -> Option<&'a TaskRun> {
    tasks.iter().find(|task| task.metadata.name.as_deref() == Some(name)).copied()
}

fn is(task: &TaskRun, status: &str) -> bool {
    succeeded(&task.status.conditions).is_some_and(|condition| condition.status == status)
}

fn failed_task(run: &PipelineRun, tasks: &[&TaskRun]) -> Option<FailedTask> {
    let references = run.status.child_references.iter();
    let children: Vec<Child> = references
        .map(|reference| match find(tasks, &reference.name) {
            Some(task) if reference.kind == TASK_RUN => child(task, &reference.name),
            _ => Child { kind: reference.kind.clone(), name: reference.name.clone(), ..Child::default() },
        })
        .collect();
    let task = rules::failed_task(&children)?;
    // Where Tekton ended the step, the code is Tekton's.
    let is_of_tekton = ENDED.contains(&task.cause.as_str())
        || find(tasks, &task.name).is_some_and(|failed| reason(failed) == task.cause);
    Some(FailedTask {
        index: i32::try_from(task.index).unwrap_or(i32::MAX),
        name: task.name,
        step: task.step,
        exit_code: task.exit_code.filter(|_| !is_of_tekton),
        cause: task.cause,
        message: task.message,
        // Those are in the log of the step.
        last_lines: Vec::new(),
    })
}

/// A TaskRun as the rules see it. Its condition is about the last try, so one that succeeded after some
/// retries has not failed, and one that failed is told with the number of its tries.
fn child(task: &TaskRun, name: &str) -> Child {
    let condition = succeeded(&task.status.conditions).cloned().unwrap_or_default();
    let message = match task.status.retries_status.len() {
        0 => condition.message,
        earlier => format!("{} (tried {} times)", condition.message, earlier + 1),
    };
    Child {
        kind: TASK_RUN.to_owned(),
        name: name.to_owned(),
        failed: condition.status == "False" && condition.reason != IGNORED,
        reason: condition.reason,
        message,
        steps: task.status.steps.iter().map(step).collect(),
    }
}

fn step(step: &Step) -> rules::Step {
    let counts = !NO_FAILURE.contains(&step.termination_reason.as_str());
    let exit = step.terminated.as_ref().filter(|_| counts);
    let ended = ENDED.into_iter().find(|reason| *reason == step.termination_reason);
    let reason = ended.unwrap_or_else(|| exit.map_or("", |exit| exit.reason.as_str()));
    rules::Step {
        name: step.name.clone(),
        exit_code: exit.map(|exit| exit.exit_code),
        reason: reason.to_owned(),
    }
}

/// Whether a run, or any of these tasks of it, was given Secrets.
pub(super) fn has_secrets(run: &PipelineRun, tasks: &[&TaskRun]) -> bool {
    run.spec.has_secrets || tasks.iter().any(|task| task.has_secrets())
}

/// The results of a pipeline, as an appendix to its message. Of a run that was given Secrets, or of whose
/// tasks that is not known, only the names are told, since a value may be one of theirs.
fn results(run: &PipelineRun, tasks: &[&TaskRun]) -> String {
    let is_hidden = has_secrets(run, tasks) || has_unknown_child(run, tasks);
    let mut told = String::new();
    for result in &run.status.results {
        let value = if is_hidden { String::new() } else { format!("={}", fit(&result.value)) };
        let next = format!("{}{}{value}", if told.is_empty() { "; results: " } else { ", " }, result.name);
        if told.len() + next.len() > RESULTS_LIMIT {
            told.push_str(", …");
            break;
        }
        told += &next;
    }
    told
}

/// A value on one line.
fn fit(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    quote::last_lines(&text).join(" ")
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
