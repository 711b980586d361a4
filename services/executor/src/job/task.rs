//! The task of a run that failed or cannot start, as its pods and the warnings about it tell.

use evenkeel_proto::execution::v1::FailedTask;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Event, Pod};
use kube::ResourceExt as _;

use super::CONTAINER;

/// What a container waits for when it cannot start; while it is being created it waits, too.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What the kubelet says of a container that was not there when its pod was ended: it is gone, or it was
/// never made, since it still waited for its image.
const LOST: &str = "ContainerStatusUnknown";
/// Reasons of containers that ended without having started.
const NEVER_STARTED: [&str; 2] = ["StartError", "ContainerCannotRun"];

/// What the kubelet puts where it could not read what was printed, as when the pod was removed before.
const UNREADABLE: &str = "Error on reading termination ";

/// Whether the workflow began in this pod.
pub(super) fn has_started(pod: &Pod) -> bool {
    statuses(pod).filter(|one| one.name == CONTAINER).any(|one| {
        let Some(state) = &one.state else { return false };
        match &state.terminated {
            Some(exit) if is_lost(exit) => was_made(one),
            Some(exit) => !never_started(exit),
            None => state.running.is_some(),
        }
    })
}

/// Whether there was such a container once: of one that ran and is gone, the kubelet keeps its id, or says
/// that it had ended before.
fn was_made(container: &ContainerStatus) -> bool {
    let has_ended = container.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    has_ended || container.container_id.as_ref().is_some_and(|id| !id.is_empty())
}

/// The task of the first pod that failed or cannot start.
pub(super) fn of_pods(pods: &[&Pod]) -> Option<FailedTask> {
    pods.iter().find_map(|pod| of_pod(pod))
}

/// What the container that failed printed last: the kubelet puts it where the container may leave a
/// message of its own. It is not masked yet.
pub(super) fn printed(pods: &[&Pod]) -> Option<String> {
    let exits = pods.iter().flat_map(|pod| statuses(pod)).filter_map(exit);
    let exits = exits.filter(|exit| !never_started(exit) && !is_lost(exit));
    let mut messages = exits.filter_map(|exit| exit.message.clone());
    messages.find(|message| !message.trim().is_empty() && !message.starts_with(UNREADABLE))
}

/// The newest warning that says something. The kubelet tells "Error: ErrImagePull" in the same second
/// as the error itself, and that names no image.
pub(super) fn of_warnings(warnings: &[&Event]) -> Option<FailedTask> {
    let mut told = warnings.iter().rev().filter_map(|event| of_warning(event)).peekable();
    let newest = told.peek().cloned();
    told.find(|task| !task.message.starts_with("Error: ")).or(newest)
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let main = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    init.iter().chain(main)
}

fn exit(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref().filter(|exit| exit.exit_code != 0)
}

fn never_started(exit: &ContainerStateTerminated) -> bool {
    exit.reason.as_deref().is_some_and(|reason| NEVER_STARTED.contains(&reason))
}

fn is_lost(exit: &ContainerStateTerminated) -> bool {
    exit.reason.as_deref() == Some(LOST)
}

/// A pod whose place was taken from it ends its containers, which is a consequence and no cause.
fn of_pod(pod: &Pod) -> Option<FailedTask> {
    let container = statuses(pod).find_map(|one| of_container(pod, one));
    let Some((cause, message)) = displacement(pod) else { return container.or_else(|| of_waiting(pod)) };
    let task = container.unwrap_or_else(|| FailedTask { name: pod.name_any(), ..FailedTask::default() });
    Some(FailedTask { cause, message, ..task })
}

fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<FailedTask> {
    let task = |exit_code, cause: &str, message: String| {
        Some(FailedTask {
            name: pod.name_any(),
            step: container.name.clone(),
            exit_code,
            cause: cause.to_owned(),
            message,
            ..FailedTask::default()
        })
    };
    if let Some(exit) = exit(container).filter(|exit| !is_lost(exit)) {
        let cause = exit.reason.as_deref().unwrap_or("Error");
        return task(Some(exit.exit_code), cause, of_exit(pod, &container.name, exit, cause));
    }
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let cause = waiting.reason.as_deref().filter(|reason| !STARTING.contains(reason))?;
    let bare = || format!("container {:?}: {cause}", container.name);
    task(None, cause, waiting.message.clone().unwrap_or_else(bare))
}

fn of_exit(pod: &Pod, container: &str, exit: &ContainerStateTerminated, cause: &str) -> String {
    let code = exit.exit_code;
    // Of a container that never started, the message is the runtime's.
    let why = exit.message.as_deref().filter(|_| never_started(exit));
    let limit = memory_limit(pod, container).filter(|_| cause == "OOMKilled");
    let more = match (why, limit) {
        (Some(why), _) => format!(": {}", why.trim()),
        (None, Some(limit)) => format!("; its memory limit is {limit}"),
        (None, None) => String::new(),
    };
    format!("container {container:?} exited with code {code}: {cause}{more}")
}

fn memory_limit<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let of = pod.spec.as_ref()?.containers.iter().find(|one| one.name == container)?;
    Some(of.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.as_str())
}

/// Evicted, preempted, refused by its node: the pod failed as a whole. Cause and message.
fn displacement(pod: &Pod) -> Option<(String, String)> {
    let status = pod.status.as_ref()?;
    if let Some(reason) = status.reason.clone().filter(|_| status.phase.as_deref() == Some("Failed")) {
        return Some((reason, status.message.clone().unwrap_or_default()));
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let target = conditions.iter().find(|one| one.type_ == "DisruptionTarget" && one.status == "True")?;
    Some((target.reason.clone()?, target.message.clone().unwrap_or_default()))
}

/// A pod that no container says anything of: it failed, or no node was found for it.
fn of_waiting(pod: &Pod) -> Option<FailedTask> {
    let status = pod.status.as_ref()?;
    let task = |cause: &str, message: Option<&String>| {
        Some(FailedTask {
            name: pod.name_any(),
            cause: cause.to_owned(),
            message: message.cloned().unwrap_or_default(),
            ..FailedTask::default()
        })
    };
    if status.phase.as_deref() == Some("Failed") {
        return task("Error", status.message.as_ref());
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    task(unscheduled.reason.as_deref().unwrap_or("Unschedulable"), unscheduled.message.as_ref())
}

/// What only events tell: why no pod could be created, a volume not be mounted, an image not be pulled.
fn of_warning(event: &Event) -> Option<FailedTask> {
    let message = event.message.clone().unwrap_or_default();
    let cause = match event.reason.as_deref()? {
        reason @ ("FailedCreate" | "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox") => reason,
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

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
