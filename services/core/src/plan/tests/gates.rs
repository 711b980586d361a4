//! Why an execution waits.

use super::*;
use crate::{
    facts::Owner,
    gate::{self, End, History, Past},
};

fn past(name: &str, ended_ago: Millis, how: End) -> Past {
    let reason = if how == End::Succeeded { "" } else { "TaskFailed" };
    Past { name: format!("ops/{name}"), at: NOW - ended_ago, how, reason }
}

fn ran(ended_ago: Millis, how: End) -> History {
    History { last_run: Some(past("a", ended_ago, how)), ..History::default() }
}

fn unable(ended_ago: Millis, times: u32) -> History {
    let last_unable = Some(past("a", ended_ago, End::NeverRan));
    History { last_unable, unable: times, ..History::default() }
}

fn with_history(history: History) -> Case {
    Case { history: Some(history), ..Case::pending() }
}

fn starts(case: &Case) -> bool {
    matches!(case.plan(), Decision::Act(Effect::Start { expected_token: 7 }))
}

fn message(write: &Write) -> &str {
    &get(&write.status.conditions, kind::BLOCKED).unwrap().message
}

/// The wait after the one write that explains it.
fn explained_wait(mut case: Case) -> Millis {
    case.record.status = case.write().status;
    case.wait()
}

fn held_by(owner: Owner, since: Millis, run: Option<Facts>) -> Reading<Lock> {
    Reading::Found(Lock { token: 7, holder: Some(owner), held_since: Some(since), run, released: None })
}

#[test]
fn a_target_rests_after_an_execution() {
    for how in [End::Succeeded, End::Cleared] {
        let case = with_history(ran(1_000, how));
        let write = case.write();
        assert_eq!(write.status.phase, StoredPhase::Known(Phase::Pending));
        assert_eq!(condition(&write, kind::BLOCKED), ("True", "CooldownActive"));
        let message = message(&write);
        assert!(message.contains("ops/a") && message.contains("1970-01-01T00:21:39Z"), "{message}");
        assert_eq!(gate::ends_at(message), Some(NOW + 299_000));
        assert_eq!(reasons(&write), ["WorkflowValidated", "CooldownActive"]);
        assert!(write.notices[1].note.contains("another 4m59s"), "{:?}", write.notices);
        assert_eq!(write.transition, None);
        assert_eq!(explained_wait(case), 299_000);
    }
}

#[test]
fn a_cooldown_that_is_exactly_over_is_over() {
    assert!(starts(&with_history(ran(300_000, End::Succeeded))));
    assert_eq!(explained_wait(with_history(ran(299_999, End::Succeeded))), 1);
}

#[test]
fn a_gate_that_is_switched_off_holds_nobody() {
    for history in [ran(1_000, End::Succeeded), unable(1_000, 3), ran(1_000, End::Failed)] {
        let mut case = with_history(history);
        assert!(!starts(&case));
        case.settings.cooldown = Duration::ZERO;
        case.settings.backoff = Duration::ZERO;
        case.settings.block = false;
        assert!(starts(&case));
    }
}

#[test]
fn an_end_in_the_future_never_prolongs_the_rest() {
    for (history, rest) in [(ran(-3_600_000, End::Succeeded), 300_000), (unable(-3_600_000, 1), 60_000)] {
        let mut case = with_history(history);
        case.record.status = case.write().status;
        let wait = case.wait();
        assert!(wait >= rest && wait <= rest * 11 / 10, "{wait}");
        assert_eq!(
            case.plan_at(NOW + 20_000),
            Decision::Wait(Wait { millis: wait - 20_000, notices: Vec::new() })
        );
        assert!(
            matches!(case.plan_at(NOW + wait), Decision::Act(Effect::Start { .. })),
            "it is over when it was to be"
        );
    }
}

