//! What a failure means. Executors report facts; here they become one of the reasons that the
//! contract knows, and the answer to whether the target may have been changed. There is one
//! taxonomy for all engines; what only one of them says is read in its own module.

use crate::{
    conditions::reason,
    facts::{Facts, RefusalKind},
};
use cause::{Began, Cause};

pub mod ansible;
mod cause;
pub mod tekton;
mod text;

/// The reason of a run that ended because it was cancelled, whatever its engine.
pub(crate) const CANCELLED: &str = "Cancelled";

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
    cause(facts).and_then(|cause| cause.reason).unwrap_or_else(|| of_run(facts))
}

/// Whether anything of the workflow may have run, so that the target may have been changed. Only a
/// cause that keeps a task from starting proves that nothing did: evidence goes with the pods, and
/// whoever relies on this had better rest or ask in vain than act on a half-changed target.
pub fn may_have_run(facts: &Facts) -> bool {
    if facts.workflow_started {
        return true;
    }
    if facts.engine == tekton::ENGINE {
        return tekton::may_have_run(facts.start.is_some(), facts.total_tasks > 0, classify(facts));
    }
    cause(facts).is_none_or(|cause| cause.began == Began::Maybe)
}

/// Why a live run of which nothing has started will not get further by itself; none when it may.
pub fn stuck(facts: &Facts) -> Option<Reason> {
    let cause = cause(facts).filter(|_| !facts.workflow_started)?;
    cause.reason.filter(|_| cause.began == Began::Never)
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

fn cause(facts: &Facts) -> Option<Cause> {
    facts.failed_task.as_ref().and_then(cause::of)
}

fn of_run(facts: &Facts) -> Reason {
    match facts.reason.as_str() {
        // What the protocol calls a cancel is one, whatever the engine's own words are.
        CANCELLED => Reason::TaskFailed,
        reason if facts.engine == tekton::ENGINE => tekton::of_condition(reason, &facts.message),
        "BackoffLimitExceeded"
        | "PodFailurePolicy"
        | "FailJob"
        | "MaxFailedIndexesExceeded"
        | "FailedIndexes"
        | "JobFailed"
        | "TaskFailed"
        | ansible::FAILED
        | ansible::ERROR
        | ansible::CANCELED => Reason::TaskFailed,
        "DeadlineExceeded" => Reason::DeadlineExceeded,
        "OOMKilled" => Reason::OomKilled,
        "QuotaExceeded" => Reason::ResourceExhausted,
        "Forbidden" => Reason::Forbidden,
        _ => Reason::Unknown,
    }
}

#[cfg(test)]
#[path = "failure/tests.rs"]
mod tests;
