//! How executions end, and what must be recorded of each.

use std::fmt;

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::evidence::{CLEARED, COMPLETED, FAILED, SELECTED, STARTED};
use kube::ResourceExt as _;

/// How an execution ends when nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its run succeeded.
    Completed,
    /// Its run failed or was cancelled.
    Failed,
    /// Its run failed, and somebody cleared the target.
    Cleared,
    /// It failed and nothing of it ever ran.
    NeverStarted,
    /// It was deleted while it ran.
    Removed,
}

impl Outcome {
    /// The last phase that it is seen in.
    pub fn phase(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Failed | Self::Cleared | Self::NeverStarted => "Failed",
            Self::Removed => "Running",
        }
    }

    /// How many runs go live for it.
    pub fn launches(self) -> usize {
        usize::from(self != Self::NeverStarted)
    }

    /// What the log has of it, in this order.
    pub fn events(self) -> &'static [&'static str] {
        match self {
            Self::Completed => &[SELECTED, STARTED, COMPLETED],
            Self::Failed => &[SELECTED, STARTED, FAILED],
            Self::Cleared => &[SELECTED, STARTED, FAILED, CLEARED],
            Self::NeverStarted => &[SELECTED, FAILED],
            Self::Removed => &[SELECTED, STARTED],
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::Failed => "failed or cancelled",
            Self::Cleared => "failed, then cleared",
            Self::NeverStarted => "never started",
            Self::Removed => "deleted while it ran",
        })
    }
}

/// An execution that ended, and how it should have.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The phase it was last seen in.
    pub phase: String,
    /// How it should have ended.
    pub wanted: Outcome,
}

impl Ending {
    /// From its last state.
    pub fn of(execution: &WorkflowExecution, wanted: Outcome) -> Self {
        Self {
            name: execution.name_any(),
            uid: execution.uid().unwrap_or_default(),
            phase: execution.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default(),
            wanted,
        }
    }
}