#[test]
fn failures_before_execution_make_the_target_rest_longer_each_time() {
    let mut last = 0;
    for (times, least) in [(1, 60_000), (2, 108_000), (3, 216_000), (4, 432_000), (5, 540_000), (6, 540_000)]
    {
        let write = with_history(unable(0, times)).write();
        assert_eq!(condition(&write, kind::BLOCKED), ("True", "ExponentialBackoff"));
        let message = message(&write);
        assert!(message.contains("ops/a") && message.contains("TaskFailed"), "{message}");
        let until = gate::ends_at(message).unwrap();
        assert!(until - NOW >= least && until - NOW <= 600_000, "{times}: {}", until - NOW);
        assert!(until >= last || times > 5, "{times}");
        last = until;
        assert_eq!(reasons(&write), ["WorkflowValidated", "ExponentialBackoff"]);
    }
    assert!(starts(&with_history(unable(600_000, 9))), "ten minutes are the most");
    let case = with_history(unable(0, 1));
    let opens = gate::ends_at(message(&case.write())).unwrap();
    assert_eq!(explained_wait(case) + NOW, opens, "it looks again when the gate opens");
}

#[test]
fn a_long_wait_is_looked_at_now_and_then() {
    assert_eq!(explained_wait(with_history(unable(0, 4))), 300_000);
}

#[test]
fn a_failure_during_execution_blocks_the_target_until_it_is_cleared() {
    // However long ago, and long after the cooldown.
    for ended_ago in [1_000, 90 * 86_400_000] {
        let case = with_history(ran(ended_ago, End::Failed));
        let write = case.write();
        assert_eq!(condition(&write, kind::BLOCKED), ("True", "PreviousExecutionFailed"));
        let message = message(&write);
        for part in ["ops/a", "TaskFailed", "evenkeel -n ops clear a --reason"] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(gate::ends_at(message), None, "nothing but a person ends it");
        assert_eq!(reasons(&write), ["WorkflowValidated", "PreviousExecutionFailed"]);
        assert_eq!(write.notices[1].severity, Severity::Warning);
        assert_eq!(explained_wait(case), 300_000);
    }
    assert!(starts(&with_history(ran(300_000, End::Cleared))));
}

#[test]
fn who_came_first_goes_first_whatever_the_target_waits_for() {
    for history in [History::default(), ran(1_000, End::Failed), ran(1_000, End::Succeeded), unable(0, 2)] {
        let case = with_history(History { ahead: Some("ops/early".to_owned()), ..history });
        let write = case.write();
        assert_eq!(condition(&write, kind::BLOCKED), ("True", "Queued"));
        assert!(message(&write).contains("ops/early"));
        assert_eq!(reasons(&write), ["WorkflowValidated", "Queued"]);
        assert_eq!(explained_wait(case), 300_000);
    }
}

#[test]
fn nothing_starts_while_the_history_cannot_be_read() {
    let mut case = Case { history: None, ..Case::pending() };
    let waits: Vec<_> = (0..3)
        .map(|failures| {
            case.failures = failures;
            case.wait()
        })
        .collect();
    assert_eq!(waits, [100, 200, 400]);
    case.failures = 3;
    let write = case.write();
    assert_eq!(condition(&write, kind::BLOCKED), ("True", "HistoryUnavailable"));
    case.record.status = write.status;
    assert_eq!(case.wait(), 800);
    case.history = Some(History::default());
    assert!(starts(&case));
}

#[test]
fn nothing_starts_while_the_history_is_behind_the_lock() {
    let released =
        |uid: &str| Reading::Found(Lock { token: 7, released: Some(uid.to_owned()), ..Lock::default() });
    let mut case = with_history(History { open: ["uid-a".to_owned()].into(), ..History::default() });
    case.lock = released("uid-a");
    assert_eq!(case.wait(), 100, "who released the target cannot still be running");
    case.lock = released("uid-of-somebody-else");
    assert!(starts(&case));
    case.lock = released("uid-a");
    case.history = Some(ran(1_000, End::Failed));
    assert_eq!(condition(&case.write(), kind::BLOCKED), ("True", "PreviousExecutionFailed"));
}

