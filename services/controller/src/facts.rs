//! Between the executor protocol's messages and the plain facts that the rules work on.

use evenkeel_core::{
    conditions::Millis,
    facts::{Facts, FailedTask, Lock, Owner, RunState},
    quote,
};
use evenkeel_proto::execution::v1::{self as proto, ExecutionState};
use prost_types::Timestamp;

/// A reported run; none when it is gone.
pub(crate) fn run(execution: proto::Execution) -> Option<Facts> {
    let state = match execution.state() {
        ExecutionState::Inert => RunState::Inert,
        // A state that this release does not know is at least one in which the run exists.
        ExecutionState::Running | ExecutionState::Unspecified => RunState::Running,
        ExecutionState::Succeeded => RunState::Succeeded,
        ExecutionState::Failed => RunState::Failed,
        ExecutionState::Gone => return None,
    };
    Some(Facts {
        owner: execution.owner.map(owner).unwrap_or_default(),
        engine: execution.engine,
        run_name: execution.run_name,
        run_namespace: execution.run_namespace,
        state,
        reason: execution.reason,
        message: execution.message,
        start: execution.start_time.as_ref().map(millis),
        completion: execution.completion_time.as_ref().map(millis),
        total_tasks: execution.total_tasks.into(),
        completed_tasks: execution.completed_tasks.into(),
        failed_task: execution.failed_task.map(failed_task),
        workflow_started: execution.workflow_started,
    })
}

fn failed_task(task: proto::FailedTask) -> FailedTask {
    FailedTask {
        index: task.index.into(),
        name: task.name,
        step: task.step,
        exit_code: task.exit_code,
        cause: task.cause,
        message: task.message,
        // An executor of somebody else may send more, and anything.
        last_lines: quote::last_lines(&task.last_lines.join("\n")),
    }
}

/// The lock of a target.
pub(crate) fn lock(target: proto::Target) -> Lock {
    Lock {
        token: target.token,
        holder: target.holder.map(owner),
        held_since: target.held_since.as_ref().map(millis),
        released: Some(target.released_uid).filter(|uid| !uid.is_empty()),
        run: target.execution.and_then(run),
    }
}

/// An owner.
pub(crate) fn owner(owner: proto::Owner) -> Owner {
    Owner { namespace: owner.namespace, name: owner.name, uid: owner.uid }
}

pub(crate) fn millis(time: &Timestamp) -> Millis {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

pub(crate) fn timestamp(millis: Millis) -> Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    Timestamp { seconds: millis.div_euclid(1000), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(state: ExecutionState) -> proto::Execution {
        proto::Execution { state: state.into(), ..proto::Execution::default() }
    }

    #[test]
    fn states_are_taken_as_they_are_and_what_is_gone_is_none() {
        for (state, expected) in [
            (ExecutionState::Inert, Some(RunState::Inert)),
            (ExecutionState::Running, Some(RunState::Running)),
            (ExecutionState::Unspecified, Some(RunState::Running)),
            (ExecutionState::Succeeded, Some(RunState::Succeeded)),
            (ExecutionState::Failed, Some(RunState::Failed)),
            (ExecutionState::Gone, None),
        ] {
            assert_eq!(run(execution(state)).map(|facts| facts.state), expected, "{state:?}");
        }
    }

    #[test]
    fn of_what_a_task_printed_no_more_is_taken_than_is_shown() {
        let lines: Vec<String> =
            (0..1_000).map(|number| format!("{number}\n{}", "x".repeat(5_000))).collect();
        let task = proto::FailedTask { last_lines: lines, ..proto::FailedTask::default() };
        let failed = proto::Execution { failed_task: Some(task), ..execution(ExecutionState::Failed) };
        let taken = run(failed).unwrap().failed_task.unwrap().last_lines;
        assert_eq!(taken.len(), 10);
        assert!(taken.iter().all(|line| line.chars().count() <= 240), "{taken:?}");
        assert_eq!(taken[8], "999");
    }

    #[test]
    fn moments_survive_the_wire() {
        for moment in [0, 1, 999, 1_000, 1_769_850_300_123, -1] {
            assert_eq!(millis(&timestamp(moment)), moment);
        }
    }
}
