//! The causes that are seen on a task: what each means, and whether the workflow can have begun.

use super::{Reason, text::has};
use crate::facts::FailedTask;

/// Whether the workflow began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Began {
    /// It did not, and will not by itself.
    Never,
    /// It did not, but may when it is given time.
    NotYet,
    /// It did, or may have.
    Maybe,
}

/// What a cause means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// The reason; none when the run's own reason says as much.
    pub(super) reason: Option<Reason>,
    pub(super) began: Began,
}

const fn never(reason: Reason) -> Cause {
    Cause { reason: Some(reason), began: Began::Never }
}

const fn maybe(reason: Reason) -> Cause {
    Cause { reason: Some(reason), began: Began::Maybe }
}

/// The meaning of the cause seen on a task; none when it has none that is known.
pub(super) fn of(task: &FailedTask) -> Option<Cause> {
    Some(match task.cause.as_str() {
        "OOMKilled" | "StepOOM" | "SidecarOOM" | "InitContainerOOM" => maybe(Reason::OomKilled),
        "DeadlineExceeded" | "TaskRunTimeout" | "TimeoutExceeded" => maybe(Reason::DeadlineExceeded),
        "Error" | "TaskFailed" | "Cancelled" => maybe(Reason::TaskFailed),
        // Its place was taken from it, perhaps in the middle of its work.
        "Evicted"
        | "PodEvicted"
        | "Preempting"
        | "PreemptionByScheduler"
        | "EvictionByEvictionAPI"
        | "DeletionByTaintManager"
        | "DeletionByPodGC"
        | "TerminationByKubelet"
        | "NodeLost"
        | "NodeShutdown"
        | "Shutdown"
        | "Terminated" => maybe(Reason::ResourceExhausted),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed"
        | "TaskRunImagePullFailed" => never(Reason::ImagePullBackOff),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "ContainerCannotRun"
        | "FailedMount"
        | "FailedAttachVolume"
        | "ServiceAccountNotFound"
        | "DependencyMissing"
        | "TaskRunResolutionFailed"
        | "TaskRunValidationFailed"
        | "TaskValidationFailed"
        | "InvalidParamValue"
        | "ResourceVerificationFailed" => never(Reason::ConfigurationError),
        // The node refused the pod.
        "QuotaExceeded" | "UnexpectedAdmissionError" | "NodeAffinity" => never(Reason::ResourceExhausted),
        refused if refused.starts_with("OutOf") => never(Reason::ResourceExhausted),
        "Forbidden" | "PodAdmissionFailed" => never(Reason::Forbidden),
        "PodCreationFailed" => of_pod_creation(&task.message),
        "FailedCreate" => of_failed_create(&task.message),
        // A full cluster may get room again.
        "Unschedulable" => Cause { reason: Some(Reason::ResourceExhausted), began: Began::NotYet },
        "SchedulerError" | "FailedCreatePodSandBox" => Cause { reason: None, began: Began::NotYet },
        _ => return None,
    })
}

/// Kubernetes says why it could not create a pod in words only, so words are all there is.
fn of_failed_create(message: &str) -> Cause {
    if has(message, "quota") {
        never(Reason::ResourceExhausted)
    } else if ["serviceaccount", "service account", "invalid"].iter().any(|words| has(message, words)) {
        never(Reason::ConfigurationError)
    } else if has(message, "forbidden") {
        never(Reason::Forbidden)
    } else {
        Cause { reason: Some(Reason::Unknown), began: Began::NotYet }
    }
}

/// Tekton does the same, ends the task, and supposes that its specification is invalid.
fn of_pod_creation(message: &str) -> Cause {
    if has(message, "quota") {
        never(Reason::ResourceExhausted)
    } else if has(message, "forbidden") && !has(message, "serviceaccount") && !has(message, "service account")
    {
        never(Reason::Forbidden)
    } else {
        never(Reason::ConfigurationError)
    }
}
