//! What a failure means. The executor reports facts; here they become one of the reasons that the
//! contract knows, and the answer to whether the target may have been changed.

use crate::{
    conditions::reason,
    facts::{Facts, FailedTask, RefusalKind},
};

/// Why an execution failed: the closed set of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Out of memory.
    OomKilled,
    /// It took too long.
    DeadlineExceeded,
    /// A permission is missing.
    Forbidden,
    /// A quota, or no room in the cluster.
    ResourceExhausted,
    /// The workflow or its surroundings are configured wrongly.
    ConfigurationError,
    /// The image cannot be pulled.
    ImagePullBackOff,
    /// The workflow itself failed.
    TaskFailed,
    /// No executor offers the engine.
    UnsupportedEngine,
    /// None of these.
    Unknown,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::OomKilled,
        Self::DeadlineExceeded,
        Self::Forbidden,
        Self::ResourceExhausted,
        Self::ConfigurationError,
        Self::ImagePullBackOff,
        Self::TaskFailed,
        Self::UnsupportedEngine,
        Self::Unknown,
    ];

    /// The reason as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OomKilled => "OOMKilled",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Forbidden => "Forbidden",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::ConfigurationError => "ConfigurationError",
            Self::ImagePullBackOff => "ImagePullBackOff",
            Self::TaskFailed => "TaskFailed",
            Self::UnsupportedEngine => "UnsupportedEngine",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads a stored reason; one of another release is `Unknown`.
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Self::Unknown)
    }

    /// Reason of the condition `ExecutionComplete` when it is false.
    pub fn when_incomplete(self) -> &'static str {
        match self {
            Self::TaskFailed => reason::TASK_FAILED,
            Self::DeadlineExceeded => reason::DEADLINE_EXCEEDED,
            Self::OomKilled => reason::OOM_KILLED,
            _ => reason::EXECUTION_FAILED,
        }
    }

    /// Reason of the condition `ExecutionCreated` when it is false.
    pub fn when_not_created(self) -> &'static str {
        match self {
            Self::ResourceExhausted => reason::QUOTA_EXCEEDED,
            Self::Forbidden => reason::RBAC_DENIED,
            Self::ImagePullBackOff => reason::IMAGE_PULL_FAILED,
            _ => reason::EXECUTION_CREATION_FAILED,
        }
    }
}

/// The reason behind a run that failed, or that cannot start. The cause seen on the task says more
/// than the run's own reason: a deadline is what ends a run whose image never came.
pub fn classify(facts: &Facts) -> Reason {
    let cause = facts.failed_task.as_ref().and_then(of_task);
    cause.unwrap_or_else(|| of_run(&facts.reason))
}

/// Whether anything of the workflow may have run, so that the target may have been changed. Only a
/// cause that keeps a task from starting proves that nothing did: evidence goes with the pods, and
/// whoever relies on this had better rest or ask in vain than act on a half-changed target.
pub fn may_have_run(facts: &Facts) -> bool {
    let kept_from_starting = matches!(
        facts.failed_task.as_ref().and_then(of_task),
        Some(
            Reason::ImagePullBackOff
                | Reason::ConfigurationError
                | Reason::ResourceExhausted
                | Reason::Forbidden
        )
    );
    facts.workflow_started || !kept_from_starting
}

/// Why a live run of which nothing has started will not get further by itself; none when it may.
pub fn stuck(facts: &Facts) -> Option<Reason> {
    let task = facts.failed_task.as_ref().filter(|_| !facts.workflow_started)?;
    match of_task(task) {
        Some(Reason::ImagePullBackOff) => Some(Reason::ImagePullBackOff),
        Some(reason @ (Reason::ConfigurationError | Reason::Forbidden)) => Some(reason),
        // A full cluster may get room again; a quota that keeps a task from being created is told.
        Some(Reason::ResourceExhausted) if task.cause != "Unschedulable" => Some(Reason::ResourceExhausted),
        _ => None,
    }
}

/// The reason behind the executor's refusal.
pub fn of_refusal(kind: RefusalKind) -> Reason {
    match kind {
        RefusalKind::Invalid | RefusalKind::DependencyMissing => Reason::ConfigurationError,
        RefusalKind::UnknownEngine => Reason::UnsupportedEngine,
        RefusalKind::QuotaExceeded => Reason::ResourceExhausted,
        RefusalKind::Forbidden => Reason::Forbidden,
    }
}

fn of_run(text: &str) -> Reason {
    match text {
        "BackoffLimitExceeded"
        | "PodFailurePolicy"
        | "FailJob"
        | "MaxFailedIndexesExceeded"
        | "FailedIndexes"
        | "Cancelled"
        | "JobFailed"
        | "AWXJobFailed"
        | "AWXJobError"
        | "AWXJobCanceled"
        | "TaskFailed" => Reason::TaskFailed,
        "DeadlineExceeded" => Reason::DeadlineExceeded,
        "OOMKilled" => Reason::OomKilled,
        "QuotaExceeded" => Reason::ResourceExhausted,
        "Forbidden" => Reason::Forbidden,
        _ => Reason::Unknown,
    }
}

fn of_task(task: &FailedTask) -> Option<Reason> {
    Some(match task.cause.as_str() {
        "OOMKilled" => Reason::OomKilled,
        "DeadlineExceeded" => Reason::DeadlineExceeded,
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Reason::ImagePullBackOff,
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "ContainerCannotRun"
        | "FailedMount"
        | "FailedAttachVolume"
        | "ServiceAccountNotFound"
        | "DependencyMissing" => Reason::ConfigurationError,
        "QuotaExceeded" | "Evicted" | "Unschedulable" | "OutOfcpu" | "OutOfmemory" | "OutOfpods" => {
            Reason::ResourceExhausted
        }
        "Forbidden" => Reason::Forbidden,
        "FailedCreate" => of_failed_create(&task.message),
        "Error" | "TaskFailed" => Reason::TaskFailed,
        _ => return None,
    })
}

/// Kubernetes says why it could not create a pod in words only, so words are all there is.
fn of_failed_create(message: &str) -> Reason {
    let text = message.to_ascii_lowercase();
    if has_word(&text, "quota") {
        Reason::ResourceExhausted
    } else if has_word(&text, "serviceaccount")
        || text.contains("service account")
        || has_word(&text, "invalid")
    {
        Reason::ConfigurationError
    } else if has_word(&text, "forbidden") {
        Reason::Forbidden
    } else {
        Reason::Unknown
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word)
}

#[cfg(test)]
#[path = "failure/tests.rs"]
mod tests;
