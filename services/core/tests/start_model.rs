//! Every interleaving of the start and the release, over the very machines that ship.
//!
//! Two engines; three starters, which may belong to one attempt on two replicas; a crash or any delay at
//! every step; a takeover whenever it might be due; runs that finish at any time; a release at any time,
//! also before anything was started, and cut short and asked for again; and somebody who deletes runs,
//! whether inert, live or finished. In every state:
//!
//! - I1: at most one run is live;
//! - I2: no attempt went live twice;
//! - no run of an attempt is live when its release is done.
//!
//! And ten times over, with one rule left out: then there must be a counter-example, which is printed.

#[path = "start_model/model.rs"]
mod model;
#[path = "start_model/search.rs"]
mod search;
#[path = "start_model/world.rs"]
mod world;

use evenkeel_core::start::Rule;

use model::{M, Model, N, S};
use search::{Found, search};

/// One attempt on two replicas, against one in the other engine.
const DOUBLED_ACROSS: [u8; 3] = [S, S, N];
/// One attempt on two replicas, against one in the same engine.
const DOUBLED_WITHIN: [u8; 3] = [S, S, M];
/// Three attempts.
const THREE: [u8; 3] = [S, N, M];

fn assert_holds(mut model: Model) {
    let Found { states, violation } = search(&mut model);
    println!("visited {states} states");
    let steps = violation.map(|(what, steps)| format!("{what}\n{}", steps.join("\n")));
    assert_eq!(steps, None);
}

/// Leaving the rule out must break something, in one of the configurations.
fn assert_needed(rule: Rule) {
    let found = [DOUBLED_ACROSS, DOUBLED_WITHIN, THREE].into_iter().find_map(|starters| {
        let mut model = Model::new(starters, Some(rule));
        // Only these two are about runs that somebody deletes.
        if matches!(rule, Rule::LaunchedMark | Rule::MarkStays) {
            model = model.with_deletions();
        }
        let Found { states, violation } = search(&mut model);
        let (what, steps) = violation?;
        println!("without {rule:?}: {what}, in {} steps, after {states} states", steps.len());
        println!("{}", steps.join("\n"));
        Some(steps)
    });
    assert!(found.is_some(), "nothing breaks without {rule:?}");
}

#[test]
fn holds_for_a_doubled_attempt_against_another_engine() {
    assert_holds(Model::new(DOUBLED_ACROSS, None));
}

#[test]
fn holds_for_a_doubled_attempt_against_the_same_engine() {
    assert_holds(Model::new(DOUBLED_WITHIN, None));
}

#[test]
fn holds_for_a_doubled_attempt_whose_runs_are_deleted() {
    assert_holds(Model::new(DOUBLED_ACROSS, None).with_deletions());
    assert_holds(Model::new(DOUBLED_WITHIN, None).with_deletions());
}

/// Nobody deletes runs here, which would take twice as long.
#[test]
fn holds_for_three_attempts() {
    assert_holds(Model::new(THREE, None));
}

#[test]
fn holds_for_repeated_tries_and_releases_of_two_attempts() {
    assert_holds(Model::new(THREE, None).with([2, 1, 0], 0).with_deletions());
    assert_holds(Model::new(THREE, None).with([1, 0, 1], 1).with_deletions());
}

#[test]
fn looking_before_taking_the_lease_is_not_enough() {
    assert_needed(Rule::LookAfterTaking);
}

#[test]
fn looking_in_one_engine_is_not_enough() {
    assert_needed(Rule::LookEverywhere);
}

#[test]
fn removing_the_run_before_freeing_the_lease_breaks() {
    assert_needed(Rule::FreeFirst);
}

#[test]
fn a_release_must_grow_the_token() {
    assert_needed(Rule::ReleaseGrowsToken);
}

#[test]
fn a_release_must_grow_the_token_of_a_foreign_lease() {
    assert_needed(Rule::ReleaseGrowsForeignToken);
}

#[test]
fn a_start_must_carry_the_expected_token() {
    assert_needed(Rule::ExpectedToken);
}

#[test]
fn the_holders_late_request_must_not_resume() {
    assert_needed(Rule::ResumeOnlyNext);
}

#[test]
fn the_lease_must_be_read_again_before_going_live() {
    assert_needed(Rule::Verify);
}

#[test]
fn the_lease_must_name_the_run_before_it_goes_live() {
    assert_needed(Rule::LaunchedMark);
}

#[test]
fn a_lease_that_names_a_run_must_stay_with_its_holder() {
    assert_needed(Rule::MarkStays);
}
