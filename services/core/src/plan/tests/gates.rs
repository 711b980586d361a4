//! Why an execution waits.

use super::*;

fn past(uid: &str, ended_ago: Millis, executed: bool) -> Past {
    Past { uid: uid.to_owned(), name: format!("ops/{uid}"), completion: NOW - ended_ago, executed }
}

fn with_history(history: Vec<Past>) -> Case {
    Case { history, ..Case::pending() }
}

/// The wait after the one write that explains it.
fn explained_wait(mut case: Case) -> Millis {
    case.record.status = case.write().status;
    case.wait()
}

#[test]
fn a_target_rests_after_an_execution() {
    let case = with_history(vec![past("a", 1_000, true)]);
    let write = case.write();
    assert_eq!(write.status.phase, StoredPhase::Known(Phase::Pending));
    assert_eq!(condition(&write, kind::BLOCKED), ("True", "CooldownActive"));
    let message = &get(&write.status.conditions, kind::BLOCKED).unwrap().message;
    assert!(message.contains("ops/a") && message.contains("1970-01-01T00:21:39Z"), "{message}");
    assert_eq!(reasons(&write), ["WorkflowValidated", "CooldownActive"]);
    assert_eq!(write.transition, None);
    assert_eq!(explained_wait(case), 299_000);
}

#[test]
fn a_cooldown_that_is_exactly_over_is_over() {
    assert_eq!(
        with_history(vec![past("a", 300_000, true)]).plan(),
        Decision::Act(Effect::Start { expected_token: 7 })
    );
    assert_eq!(explained_wait(with_history(vec![past("a", 299_999, true)])), 1);
}

#[test]
fn only_what_ran_makes_a_target_rest() {
    assert!(matches!(
        with_history(vec![past("a", 1_000, false)]).plan(),
        Decision::Act(Effect::Start { .. })
    ));
    assert!(matches!(
        with_history(vec![past("uid-1", 1_000, true)]).plan(),
        Decision::Act(Effect::Start { .. })
    ));
}

#[test]
fn the_longest_rest_counts() {
    let case =
        with_history(vec![past("a", 200_000, true), past("b", 50_000, true), past("c", 100_000, true)]);
    assert_eq!(explained_wait(case), 250_000);
}

#[test]
fn an_end_in_the_future_never_prolongs_the_rest() {
    assert_eq!(explained_wait(with_history(vec![past("a", -900_000, true)])), 300_000);
}

#[test]
fn a_held_target_is_waited_for_and_its_holder_named() {
    let run = Facts { owner: owner("other"), ..facts(RunState::Running) };
    for run in [Some(run.clone()), Some(Facts { state: RunState::Succeeded, ..run })] {
        let mut case = Case::pending();
        case.lock = Reading::Found(Lock { token: 7, holder: Some(owner("other")), held_since: Some(0), run });
        let write = case.write();
        assert_eq!(condition(&write, kind::BLOCKED), ("True", "TargetBusy"));
        let message = &get(&write.status.conditions, kind::BLOCKED).unwrap().message;
        assert!(message.contains("ops/name-of-other"), "{message}");
        assert_eq!(reasons(&write), ["WorkflowValidated"]);
        assert_eq!(explained_wait(case), 10_000);
    }
}

#[test]
fn a_lock_without_a_live_run_is_taken_over_after_the_start_timeout() {
    for run in [None, Some(Facts { owner: owner("other"), ..facts(RunState::Inert) })] {
        let mut case = Case::pending();
        let held = |since| {
            Reading::Found(Lock {
                token: 7,
                holder: Some(owner("other")),
                held_since: Some(since),
                run: run.clone(),
            })
        };
        case.lock = held(NOW - 30_000);
        assert!(matches!(case.plan(), Decision::Act(Effect::Start { expected_token: 7 })));
        case.lock = held(NOW - 29_000);
        assert_eq!(explained_wait(case), 1_000);
    }
}

#[test]
fn a_start_under_way_passed_its_gates() {
    let mut case = with_history(vec![past("a", 1_000, true)]);
    case.lock =
        Reading::Found(Lock { token: 8, holder: Some(owner("uid-1")), held_since: Some(NOW), run: None });
    assert_eq!(case.plan(), Decision::Act(Effect::Start { expected_token: 8 }));
}

#[test]
fn a_holder_found_only_by_the_start_is_named_too() {
    let mut case = Case::pending();
    case.answers.start = Some(StartAnswer::Busy { holder: "ops/sneaky".to_owned() });
    let write = case.write();
    assert!(get(&write.status.conditions, kind::BLOCKED).unwrap().message.contains("ops/sneaky"));
    assert_eq!(explained_wait(case), 10_000);
}

#[test]
fn a_wait_is_told_once() {
    let mut case = with_history(vec![past("a", 1_000, true)]);
    case.record.status = case.write().status;
    let later = case.plan_at(NOW + 5_000);
    assert_eq!(later, Decision::Wait(Wait { millis: 294_000, notices: Vec::new() }));
}
