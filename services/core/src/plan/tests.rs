//! The plan as tables: one observation, one decision.

use std::time::Duration;

use super::{fixtures::*, *};
use crate::{
    conditions::{get, kind},
    event::derive,
    facts::{FailedTask, RefusalKind, RunState},
    failure::Reason,
};

mod catalogue;
mod ending;
mod gates;

#[test]
fn what_is_read_follows_from_the_record() {
    for (phase, need) in [
        (None, Need::Lock),
        (Some(Phase::Pending), Need::Lock),
        (Some(Phase::Running), Need::Run),
        (Some(Phase::Completed), Need::Nothing),
        (Some(Phase::Failed), Need::Nothing),
    ] {
        let mut record = Case::new(phase).record;
        assert_eq!(needs(&record), need, "{phase:?}");
        record.deleting = true;
        record.has_finalizer = false;
        assert_eq!(needs(&record), Need::Nothing);
    }
    let mut invalid = Case::new(None).record;
    invalid.spec.target = "nowhere".to_owned();
    assert_eq!(needs(&invalid), Need::Nothing, "an invalid target has no lock");
}

#[test]
fn an_object_is_accepted_before_anything_else() {
    for phase in [None, Some(Phase::Pending), Some(Phase::Running), Some(Phase::Failed)] {
        let mut case = Case::new(phase);
        case.record.has_finalizer = false;
        assert_eq!(case.plan(), Decision::Act(Effect::Accept));
    }
}

#[test]
fn a_phase_of_another_release_is_left_alone() {
    let mut case = Case::new(None);
    case.record.status.phase = StoredPhase::Foreign("Skipped".to_owned());
    assert_eq!(case.wait(), 30_000);
}

#[test]
fn a_free_target_starts_with_the_token_that_was_read() {
    assert_eq!(Case::pending().plan(), Decision::Act(Effect::Start { expected_token: 7 }));
}

#[test]
fn an_invalid_specification_fails_at_once_and_holds_nothing() {
    let mut case = Case::new(None);
    case.record.spec.bundle = String::new();
    case.record.spec.target = String::new();
    let write = case.write();
    let failure = write.status.failure.as_ref().unwrap();
    assert_eq!(failure.reason, Reason::ConfigurationError);
    assert!(failure.message.contains("executionBundle") && !failure.was_execution_failure);
    assert!(failure.summary.contains("ConfigurationError"));
    assert_eq!(
        write.transition,
        Some(Transition { from: Phase::Pending, to: Phase::Failed, took: Duration::ZERO })
    );
    assert_eq!((write.status.start, write.status.completion), (None, Some(NOW)));
    assert_eq!(condition(&write, kind::EXECUTION_CREATED), ("False", "ExecutionCreationFailed"));
    assert_eq!(condition(&write, kind::EXECUTION_COMPLETE), ("absent", ""));
    assert_eq!(condition(&write, kind::READY), ("False", "NotReady"));
    assert_eq!(condition(&write, kind::RELEASED), ("True", "NothingHeld"));
    assert_eq!(reasons(&write), ["WorkflowValidationFailed", "WorkflowFailed", "PhaseTransition"]);
}

#[test]
fn a_start_is_recorded_in_one_write() {
    let mut case = Case::pending().with(kind::BLOCKED, true);
    case.answers.start =
        Some(StartAnswer::Started { facts: Box::new(facts(RunState::Running)), adopted: false });
    let write = case.write();
    assert_eq!(write.status.phase, StoredPhase::Known(Phase::Running));
    assert_eq!(write.status.start, Some(910_000));
    assert_eq!(write.status.run_name.as_deref(), Some("wfe-1"));
    assert_eq!(write.status.engine.as_deref(), Some("job"));
    assert_eq!(write.status.observed_generation, Some(1));
    assert_eq!(condition(&write, kind::EXECUTION_CREATED), ("True", "ExecutionCreated"));
    assert_eq!(condition(&write, kind::EXECUTION_RUNNING), ("True", "ExecutionStarted"));
    assert_eq!(condition(&write, kind::BLOCKED), ("False", "Unblocked"));
    assert_eq!(reasons(&write), ["WorkflowValidated", "ExecutionCreated", "PhaseTransition"]);
}

