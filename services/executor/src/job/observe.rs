//! What a Job, its pods and their warnings say, as facts. Nothing is judged here.

use evenkeel_core::start::Stage;
use evenkeel_proto::execution::v1::{Execution, ExecutionState, FailedTask};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::{Job, JobCondition},
    core::v1::{ContainerStatus, Event, Pod},
};
use kube::ResourceExt as _;

use super::{CANCELLED, CONTAINER, EXECUTION_LABEL, OWNER, OWNER_UID, TARGET, TOKEN, stage};
use crate::{attempt::Owner, engine::Found};

/// What a container waits for when it cannot start; while it is being created it waits, too.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What the kubelet says of a container that was not there when its pod was ended.
const NEVER_FOUND: &str = "ContainerStatusUnknown";
/// Reasons of containers that ended without having started.
const NEVER_STARTED: [&str; 3] = ["StartError", "ContainerCannotRun", NEVER_FOUND];

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
        owner: owner(job),
        stage: stage(job),
        going: job.metadata.deletion_timestamp.is_some(),
        uid: job.uid().unwrap_or_default(),
        resource_version: job.resource_version().unwrap_or_default(),
        facts: facts(job, &[], &[]),
    }
}

/// The owner as annotated; a Job that somebody else made has none of our annotations, and its labels
/// and uid say as much as can be known.
fn owner(job: &Job) -> Owner {
    let note = |key: &str| job.annotations().get(key).map_or("", String::as_str);
    if note(OWNER_UID).is_empty() {
        let name = job.labels().get(EXECUTION_LABEL).cloned().unwrap_or_else(|| job.name_any());
        let namespace = job.labels().get("kubernaut.ai/source-namespace").cloned().unwrap_or_default();
        return Owner { namespace, name, uid: format!("job-{}", job.uid().unwrap_or_default()) };
    }
    Owner::from_path(note(OWNER), note(OWNER_UID))
}

