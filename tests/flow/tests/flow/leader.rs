//! Two replicas of the controller: one acts, the other follows it.

use std::time::{Duration, Instant};

use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Environment, Options, Replica, Service, ServiceProcess,
    evidence::{COMPLETED, SELECTED, STARTED},
    run,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt as _};
use tokio::time::sleep;

use crate::support::{LIMIT, Stage, options};

const LEASE: &str = "workflowexecution.kubernaut.ai";
/// How long it may take until the other one leads when nobody gave the Lease up.
const FAILOVER: Duration = Duration::from_secs(20);
/// The same when it was given up.
const HAND_OVER: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(20);

async fn leads(process: &ServiceProcess) -> bool {
    // One that is paused or ended does not answer.
    let metrics = tokio::time::timeout(Duration::from_millis(500), process.metrics()).await;
    let leader =
        metrics.ok().and_then(Result::ok).and_then(|it| it.get("evenkeel_controller_leader").copied());
    leader.is_some_and(|leads| leads > 0.0)
}

/// Waits until it leads; gives how long that took.
async fn until_leading(process: &ServiceProcess, limit: Duration) -> Duration {
    let begun = Instant::now();
    while !leads(process).await {
        assert!(begun.elapsed() < limit, "it does not lead after {limit:?}:\n{}", process.log_tail());
        sleep(MOMENT).await;
    }
    begun.elapsed()
}

async fn lease(environment: &Environment) -> Lease {
    Api::namespaced(environment.client(), environment.namespace()).get(LEASE).await.unwrap()
}

/// An environment with a second controller that stands by and is ready.
async fn two(options: Options) -> (Stage, Replica) {
    let stage = Stage::start(options).await;
    let second = stage.replica(Service::Controller).unwrap();
    until_leading(stage.service(Service::Controller), HAND_OVER).await;
    second.start(&[]).unwrap();
    second.ready().await.unwrap();
    assert!(!leads(&second).await);
    (stage, second)
}

async fn begin(stage: &Stage, name: &str, seconds: &str) {
    let at = format!("shop/Deployment/{name}");
    stage.apply(&stage.execution(name, &at, &[("SLEEP_SECONDS", seconds)])).await.unwrap();
}

/// Checks that an execution ran once and is recorded once.
async fn check_once(stage: &Stage, launches: &evenkeel_test_kit::Launches, names: &[&str]) {
    for name in names {
        let ended = stage.settled(name, LIMIT).await.unwrap();
        assert_eq!(launches.of(&ended.uid().unwrap()).unwrap(), 1, "{name} ran once");
        assert_eq!(stage.recorded(name).await.unwrap(), [SELECTED, STARTED, COMPLETED], "{name}");
    }
}

#[test]
fn one_replica_acts_and_hands_over_at_once_when_it_ends() {
    run(async {
        let (stage, second) = two(options()).await;
        let launches = stage.launches().await.unwrap();
        begin(&stage, "first", "0").await;
        stage.settled("first", LIMIT).await.unwrap();
        let idle = second.metrics().await.unwrap();
        assert!(idle["evenkeel_controller_status_writes_total"] < 1.0, "who stands by writes nothing");
        begin(&stage, "meanwhile", "4").await;
        stage.phase("meanwhile", "Running", LIMIT).await.unwrap();
        let first = stage.service(Service::Controller);
        let (stopped, took) = tokio::join!(first.stop(), until_leading(&second, LIMIT));
        stopped.unwrap();
        println!("handed over after {took:?}");
        assert!(took < HAND_OVER, "handed over after {took:?}");
        begin(&stage, "after", "0").await;
        check_once(&stage, &launches, &["first", "meanwhile", "after"]).await;
        assert!(lease(&stage).await.spec.unwrap().lease_transitions >= Some(1));
    });
}

