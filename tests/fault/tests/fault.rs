//! The faults that matter most, in every run of the tests. `make fault` plays all of them.

use evenkeel_test_fault::{
    cluster::Ground,
    fault::{Action, Fault, Place},
    schedule::Schedule,
    seed,
    story::Story,
    table,
    verdict::Verdict,
};

/// Killed before and after every effect, and replaced while it stands still just after each that an
/// execution usually has. Of the rest, a sample: a leader is waited for until its Lease runs out.
/// Those with Tekton need a cluster of another kind, and `make fault` has it.
fn matters_most(fault: &Fault) -> bool {
    if fault.needs_tekton() {
        return false;
    }
    let is_usual = matches!(fault.story, Story::Plain | Story::UsedTarget | Story::Called);
    let is_sample = match fault.place {
        Place::Point { effect: "start" | "delete" | "lease.renew", .. } => fault.is_after(),
        Place::Point { effect: "status", time, .. } => {
            fault.is_after() && time == 1 && fault.story != Story::Refused
        }
        Place::Point { .. } => false,
        Place::Anywhere(_) => true,
    };
    match fault.action {
        Action::Kill => true,
        Action::Takeover => fault.is_after() && is_usual || is_sample,
        Action::Failover => is_sample && fault.story != Story::Cleared,
        Action::Both => is_sample,
        Action::Rival | Action::Heir | Action::Release => fault.is_after(),
        Action::Pause => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_runs_once_and_is_recorded_once_whatever_is_killed_or_paused_on_its_path() {
    let (ground, seed) = (Ground::without_pods().await.unwrap(), seed::chosen().unwrap());
    let faults = Fault::all().into_iter().filter(matters_most).collect();
    let failed = table::play(&ground, faults, seed).await.unwrap();
    assert_eq!(failed, 0, "see the rows above");
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_on_shared_targets_run_once_under_faults_at_random_moments() {
    let (ground, seed) = (Ground::without_pods().await.unwrap(), seed::chosen().unwrap());
    let again = format!("repeat it with {}={seed}", seed::VARIABLE);
    let verdicts = Schedule::of(seed).play(&ground).await;
    let verdicts = verdicts.unwrap_or_else(|error| unreachable!("{again}: {error:#}"));
    assert!(verdicts.iter().all(Verdict::is_good), "{again}: {verdicts:#?}");
}