/// The facts of a run.
pub(crate) fn facts(job: &Job, pods: &[&Pod], warnings: &[&Event]) -> Execution {
    let note = |key: &str| job.annotations().get(key).cloned().unwrap_or_default();
    let status = job.status.clone().unwrap_or_default();
    let ending = ending(job);
    let (state, reason, message) = standing(job, ending.as_ref());
    let started = pods.iter().any(|pod| has_started(pod));
    Execution {
        owner: Some(owner(job).into()),
        target: note(TARGET),
        engine: "job".to_owned(),
        run_name: job.name_any(),
        run_namespace: job.namespace().unwrap_or_default(),
        run_uid: job.uid().unwrap_or_default(),
        token: note(TOKEN).parse().unwrap_or(0),
        state: state.into(),
        reason,
        message,
        start_time: status.start_time.as_ref().map(|time| wire_time(time.0)),
        completion_time: ending.as_ref().and_then(|ending| ending.at).map(wire_time),
        total_tasks: 1,
        completed_tasks: i32::from(status.succeeded.unwrap_or(0) > 0),
        failed_task: failed_task(job, state, started, pods, warnings),
        workflow_started: started || state == ExecutionState::Succeeded,
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

/// The pod that failed or cannot start. A pod that is ended on purpose, by the deadline or by a cancel,
/// exits badly too, but that is a consequence and no cause.
fn failed_task(
    job: &Job,
    state: ExecutionState,
    started: bool,
    pods: &[&Pod],
    warnings: &[&Event],
) -> Option<FailedTask> {
    if state == ExecutionState::Succeeded {
        return None;
    }
    let is_ended_on_purpose = ["Failed", "FailureTarget"]
        .iter()
        .filter_map(|type_| condition(job, type_))
        .any(|condition| condition.reason.as_deref() == Some("DeadlineExceeded"));
    if is_ended_on_purpose && started {
        return None;
    }
    let of_pod = pods.iter().find_map(|pod| task_of_pod(pod));
    of_pod.or_else(|| task_of_warnings(warnings))
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let main = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    init.iter().chain(main)
}

fn has_started(pod: &Pod) -> bool {
    statuses(pod).filter(|one| one.name == CONTAINER).filter_map(|one| one.state.as_ref()).any(|state| {
        let reason = state.terminated.as_ref().map(|exit| exit.reason.as_deref().unwrap_or_default());
        state.running.is_some() || reason.is_some_and(|reason| !NEVER_STARTED.contains(&reason))
    })
}

fn task_of_pod(pod: &Pod) -> Option<FailedTask> {
    let name = pod.name_any();
    statuses(pod).find_map(|one| task_of_container(&name, one)).or_else(|| task_of_whole_pod(&name, pod))
}

fn task_of_container(pod: &str, container: &ContainerStatus) -> Option<FailedTask> {
    let state = container.state.as_ref()?;
    let task = |exit_code, cause: String, message: String| {
        Some(FailedTask {
            index: 0,
            name: pod.to_owned(),
            step: container.name.clone(),
            exit_code,
            cause,
            message,
        })
    };
    let exit = state.terminated.as_ref().filter(|exit| exit.exit_code != 0);
    if let Some(exit) = exit.filter(|exit| exit.reason.as_deref() != Some(NEVER_FOUND)) {
        let cause = exit.reason.clone().unwrap_or_else(|| "Error".to_owned());
        let message = format!("container {:?} exited with code {}: {cause}", container.name, exit.exit_code);
        return task(Some(exit.exit_code), cause, message);
    }
    let waiting = state.waiting.as_ref()?;
    let cause = waiting.reason.clone().filter(|reason| !STARTING.contains(&reason.as_str()))?;
    let message =
        waiting.message.clone().unwrap_or_else(|| format!("container {:?}: {cause}", container.name));
    task(None, cause, message)
}

/// Evicted, unschedulable: the pod failed, and no container did.
fn task_of_whole_pod(name: &str, pod: &Pod) -> Option<FailedTask> {
    let status = pod.status.as_ref()?;
    let task = |cause: &str, message: Option<&String>| {
        Some(FailedTask {
            name: name.to_owned(),
            cause: cause.to_owned(),
            message: message.cloned().unwrap_or_default(),
            ..FailedTask::default()
        })
    };
    if status.phase.as_deref() == Some("Failed") {
        return task(status.reason.as_deref().unwrap_or("Error"), status.message.as_ref());
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    task(unscheduled.reason.as_deref().unwrap_or("Unschedulable"), unscheduled.message.as_ref())
}

/// The newest warning that says something. The kubelet tells "Error: ErrImagePull" in the same second
/// as the error itself, and that names no image.
fn task_of_warnings(warnings: &[&Event]) -> Option<FailedTask> {
    let mut told = warnings.iter().rev().filter_map(|event| task_of_warning(event)).peekable();
    let newest = told.peek().cloned();
    told.find(|task| !task.message.starts_with("Error: ")).or(newest)
}

/// What only events tell: why no pod could be created, a volume not be mounted, an image not be pulled.
fn task_of_warning(event: &Event) -> Option<FailedTask> {
    let message = event.message.clone().unwrap_or_default();
    let cause = match event.reason.as_deref()? {
        reason @ ("FailedCreate" | "FailedMount" | "FailedAttachVolume") => reason,
        "Failed" | "BackOff" if is_about_the_image(&message) => "ErrImagePull",
        _ => return None,
    };
    let name = event.involved_object.name.clone().unwrap_or_default();
    Some(FailedTask { name, cause: cause.to_owned(), message, ..FailedTask::default() })
}

fn is_about_the_image(message: &str) -> bool {
    let text = message.to_ascii_lowercase();
    ["pull image", "pulling image", "errimagepull", "imagepullbackoff"]
        .iter()
        .any(|words| text.contains(words))
}

fn wire_time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