#[test]
fn a_launch_whose_status_was_lost_is_carried_on_even_when_it_finished() {
    for state in [RunState::Running, RunState::Succeeded, RunState::Failed] {
        let mut case = Case::pending();
        case.lock = Reading::Found(Lock { token: 8, run: Some(facts(state)), ..Lock::default() });
        assert_eq!(case.write().transition.unwrap().to, Phase::Running, "{state:?}");
    }
}

#[test]
fn an_inert_run_of_ours_is_started_and_not_taken_for_a_launch() {
    let mut case = Case::pending();
    case.lock = Reading::Found(Lock {
        token: 8,
        holder: Some(owner("uid-1")),
        run: Some(facts(RunState::Inert)),
        held_since: Some(NOW),
        ..Lock::default()
    });
    assert_eq!(case.plan(), Decision::Act(Effect::Start { expected_token: 8 }));
}

#[test]
fn a_refusal_fences_the_attempt_before_it_is_final() {
    for (kind_of_refusal, reason, condition_reason) in [
        (RefusalKind::Invalid, Reason::ConfigurationError, "ExecutionCreationFailed"),
        (RefusalKind::DependencyMissing, Reason::ConfigurationError, "ExecutionCreationFailed"),
        (RefusalKind::UnknownEngine, Reason::UnsupportedEngine, "ExecutionCreationFailed"),
        (RefusalKind::QuotaExceeded, Reason::ResourceExhausted, "QuotaExceeded"),
        (RefusalKind::Forbidden, Reason::Forbidden, "RBACDenied"),
    ] {
        let mut case = Case::pending();
        let refusal = Refusal { kind: kind_of_refusal, message: "no such thing".to_owned() };
        case.answers.start = Some(StartAnswer::Refused(refusal));
        assert_eq!(case.plan(), Decision::Act(Effect::Release));
        case.answers.release = Some(ReleaseAnswer::Removing);
        assert_eq!(case.wait(), 250);
        case.answers.release = Some(ReleaseAnswer::Released);
        let write = case.write();
        let failure = write.status.failure.as_ref().unwrap();
        assert_eq!((failure.reason, failure.was_execution_failure), (reason, false));
        assert_eq!(failure.message, "no such thing");
        assert_eq!(condition(&write, kind::EXECUTION_CREATED), ("False", condition_reason));
        assert_eq!(write.status.engine.as_deref(), Some("job"), "so that its selection is recorded");
        assert_eq!(reasons(&write), ["WorkflowValidationFailed", "WorkflowFailed", "PhaseTransition"]);
    }
}

#[test]
fn a_moved_lock_is_read_again_soon() {
    let mut case = Case::pending();
    case.answers.start = Some(StartAnswer::Moved);
    assert_eq!(case.wait(), 50);
}

#[test]
fn an_executor_that_does_not_answer_is_told_only_when_it_lasts() {
    let mut case = Case::pending();
    case.lock = Reading::Unavailable("UNAVAILABLE".to_owned());
    let waits: Vec<_> = (0..3)
        .map(|failures| {
            case.failures = failures;
            case.wait()
        })
        .collect();
    assert_eq!(waits, [100, 200, 400]);
    case.failures = 3;
    let write = case.write();
    assert_eq!(condition(&write, kind::BLOCKED), ("True", "ExecutorUnavailable"));
    assert_eq!(write.status.phase, StoredPhase::Known(Phase::Pending));
    case.record.status = write.status;
    assert_eq!(case.wait(), 800, "and then not again");
    case.failures = 30;
    assert_eq!(case.wait(), 15_000);
}

#[test]
fn a_start_without_an_answer_waits_as_well() {
    let mut case = Case::pending();
    case.answers.start = Some(StartAnswer::Unavailable("DEADLINE".to_owned()));
    assert_eq!(case.wait(), 100);
}

#[test]
fn a_live_run_is_left_alone() {
    for state in [RunState::Running, RunState::Inert] {
        assert_eq!(Case::running(facts(state)).wait(), 10_000);
    }
}

#[test]
fn a_run_that_succeeded_completes_the_execution() {
    let mut case = Case::running(facts(RunState::Succeeded));
    case.record.status.start = Some(910_000);
    case.audit = Audit::Acknowledged;
    let write = case.write();
    assert_eq!(
        write.transition,
        Some(Transition { from: Phase::Running, to: Phase::Completed, took: Duration::from_secs(90) })
    );
    assert_eq!(write.status.duration, Some(Duration::from_secs(90)));
    assert_eq!(write.status.completion, Some(NOW));
    assert_eq!(write.status.failure, None);
    assert!(write.status.outcome.as_ref().unwrap().succeeded);
    for (kind, reason) in [
        (kind::EXECUTION_COMPLETE, "ExecutionSucceeded"),
        (kind::READY, "Ready"),
        (kind::AUDIT_RECORDED, "AuditSucceeded"),
    ] {
        assert_eq!(condition(&write, kind), ("True", reason));
    }
    assert_eq!(reasons(&write), ["WorkflowCompleted", "PhaseTransition"]);
}

