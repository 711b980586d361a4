use super::*;

type Machine = Start<&'static str, u8>;
type Act = Action<&'static str, u8>;

fn lease(
    holder: Option<&'static str>,
    token: i64,
    released: Option<&'static str>,
) -> Lease<&'static str, u8> {
    Lease { holder, token, released, launched: None }
}

fn named(lease: Lease<&'static str, u8>, run: u8) -> Lease<&'static str, u8> {
    Lease { launched: Some(run), ..lease }
}

fn run(owner: &'static str, stage: Stage) -> Run<&'static str, u8> {
    Run { owner, stage, going: false, id: 7 }
}

fn going(owner: &'static str, stage: Stage) -> Run<&'static str, u8> {
    Run { owner, stage, going: true, id: 7 }
}

fn found(run: Run<&'static str, u8>) -> Seen<&'static str, u8> {
    Seen::Run(Some(run))
}

fn ended(outcome: Outcome<&'static str>) -> Act {
    Action::End(outcome)
}

/// A start in engine 0 that has taken the free Lease, has found its run's name taken, and is about to
/// look.
fn holding(released: Option<&'static str>) -> Machine {
    let mut start = Machine::new("me", 3, 0, 2);
    start.next(Seen::Lease(Some(lease(None, 3, released)), false));
    assert_eq!(start.next(Seen::Written), Action::Look(1));
    assert_eq!(start.next(Seen::Run(None)), Action::Create { engine: 0, token: 4 });
    assert_eq!(start.next(Seen::Exists), Action::Look(0));
    start
}

/// A start of the attempt that holds this Lease, about to look.
fn resuming(lease: Lease<&'static str, u8>) -> Machine {
    let mut start = Machine::new("me", lease.token, 0, 2);
    assert_eq!(start.next(Seen::Lease(Some(lease), false)), Action::Look(0));
    start
}

#[test]
fn an_undisturbed_start_takes_looks_creates_names_its_run_and_goes_live() {
    let mut start = Machine::new("me", 0, 0, 2);
    // There was no Lease when this was decided: creating it tells whether there still is none.
    assert_eq!(start.action(), Action::WriteLease { from: None, to: lease(Some("me"), 1, None) });
    // Creating the run is the look in its own engine.
    assert_eq!(start.next(Seen::Written), Action::Look(1));
    assert_eq!(start.next(Seen::Run(None)), Action::Create { engine: 0, token: 1 });
    let ours = lease(Some("me"), 1, None);
    assert_eq!(
        start.next(Seen::Created(9)),
        Action::WriteLease { from: Some(ours.clone()), to: named(ours, 9) }
    );
    assert_eq!(start.next(Seen::Written), Action::GoLive(0, 9));
    assert_eq!(start.next(Seen::Live), ended(Outcome::Started { engine: 0, adopted: false }));
}

#[test]
fn the_lease_decides_who_may_start() {
    let held_by = |holder, aged, expected| {
        Machine::new("me", expected, 0, 2).next(Seen::Lease(Some(lease(holder, 5, None)), aged))
    };
    assert!(matches!(held_by(None, false, 5), Action::WriteLease { .. }));
    assert_eq!(held_by(None, false, 4), ended(Outcome::TokenMoved { current: 5 }));
    assert_eq!(held_by(Some("me"), false, 5), Action::Look(0));
    assert_eq!(held_by(Some("me"), false, 4), Action::Look(0));
    assert_eq!(held_by(Some("me"), false, 3), ended(Outcome::TokenMoved { current: 5 }));
    assert_eq!(held_by(Some("other"), false, 5), ended(Outcome::Busy("other")));
    assert_eq!(held_by(Some("other"), true, 4), ended(Outcome::TokenMoved { current: 5 }));
    assert_eq!(held_by(Some("other"), true, 5), Action::Look(0));
}

#[test]
fn a_takeover_leaves_a_holder_with_a_live_run_alone() {
    let mut start = Machine::new("me", 5, 0, 2);
    start.next(Seen::Lease(Some(lease(Some("other"), 5, None)), true));
    assert_eq!(start.next(found(run("other", Stage::Inert))), Action::Look(1));
    let mut idle = start.clone();
    assert_eq!(start.next(found(run("other", Stage::Live))), ended(Outcome::Busy("other")));
    let from = Some(lease(Some("other"), 5, None));
    assert_eq!(idle.next(Seen::Run(None)), Action::WriteLease { from, to: lease(Some("me"), 6, None) });
    assert_eq!(idle.next(Seen::Written), Action::Look(1));
}

#[test]
fn dead_runs_of_strangers_are_cleared_away() {
    let mut start = holding(Some("before"));
    assert_eq!(start.next(found(run("other", Stage::Inert))), Action::RemoveUnchanged(0, 7));
    assert_eq!(start.next(Seen::Moved), Action::Look(0));
    assert_eq!(start.next(found(run("before", Stage::Done))), Action::RemoveUnchanged(0, 7));
    assert_eq!(start.next(Seen::Removed), Action::Look(0));
    assert_eq!(start.next(found(going("before", Stage::Done))), Action::AwaitGone(0, 7));
    assert_eq!(start.next(Seen::Run(None)), Action::Look(1));
}

#[test]
fn a_strangers_live_or_unreleased_run_gets_the_lease_back() {
    for run in [
        run("other", Stage::Live),
        run("other", Stage::Done),
        going("other", Stage::Live),
        // Released or not: while it is live it keeps the target.
        going("before", Stage::Live),
    ] {
        let owner = run.owner;
        let mut start = holding(Some("before"));
        let action = start.next(found(run));
        let from = Some(lease(Some("me"), 4, Some("before")));
        assert_eq!(action, Action::WriteLease { from, to: lease(Some(owner), 5, Some("before")) });
        assert_eq!(start.next(Seen::Written), ended(Outcome::Busy(owner)));
    }
}

#[test]
fn a_run_that_was_live_is_never_started_again() {
    for stage in [Stage::Live, Stage::Done] {
        let mut start = holding(None);
        assert_eq!(start.next(found(run("me", stage))), Action::Look(1));
        assert_eq!(start.next(Seen::Run(None)), ended(Outcome::Started { engine: 0, adopted: true }));
    }
}

#[test]
fn our_inert_run_is_carried_on() {
    let mut start = holding(None);
    start.next(Seen::Run(None));
    assert_eq!(start.next(found(going("me", Stage::Inert))), Action::AwaitGone(1, 7));
    let ours = lease(Some("me"), 4, None);
    assert_eq!(
        start.next(found(run("me", Stage::Inert))),
        Action::WriteLease { from: Some(ours.clone()), to: named(ours, 7) }
    );
    assert_eq!(start.next(Seen::Written), Action::GoLive(1, 7));
    assert_eq!(start.next(Seen::Live), ended(Outcome::Started { engine: 1, adopted: true }));
}

#[test]
fn a_named_run_that_is_still_inert_is_carried_on() {
    let mut start = resuming(named(lease(Some("me"), 4, None), 7));
    start.next(found(run("me", Stage::Inert)));
    assert_eq!(start.next(Seen::Run(None)), Action::ReadLease);
    // The token may have grown by somebody else's release; the Lease has not changed hands.
    let ours = named(lease(Some("me"), 5, None), 7);
    assert_eq!(start.next(Seen::Lease(Some(ours), false)), Action::GoLive(0, 7));
}

/// A start that has created run 7 and lost the race for naming it.
fn outrun() -> Machine {
    let mut start = holding(None);
    start.next(Seen::Run(None));
    start.next(Seen::Run(None));
    start.next(Seen::Created(7));
    assert_eq!(start.next(Seen::Moved), Action::ReadLease);
    start
}

#[test]
fn a_lease_that_moved_undoes_the_inert_run() {
    let mut start = outrun();
    let moved = lease(Some("other"), 6, None);
    assert_eq!(start.next(Seen::Lease(Some(moved), false)), Action::Look(0));
    let mut gone = start.clone();
    assert_eq!(start.next(found(run("me", Stage::Inert))), Action::RemoveUnchanged(0, 7));
    assert_eq!(start.next(Seen::Removed), ended(Outcome::TokenMoved { current: 6 }));
    assert_eq!(gone.next(found(run("other", Stage::Inert))), ended(Outcome::TokenMoved { current: 6 }));
}

#[test]
fn a_lost_race_for_naming_the_run_is_decided_by_the_lease() {
    let read = |lease| outrun().next(Seen::Lease(Some(lease), false));
    let ours = lease(Some("me"), 4, None);
    assert_eq!(read(named(ours.clone(), 7)), Action::GoLive(0, 7));
    assert_eq!(read(ours.clone()), Action::WriteLease { from: Some(ours.clone()), to: named(ours, 7) });
    // Whoever carries the attempt on under the new token may need the run.
    assert_eq!(read(lease(Some("me"), 5, None)), ended(Outcome::TokenMoved { current: 5 }));
}

#[test]
fn a_second_run_never_goes_live() {
    let mut start = outrun();
    let other = named(lease(Some("me"), 4, None), 6);
    assert_eq!(start.next(Seen::Lease(Some(other), false)), Action::Look(0));
    assert_eq!(start.next(found(run("me", Stage::Inert))), Action::RemoveUnchanged(0, 7));
    assert_eq!(start.next(Seen::Removed), ended(Outcome::Vanished));
}

#[test]
fn an_attempt_whose_run_is_gone_never_starts_again() {
    let mut start = resuming(named(lease(Some("me"), 4, None), 6));
    assert_eq!(start.next(Seen::Run(None)), Action::Look(1));
    assert_eq!(start.next(Seen::Run(None)), ended(Outcome::Vanished));
}

#[test]
fn an_attempt_that_was_released_never_starts_again() {
    let read = |expected| {
        let released = lease(None, 4, Some("me"));
        Machine::new("me", expected, 0, 2).next(Seen::Lease(Some(released), false))
    };
    assert_eq!(read(4), ended(Outcome::Vanished));
    assert_eq!(read(3), ended(Outcome::TokenMoved { current: 4 }));
}

#[test]
fn an_attempt_that_has_launched_never_gives_its_lease_away() {
    let mut start = resuming(named(lease(Some("me"), 4, None), 6));
    assert_eq!(start.next(found(run("other", Stage::Live))), ended(Outcome::Busy("other")));
}

#[test]
fn a_lease_that_names_a_run_is_never_taken_over() {
    let mut start = Machine::new("me", 5, 0, 2);
    let held = named(lease(Some("other"), 5, None), 6);
    assert_eq!(start.next(Seen::Lease(Some(held), true)), ended(Outcome::Busy("other")));
}

#[test]
fn a_run_that_exists_is_looked_at_again() {
    let mut start = holding(None);
    start.next(Seen::Run(None));
    start.next(Seen::Run(None));
    assert_eq!(start.next(Seen::Exists), Action::Look(0));
}

#[test]
fn a_refused_run_frees_the_target() {
    let mut start = holding(Some("before"));
    start.next(Seen::Run(None));
    start.next(Seen::Run(None));
    let from = Some(lease(Some("me"), 4, Some("before")));
    assert_eq!(start.next(Seen::Refused), Action::WriteLease { from, to: lease(None, 5, Some("before")) });
    assert_eq!(start.next(Seen::Written), ended(Outcome::Refused));
}

#[test]
fn a_lost_race_for_the_lease_is_read_again() {
    let mut start = Machine::new("me", 0, 0, 1);
    assert_eq!(start.next(Seen::Moved), Action::ReadLease);
    // An answer to another question changes nothing.
    assert_eq!(start.next(Seen::Live), Action::ReadLease);
}

#[test]
fn a_run_removed_before_it_went_live_ends_the_try() {
    let mut start = holding(None);
    start.next(Seen::Run(None));
    start.next(Seen::Run(None));
    start.next(Seen::Created(7));
    start.next(Seen::Written);
    assert_eq!(start.next(Seen::Gone), ended(Outcome::RunGone));
}
