//! The faults that matter most, in every run of the tests. `make fault` plays all of them.

#![allow(clippy::unwrap_used)] // tests only

use evenkeel_test_fault::{
    cluster,
    fault::{Action, Fault, Place},
    schedule::Schedule,
    seed, table,
    verdict::Verdict,
};

/// Killed before and after every effect, replaced while it stands still just after each, and, of what
/// needs two replicas of the controller, a sample: a leader is waited for until its Lease runs out.
fn matters_most(fault: &Fault) -> bool {
    let is_sample =
        matches!(fault.place, Place::Point { effect: "start" | "status" | "delete", time: 1, .. })
            || matches!(fault.place, Place::Anywhere(_));
    match fault.action {
        Action::Kill => true,
        Action::Takeover | Action::Rival | Action::Release => fault.is_after(),
        Action::Failover | Action::Both => is_sample && (fault.is_after() || fault.failpoint().is_empty()),
        Action::Pause => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_runs_once_and_is_recorded_once_whatever_is_killed_or_paused_on_its_path() {
    let (cluster, seed) = (cluster::shared().await.unwrap(), seed::chosen().unwrap());
    let faults = Fault::all().into_iter().filter(matters_most).collect();
    let failed = table::play(&cluster.kubeconfig_path(), faults, seed).await.unwrap();
    assert_eq!(failed, 0, "see the rows above");
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_on_shared_targets_run_once_under_faults_at_random_moments() {
    let (cluster, seed) = (cluster::shared().await.unwrap(), seed::chosen().unwrap());
    let again = format!("repeat it with {}={seed}", seed::VARIABLE);
    let verdicts = Schedule::of(seed).play(&cluster.kubeconfig_path()).await;
    let verdicts = verdicts.unwrap_or_else(|error| unreachable!("{again}: {error:#}"));
    assert!(verdicts.iter().all(Verdict::is_good), "{again}: {verdicts:#?}");
}