#[test]
fn a_held_target_is_waited_for_and_its_holder_named() {
    let run = Facts { owner: owner("other"), ..facts(RunState::Running) };
    for run in [Some(run.clone()), Some(Facts { state: RunState::Succeeded, ..run })] {
        let mut case = Case::pending();
        case.lock = held_by(owner("other"), 0, run);
        let write = case.write();
        assert_eq!(condition(&write, kind::BLOCKED), ("True", "TargetBusy"));
        assert!(message(&write).contains("ops/name-of-other"), "{}", message(&write));
        assert_eq!(reasons(&write), ["WorkflowValidated", "TargetBusy"]);
        assert_eq!(explained_wait(case), 10_000);
    }
}

#[test]
fn a_lock_without_a_live_run_is_taken_over_after_the_start_timeout() {
    for run in [None, Some(Facts { owner: owner("other"), ..facts(RunState::Inert) })] {
        let mut case = Case::pending();
        case.lock = held_by(owner("other"), NOW - 30_000, run.clone());
        assert!(starts(&case));
        case.lock = held_by(owner("other"), NOW + 30_001, run.clone());
        assert!(starts(&case), "a clock was set back");
        case.lock = held_by(owner("other"), NOW - 29_000, run);
        assert_eq!(explained_wait(case), 1_000);
    }
}

#[test]
fn a_start_under_way_passed_its_gates() {
    let ahead = History { ahead: Some("ops/early".to_owned()), ..History::default() };
    let histories = [Some(ran(1_000, End::Succeeded)), Some(ran(1_000, End::Failed)), Some(ahead), None];
    for history in histories {
        let mut case = Case { history, ..Case::pending() };
        case.lock = held_by(owner("uid-1"), NOW, None);
        assert!(starts(&case), "{:?}", case.history);
    }
}

#[test]
fn a_holder_found_only_by_the_start_is_named_too() {
    let mut case = Case::pending();
    case.answers.start = Some(StartAnswer::Busy { holder: "ops/sneaky".to_owned() });
    let write = case.write();
    assert!(message(&write).contains("ops/sneaky"));
    assert_eq!(explained_wait(case), 10_000);
}

#[test]
fn a_wait_is_told_once() {
    let mut case = with_history(ran(1_000, End::Succeeded));
    case.record.status = case.write().status;
    let later = case.plan_at(NOW + 5_000);
    assert_eq!(later, Decision::Wait(Wait { millis: 294_000, notices: Vec::new() }));
}

#[test]
fn an_execution_that_is_cancelled_before_its_start_is_fenced_and_ends() {
    let mut case = with_history(ran(1_000, End::Failed));
    case.record.cancelled = Some("not needed any more".to_owned());
    assert_eq!(case.plan(), Decision::Act(Effect::Release));
    case.answers.release = Some(ReleaseAnswer::Removing);
    assert_eq!(case.wait(), 250);
    case.answers.release = Some(ReleaseAnswer::Released);
    let write = case.write();
    let failure = write.status.failure.as_ref().unwrap();
    assert_eq!((failure.reason, failure.was_execution_failure), (Reason::TaskFailed, false));
    assert!(failure.message.contains("not needed any more"), "{}", failure.message);
    assert_eq!(condition(&write, kind::RELEASED), ("True", "NothingHeld"));
}

#[test]
fn one_that_launched_before_it_was_cancelled_is_carried_on_and_then_cancelled() {
    let mut case = Case::pending();
    case.record.cancelled = Some("enough".to_owned());
    case.lock = Reading::Found(Lock { token: 8, run: Some(facts(RunState::Running)), ..Lock::default() });
    assert_eq!(case.write().transition.unwrap().to, Phase::Running);
    let mut case = Case::running(facts(RunState::Running));
    case.record.cancelled = Some("enough".to_owned());
    assert_eq!(case.plan(), Decision::Act(Effect::Cancel { reason: "enough".to_owned() }));
    case.answers.cancel = Some(CancelAnswer::Unavailable("UNAVAILABLE".to_owned()));
    assert_eq!(case.wait(), 100);
    case.answers.cancel = Some(CancelAnswer::Done);
    assert_eq!(case.wait(), 10_000, "its end is heard of");
}
