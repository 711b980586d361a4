//! The end: release, acknowledgement, deletion.

use super::*;
use crate::record::Clearance;

fn ended(phase: Phase, audit: Audit) -> Case {
    Case { audit, ..Case::new(Some(phase)) }
}

fn over(audit: Audit) -> Case {
    let mut case = ended(Phase::Completed, audit);
    case.record.status.completion = Some(NOW - 300_000);
    case
}

fn deleting(phase: Option<Phase>, audit: Audit) -> Case {
    let mut case = Case { audit, ..Case::new(phase) };
    case.record.deleting = true;
    case
}

#[test]
fn the_lock_is_kept_until_the_cooldown_is_over() {
    let case = ended(Phase::Completed, Audit::Acknowledged).with(kind::AUDIT_RECORDED, true);
    assert_eq!(case.wait(), 290_000);
    assert_eq!(over(Audit::Acknowledged).plan(), Decision::Act(Effect::Release));
}

#[test]
fn what_never_ran_is_released_at_once() {
    let case = ended(Phase::Failed, Audit::Acknowledged);
    assert_eq!(case.plan(), Decision::Act(Effect::Release));
}

#[test]
fn a_release_is_recorded_once_with_the_acknowledgement() {
    let mut case = over(Audit::Acknowledged);
    case.answers.release = Some(ReleaseAnswer::Removing);
    assert_eq!(case.wait(), 250);
    case.answers.release = Some(ReleaseAnswer::Released);
    let write = case.write();
    assert_eq!(condition(&write, kind::RELEASED), ("True", "LockReleased"));
    assert_eq!(condition(&write, kind::AUDIT_RECORDED), ("True", "AuditSucceeded"));
    assert_eq!(reasons(&write), ["LockReleased"]);
    case.record.status = write.status;
    case.answers = Answers::default();
    assert_eq!(case.plan(), Decision::Rest);
    assert!(case.record.is_settled());
}

#[test]
fn a_release_waits_for_an_acknowledgement_on_its_way_but_not_for_one_that_fails() {
    assert_eq!(over(Audit::Pending).wait(), 5_000);
    for audit in [Audit::Failing, Audit::Off, Audit::Refused] {
        let mut case = over(audit);
        assert_eq!(case.plan(), Decision::Act(Effect::Release), "{audit:?}");
        case.answers.release = Some(ReleaseAnswer::Released);
        assert_eq!(condition(&case.write(), kind::AUDIT_RECORDED), ("False", "AuditFailed"));
    }
}

#[test]
fn a_release_that_fails_is_told_and_tried_again() {
    let mut case = over(Audit::Acknowledged);
    case.answers.release = Some(ReleaseAnswer::Unavailable("UNAVAILABLE".to_owned()));
    let Decision::Wait(wait) = case.plan() else { panic!() };
    assert_eq!((wait.millis, wait.notices[0].reason), (100, "CleanupFailed"));
    assert!(wait.notices[0].note.contains("cooldown"));
}

#[test]
fn a_failing_audit_is_told_once_and_so_is_its_recovery() {
    let mut case = ended(Phase::Completed, Audit::Failing);
    let write = case.write();
    assert_eq!(condition(&write, kind::AUDIT_RECORDED), ("False", "AuditFailed"));
    case.record.status = write.status;
    assert_eq!(case.wait(), 290_000);
    case.audit = Audit::Acknowledged;
    let write = case.write();
    assert_eq!(condition(&write, kind::AUDIT_RECORDED), ("True", "AuditSucceeded"));
    case.record.status = write.status;
    assert_eq!(case.wait(), 290_000);
}

#[test]
fn an_acknowledgement_shortly_before_the_release_is_left_to_the_release() {
    let mut case = ended(Phase::Completed, Audit::Acknowledged);
    case.record.status.completion = Some(NOW - 295_000);
    assert_eq!(case.wait(), 5_000);
}

#[test]
fn a_released_execution_still_gets_its_acknowledgement() {
    let mut case = ended(Phase::Failed, Audit::Pending).released();
    assert_eq!(case.wait(), 5_000);
    case.audit = Audit::Acknowledged;
    assert_eq!(condition(&case.write(), kind::AUDIT_RECORDED), ("True", "AuditSucceeded"));
}

/// Only the phase, as somebody writes it by hand, long after the creation.
fn edited(mut case: Case, phase: Phase) -> Case {
    case.record.status.phase = StoredPhase::Known(phase);
    case.record.created = NOW - 400_000;
    case.audit = Audit::Acknowledged;
    case
}