#[test]
fn a_leader_that_is_killed_is_followed_and_nothing_happens_twice() {
    run(async {
        let (stage, second) = two(options()).await;
        let launches = stage.launches().await.unwrap();
        begin(&stage, "running", "5").await;
        stage.phase("running", "Running", LIMIT).await.unwrap();
        stage.service(Service::Controller).kill();
        begin(&stage, "orphan", "0").await;
        let took = until_leading(&second, FAILOVER).await;
        println!("followed after {took:?}");
        check_once(&stage, &launches, &["running", "orphan"]).await;
        // Who comes back stands by.
        stage.service(Service::Controller).start(&[]).unwrap();
        stage.service(Service::Controller).ready().await.unwrap();
        assert!(leads(&second).await && !leads(stage.service(Service::Controller)).await);
    });
}

#[test]
fn a_leader_that_stood_still_does_nothing_when_it_wakes_up() {
    run(async {
        let (stage, second) = two(options()).await;
        let launches = stage.launches().await.unwrap();
        let first = stage.service(Service::Controller);
        begin(&stage, "running", "5").await;
        stage.phase("running", "Running", LIMIT).await.unwrap();
        first.pause();
        begin(&stage, "meanwhile", "1").await;
        until_leading(&second, FAILOVER).await;
        stage.phase("meanwhile", "Running", LIMIT).await.unwrap();
        first.resume();
        check_once(&stage, &launches, &["running", "meanwhile"]).await;
        assert!(leads(&second).await && !leads(first).await);
        begin(&stage, "after", "0").await;
        check_once(&stage, &launches, &["after"]).await;
    });
}

#[test]
fn a_controller_that_is_started_again_where_it_was_does_not_wait_for_itself() {
    run(async {
        let stage = Stage::start(options()).await;
        let only = stage.service(Service::Controller);
        until_leading(only, HAND_OVER).await;
        let before = lease(&stage).await.spec.unwrap();
        only.kill();
        only.start(&[]).unwrap();
        only.ready().await.unwrap();
        let took = until_leading(only, HAND_OVER).await;
        println!("led again {took:?} after it was ready");
        let after = lease(&stage).await.spec.unwrap();
        assert_eq!(before.holder_identity, after.holder_identity);
        assert!(after.lease_transitions > before.lease_transitions);
    });
}

#[test]
fn a_finished_execution_goes_when_it_was_kept_long_enough_and_a_blocking_one_stays() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_RETENTION", "3s")).await;
        begin(&stage, "done", "0").await;
        let at = "shop/Deployment/broken";
        stage.apply(&stage.execution("broken", at, &[("EXIT_CODE", "1")])).await.unwrap();
        stage.phase("broken", "Failed", LIMIT).await.unwrap();
        evenkeel_test_kit::wait::until_gone(&stage.executions(), "done", LIMIT).await.unwrap();
        assert_eq!(stage.recorded("done").await.unwrap(), [SELECTED, STARTED, COMPLETED]);
        begin(&stage, "later", "0").await;
        evenkeel_test_kit::wait::until_gone(&stage.executions(), "later", LIMIT).await.unwrap();
        let kept = stage.executions().get("broken").await.unwrap();
        assert!(kept.metadata.deletion_timestamp.is_none(), "it blocks its target until somebody clears it");
        assert!(stage.jobs().get_opt(&run_name(at)).await.unwrap().is_none(), "and holds nothing");
    });
}

#[test]
fn what_was_told_in_the_last_moment_leaves_before_the_process_does() {
    run(async {
        let stage = Stage::start(options()).await;
        let controller = stage.service(Service::Controller);
        begin(&stage, "last", "600").await;
        let running = stage.phase("last", "Running", LIMIT).await.unwrap();
        controller.stop().await.unwrap();
        // Nobody is left who would tell it later.
        assert_eq!(stage.recorded("last").await.unwrap(), [SELECTED, STARTED]);
        let told = ["WorkflowValidated", "ExecutionCreated", "PhaseTransition"];
        stage.told(&running, &told, LIMIT).await.unwrap();
    });
}