#[test]
fn a_run_that_failed_fails_the_execution_with_its_cause() {
    let task = FailedTask {
        index: 2,
        name: "pod-1".to_owned(),
        step: "workflow".to_owned(),
        exit_code: Some(137),
        cause: "OOMKilled".to_owned(),
        message: "killed".to_owned(),
        last_lines: vec!["remediating".to_owned(), "no more memory".to_owned()],
    };
    let facts = Facts {
        reason: "BackoffLimitExceeded".to_owned(),
        message: "Job has reached the specified backoff limit".to_owned(),
        failed_task: Some(task),
        ..facts(RunState::Failed)
    };
    let mut case = Case::running(facts);
    case.record.status.start = Some(910_000);
    let write = case.write();
    let failure = write.status.failure.as_ref().unwrap();
    assert_eq!(failure.reason, Reason::OomKilled);
    assert_eq!(failure.message, "Job has reached the specified backoff limit (killed)");
    assert_eq!((failure.task_index, failure.task_name.as_str()), (2, "pod-1"));
    assert_eq!((failure.step_name.as_deref(), failure.exit_code), (Some("workflow"), Some(137)));
    assert_eq!((failure.ran_for, failure.at), (Some(Duration::from_secs(90)), NOW));
    assert!(failure.was_execution_failure && failure.summary.contains("memory limit"));
    assert!(failure.summary.contains("| no more memory\n"), "{}", failure.summary);
    assert_eq!(condition(&write, kind::EXECUTION_COMPLETE), ("False", "OOMKilled"));
    assert_eq!(condition(&write, kind::READY), ("False", "NotReady"));
    assert_eq!(reasons(&write), ["WorkflowFailed", "PhaseTransition"]);
    // What a workflow prints is for people: the summary has it, and nothing that is kept or sent on.
    case.record.status = write.status;
    let told = format!("{:?} {:?} {:?}", derive(&case.record), write.notices, case.record.status.conditions);
    assert!(!told.contains("no more memory"), "{told}");
}

#[test]
fn a_cancelled_run_fails_with_the_reason_it_was_given() {
    let facts = Facts {
        reason: "Cancelled".to_owned(),
        message: "wrong target".to_owned(),
        ..facts(RunState::Failed)
    };
    let failure = Case::running(facts).write().status.failure.unwrap();
    assert_eq!((failure.reason, failure.message.as_str()), (Reason::TaskFailed, "wrong target"));
}

#[test]
fn a_run_that_vanished_is_a_failure_that_may_have_changed_something() {
    let mut case = Case::new(Some(Phase::Running));
    case.run = Reading::Absent;
    let write = case.write();
    let failure = write.status.failure.as_ref().unwrap();
    assert_eq!(failure.reason, Reason::Unknown);
    for word in ["deleted", "not found", "time to live", "wfe-1"] {
        assert!(failure.message.contains(word), "{}", failure.message);
    }
    assert!(failure.was_execution_failure);
    assert_eq!(condition(&write, kind::EXECUTION_COMPLETE), ("False", "ExecutionFailed"));
}

#[test]
fn a_run_that_vanished_before_its_launch_was_recorded_ends_the_same_way() {
    let mut case = Case::pending();
    case.lock = Reading::Found(Lock { token: 7, held_since: Some(NOW - 20_000), ..Lock::default() });
    case.answers.start = Some(StartAnswer::Vanished);
    let write = case.write();
    let transition = write.transition.unwrap();
    assert_eq!((transition.from, transition.to), (Phase::Pending, Phase::Failed));
    let failure = write.status.failure.as_ref().unwrap();
    assert_eq!((failure.reason, failure.was_execution_failure), (Reason::Unknown, true));
    let name = crate::target::run_name("ns/Deployment/api");
    assert!(failure.message.contains("deleted") && failure.message.contains(&name), "{}", failure.message);
    assert_eq!((write.status.run_name.as_ref(), write.status.start), (Some(&name), Some(NOW - 20_000)));
    assert_eq!(condition(&write, kind::EXECUTION_CREATED), ("True", "ExecutionCreated"));
    assert_eq!(condition(&write, kind::RELEASED), ("absent", ""));
    // The lock is still held, for the cooldown and then for the release.
    case.record.status = write.status;
    case.answers = Answers::default();
    assert_eq!(derive(&case.record).len(), 3, "chosen, launched, failed");
    assert!(case.record.was_executed());
    assert_eq!(case.plan_at(NOW + 300_000 - 1), Decision::Wait(Wait { millis: 1, notices: Vec::new() }));
}

