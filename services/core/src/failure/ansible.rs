//! What AWX says of a job.

use crate::{facts::RunState, quote};

/// Name of the engine.
pub const ENGINE: &str = "ansible";
/// Reason of a job that failed.
pub const FAILED: &str = "AWXJobFailed";
/// Reason of a job that AWX itself could not carry out.
pub const ERROR: &str = "AWXJobError";
/// Reason of a job that was cancelled.
pub const CANCELED: &str = "AWXJobCanceled";

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state of the run.
    pub state: RunState,
    /// Machine-readable reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What the playbook printed last, if it failed. These are its own words: they are shown, and
    /// neither judged nor recorded.
    pub last_lines: Vec<String>,
}

/// Reads the `status` of a job, and what it printed. A status that is not known is not an end: a run
/// that is given up by mistake may go on by itself.
pub fn standing(status: &str, printed: &str) -> Standing {
    let (state, reason, message) = match status {
        "pending" | "waiting" => (RunState::Running, "AWXJobPending", "the job is queued"),
        "running" => (RunState::Running, "AWXJobRunning", "the job is executing"),
        "successful" => (RunState::Succeeded, "AWXJobSuccessful", "the job completed"),
        "failed" => (RunState::Failed, FAILED, "the job failed"),
        "error" => (RunState::Failed, ERROR, "the job met an internal error of AWX"),
        "canceled" => (RunState::Failed, CANCELED, "the job was cancelled"),
        other => {
            let message = format!("the job has the status {other:?}, which is not known here");
            return Standing {
                state: RunState::Running,
                reason: "AWXJobUnknown",
                message,
                last_lines: Vec::new(),
            };
        }
    };
    let last_lines = if state == RunState::Failed { quote::last_lines(printed) } else { Vec::new() };
    Standing { state, reason, message: message.to_owned(), last_lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::Facts,
        failure::{Reason, classify, may_have_run},
    };

    #[test]
    fn every_status_of_a_job_stands_for_one_state_and_reason() {
        use RunState::{Failed, Running, Succeeded};
        for (status, state, reason, word) in [
            ("pending", Running, "AWXJobPending", "queued"),
            ("waiting", Running, "AWXJobPending", "queued"),
            ("running", Running, "AWXJobRunning", "executing"),
            ("successful", Succeeded, "AWXJobSuccessful", "completed"),
            ("failed", Failed, "AWXJobFailed", "failed"),
            ("error", Failed, "AWXJobError", "internal error"),
            ("canceled", Failed, "AWXJobCanceled", "cancelled"),
            ("new", Running, "AWXJobUnknown", "\"new\""),
            ("", Running, "AWXJobUnknown", "\"\""),
            ("CANCELED", Running, "AWXJobUnknown", "\"CANCELED\""),
        ] {
            let standing = standing(status, "PLAY RECAP");
            assert_eq!((standing.state, standing.reason), (state, reason), "{status}");
            assert!(standing.message.contains(word), "{}", standing.message);
            assert_eq!(!standing.last_lines.is_empty(), state == Failed, "{status}");
        }
    }

    #[test]
    fn a_job_that_ended_badly_failed_at_its_task_and_may_have_changed_something() {
        for status in ["failed", "error", "canceled"] {
            let Standing { state, reason, .. } = standing(status, "");
            let facts =
                Facts { engine: ENGINE.to_owned(), state, reason: reason.to_owned(), ..Facts::default() };
            assert_eq!(classify(&facts), Reason::TaskFailed, "{status}");
            assert!(may_have_run(&facts), "{status}");
        }
    }
}