#[test]
fn an_end_that_somebody_wrote_by_hand_is_corrected_and_the_run_goes_on() {
    for phase in [Phase::Completed, Phase::Failed] {
        let mut case = edited(Case::running(facts(RunState::Running)), phase).with(kind::READY, true);
        let gone = Case { run: Reading::Absent, ..Case::new(Some(Phase::Running)) };
        case.record.status.failure = gone.write().status.failure;
        assert_eq!(needs(&case.record), Need::Run, "the run is looked at");
        let write = case.write();
        assert_eq!((write.transition, reasons(&write)), (None, vec!["PhaseCorrected"]), "{phase}");
        assert_eq!(write.status.phase, StoredPhase::Known(Phase::Running));
        assert_eq!((&write.status.failure, condition(&write, kind::READY)), (&None, ("absent", "")));
        case.record.status = write.status;
        assert_eq!(case.wait(), 10_000, "it goes on");
        case.run = Reading::Found(facts(RunState::Succeeded));
        assert_eq!(case.write().transition.unwrap().to, Phase::Completed);
    }
}

#[test]
fn an_end_written_by_hand_before_anything_started_ends_nothing() {
    for phase in [Phase::Completed, Phase::Failed] {
        let mut case = edited(Case::pending(), phase);
        assert_eq!(needs(&case.record), Need::Lock, "the lock is looked at");
        let write = case.write();
        assert_eq!((&write.status.phase, write.transition), (&StoredPhase::Known(Phase::Pending), None));
        case.record.status = write.status;
        assert_eq!(case.plan(), Decision::Act(Effect::Start { expected_token: 7 }), "{phase}");
        let run = Some(facts(RunState::Running));
        case.lock = Reading::Found(Lock { token: 8, run, ..Lock::default() });
        assert_eq!(case.write().transition.unwrap().to, Phase::Running, "a launch is found");
    }
}

#[test]
fn a_phase_written_over_an_end_starts_nothing_and_is_put_back() {
    for phase in [Phase::Pending, Phase::Running, Phase::Failed] {
        let mut case = ended(Phase::Completed, Audit::Acknowledged);
        let kept = case.record.status.clone();
        case.record.status.phase = StoredPhase::Known(phase);
        assert_eq!(needs(&case.record), Need::Nothing);
        let write = case.write();
        assert_eq!((&write.status.phase, write.transition), (&kept.phase, None), "{phase}");
        assert_eq!((write.status.completion, &write.status.conditions), (kept.completion, &kept.conditions));
    }
}

#[test]
fn what_never_ran_stays_failed() {
    let mut case = Case::new(None);
    case.record.spec.target = "nowhere".to_owned();
    case.record.status = case.write().status;
    case.audit = Audit::Acknowledged;
    assert_eq!((case.record.phase(), needs(&case.record)), (Some(Phase::Failed), Need::Nothing));
    case.record.status = case.write().status;
    assert_eq!(case.plan(), Decision::Rest);
    assert!(case.record.is_settled());
}

#[test]
fn a_deleted_execution_is_released_recorded_and_let_go() {
    for phase in [None, Some(Phase::Running), Some(Phase::Completed)] {
        let mut case = deleting(phase, Audit::Acknowledged);
        assert_eq!(case.plan(), Decision::Act(Effect::Release), "{phase:?}");
        case.answers.release = Some(ReleaseAnswer::Removing);
        assert_eq!(case.wait(), 250);
        case.answers.release = Some(ReleaseAnswer::Released);
        let Decision::Act(Effect::Finish { notices }) = case.plan() else { panic!() };
        assert_eq!(notices[0].reason, "WorkflowExecutionDeleted");
        let told = phase.unwrap_or(Phase::Pending).as_str();
        assert!(notices[0].note.contains(told));
    }
}

#[test]
fn a_deleted_execution_starts_nothing() {
    let mut case = deleting(None, Audit::Acknowledged);
    case.lock = Reading::Found(Lock { token: 7, ..Lock::default() });
    assert_eq!(case.plan(), Decision::Act(Effect::Release));
    case.record.has_finalizer = false;
    assert_eq!(case.plan(), Decision::Rest);
}

#[test]
fn a_deleted_execution_with_an_unrecorded_launch_is_recorded_first() {
    let mut case = deleting(None, Audit::Acknowledged);
    case.lock = Reading::Found(Lock { token: 7, run: Some(facts(RunState::Running)), ..Lock::default() });
    assert_eq!(case.write().transition.unwrap().to, Phase::Running);
}

/// The lock was read before the start, so it says nothing of it.
#[test]
fn a_launch_that_a_deletion_overtook_is_recorded_before_it_is_removed() {
    let mut case = deleting(None, Audit::Acknowledged);
    let live = Box::new(facts(RunState::Running));
    case.answers.start = Some(StartAnswer::Started { facts: live, adopted: false });
    assert_eq!(case.write().transition.unwrap().to, Phase::Running);
    case.answers.start = Some(StartAnswer::Unavailable("UNAVAILABLE".to_owned()));
    assert_eq!(case.wait(), 250, "whether it went live is not known, so the lock is read again");
}