#[test]
fn an_executor_outage_never_ends_a_run() {
    let mut case = Case::new(Some(Phase::Running));
    case.run = Reading::Unavailable("UNAVAILABLE".to_owned());
    case.failures = 5;
    let write = case.write();
    assert_eq!(write.status.phase, StoredPhase::Known(Phase::Running));
    assert_eq!(condition(&write, kind::BLOCKED), ("True", "ExecutorUnavailable"));
    case.record.status = write.status;
    case.run = Reading::Found(facts(RunState::Running));
    assert_eq!(condition(&case.write(), kind::BLOCKED), ("False", "Unblocked"));
}

#[test]
fn a_lost_reference_to_the_run_is_recovered() {
    let mut case = Case::running(facts(RunState::Running));
    case.record.status.run_name = None;
    let write = case.write();
    assert_eq!((write.status.run_name.as_deref(), write.transition), (Some("wfe-1"), None));
    case.run = Reading::Found(facts(RunState::Succeeded));
    assert_eq!(case.write().status.run_name.as_deref(), Some("wfe-1"));
}

#[test]
fn a_run_that_cannot_start_is_given_up_after_the_grace() {
    let mut case = Case::running(stuck("ErrImagePull"));
    case.record.status.start = Some(NOW - 119_000);
    let write = case.write();
    assert_eq!(write.status.phase, StoredPhase::Known(Phase::Running));
    assert_eq!(condition(&write, kind::BLOCKED), ("True", "CannotStart"));
    let told = &get(&write.status.conditions, kind::BLOCKED).unwrap().message;
    assert!(told.contains("ImagePullBackOff"), "{told}");
    assert_eq!(crate::gate::ends_at(told), Some(NOW + 1_000), "{told}");
    case.record.status = write.status;
    assert_eq!(case.wait(), 1_000, "it is told once, and looks again when the grace is over");
    let (run, status) = (case.run, case.record.status.clone());
    case.run = Reading::Found(facts(RunState::Running));
    assert_eq!(condition(&case.write(), kind::BLOCKED), ("False", "Unblocked"), "it got going");
    (case.run, case.record.status) = (run, status);
    case.record.status.start = Some(NOW - 120_000);
    let Decision::Act(Effect::Cancel { reason }) = case.plan() else { panic!("{:?}", case.plan()) };
    assert!(reason.contains("ErrImagePull") && reason.contains("detail"), "{reason}");
    case.answers.cancel = Some(CancelAnswer::Unavailable("UNAVAILABLE".to_owned()));
    assert_eq!(case.wait(), 100);
    case.answers.cancel = Some(CancelAnswer::Done);
    let failure = case.write().status.failure.unwrap();
    assert_eq!((failure.reason, failure.was_execution_failure), (Reason::ImagePullBackOff, false));
}

#[test]
fn a_run_that_waits_for_room_is_not_given_up() {
    let mut case = Case::running(stuck("Unschedulable"));
    case.record.status.start = Some(0);
    assert_eq!(case.wait(), 10_000);
}

#[test]
fn the_same_observation_is_the_same_decision() {
    let case = Case::running(facts(RunState::Succeeded));
    assert_eq!(case.plan(), case.plan());
}

#[test]
fn the_end_is_never_before_the_start() {
    let mut case = Case::running(Facts { completion: Some(NOW - 60_000), ..facts(RunState::Succeeded) });
    case.record.status.start = Some(NOW);
    let write = case.write();
    assert_eq!(write.status.completion, Some(NOW));
    assert_eq!(write.status.duration, Some(Duration::ZERO));
}

#[test]
fn a_condition_of_somebody_else_survives_every_write() {
    let mut case = Case::running(facts(RunState::Succeeded)).with("example.com/Seen", true);
    case.audit = Audit::Acknowledged;
    assert!(get(&case.write().status.conditions, "example.com/Seen").is_some());
}