#[test]
fn deletion_waits_for_the_record_but_not_for_what_was_refused() {
    for (audit, waits) in
        [(Audit::Pending, true), (Audit::Acknowledged, false), (Audit::Refused, false), (Audit::Off, false)]
    {
        let case = deleting(Some(Phase::Completed), audit).released();
        assert_eq!(matches!(case.plan(), Decision::Wait(_)), waits, "{audit:?}");
    }
    let mut case = deleting(Some(Phase::Completed), Audit::Failing).released();
    case.record.status = case.write().status;
    assert_eq!(case.wait(), 5_000);
}

#[test]
fn deletion_of_what_never_had_a_target_asks_nobody() {
    let mut case = deleting(None, Audit::Acknowledged);
    case.record.spec.target = "nowhere".to_owned();
    assert!(matches!(case.plan(), Decision::Act(Effect::Finish { .. })));
}

#[test]
fn a_finalizer_never_goes_while_the_executor_may_hold_something() {
    let mut case = deleting(Some(Phase::Running), Audit::Acknowledged);
    case.failures = 9;
    case.answers.release = Some(ReleaseAnswer::Unavailable("UNAVAILABLE".to_owned()));
    let Decision::Wait(wait) = case.plan() else { panic!() };
    assert!(wait.notices[0].note.contains("finalization"));
}

#[test]
fn an_end_is_told_by_one_condition_whichever_way_it_ended() {
    let well = Case::running(facts(RunState::Succeeded)).write();
    assert_eq!(condition(&well, kind::FINISHED), ("True", "Completed"));
    let badly = Case::running(facts(RunState::Failed)).write();
    assert_eq!(condition(&badly, kind::FINISHED), ("True", "Failed"));
    let mut invalid = Case::new(None);
    invalid.record.spec.bundle = String::new();
    assert_eq!(condition(&invalid.write(), kind::FINISHED), ("True", "Failed"));
    let mut started = Case::pending();
    let live = Box::new(facts(RunState::Running));
    started.answers.start = Some(StartAnswer::Started { facts: live, adopted: false });
    assert_eq!(condition(&started.write(), kind::FINISHED), ("absent", ""));
}

/// A failure while it ran, released and recorded, that somebody cleared then.
fn cleared(audit: Audit) -> Case {
    let mut case = Case::running(facts(RunState::Failed));
    case.record.status = case.write().status;
    let mut case = Case { audit, ..case }.released().with(kind::AUDIT_RECORDED, true);
    assert!(case.record.is_settled());
    let (by, reason) = ("mary".to_owned(), "looked at it".to_owned());
    case.record.status.clearance = Some(Clearance { by, reason, at: Some(NOW) });
    case
}

#[test]
fn a_clearance_is_told_once_the_log_has_it() {
    assert_eq!(cleared(Audit::Pending).wait(), 5_000);
    let mut case = cleared(Audit::Acknowledged);
    let write = case.write();
    assert_eq!(condition(&write, kind::CLEARED), ("True", "BlockCleared"));
    assert_eq!(condition(&write, kind::AUDIT_RECORDED), ("True", "AuditSucceeded"));
    assert_eq!(reasons(&write), ["BlockCleared"]);
    assert!(write.notices[0].note.contains("mary") && write.notices[0].note.contains("looked at it"));
    assert_eq!(write.transition, None);
    case.record.status = write.status;
    assert_eq!(case.plan(), Decision::Rest);
    assert!(case.record.is_settled());
}

#[test]
fn a_clearance_that_cannot_be_recorded_is_told_all_the_same() {
    for audit in [Audit::Failing, Audit::Off, Audit::Refused] {
        let mut case = cleared(audit);
        let write = case.write();
        assert_eq!(condition(&write, kind::CLEARED), ("True", "BlockCleared"), "{audit:?}");
        assert_eq!(condition(&write, kind::AUDIT_RECORDED), ("False", "AuditFailed"));
        case.record.status = write.status;
        assert_eq!(case.plan(), Decision::Rest, "{audit:?}");
        case.audit = Audit::Acknowledged;
        assert_eq!(condition(&case.write(), kind::AUDIT_RECORDED), ("True", "AuditSucceeded"));
    }
}

#[test]
fn a_clearance_during_the_rest_is_told_by_the_release_at_the_latest() {
    let mut case = cleared(Audit::Acknowledged);
    case.record.status.conditions.retain(|one| one.kind != kind::RELEASED);
    case.record.status.completion = Some(NOW - 300_000);
    case.answers.release = Some(ReleaseAnswer::Released);
    let write = case.write();
    assert_eq!(reasons(&write), ["LockReleased", "BlockCleared"]);
    assert_eq!(condition(&write, kind::CLEARED), ("True", "BlockCleared"));
}

#[test]
fn a_clock_that_was_set_back_keeps_no_lock_for_long() {
    let mut case = ended(Phase::Completed, Audit::Acknowledged).with(kind::AUDIT_RECORDED, true);
    case.record.status.completion = Some(NOW + 2_000);
    assert_eq!(case.wait(), 302_000, "clocks differ a little");
    case.record.status.completion = Some(NOW + 3_600_000);
    assert_eq!(case.plan(), Decision::Act(Effect::Release));
}
