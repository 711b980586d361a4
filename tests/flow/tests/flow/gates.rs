//! Why an execution waits, and that it says so.

use std::time::Duration;

use evenkeel_api::{Dependencies, NameRef, WorkflowExecution};
use evenkeel_controller::CANCEL_ANNOTATION;
use evenkeel_core::{gate::ends_at, target::run_name};
use evenkeel_test_kit::{Environment, Service, evidence::condition, run, wait};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use crate::support::{LIMIT, Stage, options};

fn blocked<'a>(execution: &'a WorkflowExecution, reason: &str) -> Option<&'a str> {
    let blocked = condition(execution, "Blocked")?;
    (blocked.status == "True" && blocked.reason == reason).then_some(blocked.message.as_str())
}

async fn until_blocked(environment: &Environment, name: &str, reason: &str) -> WorkflowExecution {
    let executions = environment.executions();
    wait::until(&executions, name, reason, LIMIT, |it| blocked(it, reason).is_some()).await.unwrap()
}

#[test]
fn a_target_rests_after_a_run_and_the_next_says_until_when() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "1h")).await;
        let at = "shop/Deployment/resting";
        stage.apply(&stage.execution("before", at, &[])).await.unwrap();
        let before = stage.phase("before", "Completed", LIMIT).await.unwrap();
        stage.apply(&stage.execution("after", at, &[])).await.unwrap();
        let after = until_blocked(&stage, "after", "CooldownActive").await;
        let message = blocked(&after, "CooldownActive").unwrap();
        assert!(
            message.contains("before") && message.contains(at) && message.contains("1h0m0s"),
            "{message}"
        );
        assert_eq!(after.status.as_ref().unwrap().phase.as_deref(), Some("Pending"));
        stage.told(&after, &["CooldownActive"], LIMIT).await.unwrap();
        let job = stage.jobs().get(&run_name(at)).await.unwrap();
        let owner = &job.annotations()["evenkeel.dev/owner-uid"];
        assert_eq!(Some(owner), before.uid().as_ref(), "the finished run stays while its target rests");

        // What never ran does not make the target rest longer, and deleting what ran ends the rest.
        stage.executions().delete("before", &DeleteParams::default()).await.unwrap();
        stage.phase("after", "Completed", LIMIT).await.unwrap();
    });
}

/// An execution that needs a Secret which is not there, so that the executor refuses its start.
fn impossible(stage: &Stage, name: &str, at: &str) -> WorkflowExecution {
    let mut wrong = stage.execution(name, at, &[]);
    let secrets = vec![NameRef { name: "absent".to_owned() }];
    wrong.spec.workflow_ref.dependencies = Some(Dependencies { secrets, ..Dependencies::default() });
    wrong
}

#[test]
fn an_execution_that_never_ran_arms_no_cooldown() {
    run(async {
        let settings = options().setting("EVENKEEL_COOLDOWN", "1h").setting("EVENKEEL_BACKOFF", "off");
        let stage = Stage::start(settings).await;
        let at = "shop/Deployment/untouched";
        stage.apply(&impossible(&stage, "wrong", at)).await.unwrap();
        stage.phase("wrong", "Failed", LIMIT).await.unwrap();
        stage.apply(&stage.execution("right", at, &[])).await.unwrap();
        stage.phase("right", "Completed", LIMIT).await.unwrap();
    });
}

#[test]
fn a_target_rests_longer_after_each_failure_before_execution_and_starts_when_it_said() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_BACKOFF", "4s")).await;
        let at = "shop/Deployment/unlucky";
        stage.apply(&impossible(&stage, "unable-1", at)).await.unwrap();
        stage.phase("unable-1", "Failed", LIMIT).await.unwrap();
        stage.apply(&impossible(&stage, "unable-2", at)).await.unwrap();
        let again = until_blocked(&stage, "unable-2", "ExponentialBackoff").await;
        let message = blocked(&again, "ExponentialBackoff").unwrap();
        assert!(message.contains("failed once") && message.contains("unable-1"), "{message}");
        stage.told(&again, &["ExponentialBackoff"], LIMIT).await.unwrap();
        let second = stage.phase("unable-2", "Failed", LIMIT).await.unwrap();
        stage.apply(&stage.execution("able", at, &[])).await.unwrap();
        let able = until_blocked(&stage, "able", "ExponentialBackoff").await;
        let message = blocked(&able, "ExponentialBackoff").unwrap();
        assert!(message.contains("failed 2 times") && message.contains("unable-2"), "{message}");
        let opens = ends_at(message).unwrap();
        let failed = second.status.unwrap().completion_time.unwrap().0.as_millisecond();
        assert!((7_000..=9_000).contains(&(opens - failed)), "twice as long: {message}");
        let able = stage.phase("able", "Completed", LIMIT).await.unwrap();
        let started = able.status.unwrap().start_time.unwrap().0.as_millisecond();
        // Times are stored in whole seconds.
        assert!((-1_000..2_000).contains(&(started - opens)), "it starts when the gate opens: {message}");
        // A success begins the row anew.
        stage.settled("able", LIMIT).await.unwrap();
        stage.apply(&stage.execution("next", at, &[])).await.unwrap();
        stage.phase("next", "Completed", LIMIT).await.unwrap();
    });
}

#[test]
fn a_target_that_has_rested_is_used_at_once() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "5s")).await;
        let at = "shop/Deployment/prompt";
        stage.apply(&stage.execution("before", at, &[])).await.unwrap();
        stage.phase("before", "Completed", LIMIT).await.unwrap();
        stage.apply(&stage.execution("after", at, &[])).await.unwrap();
        let after = until_blocked(&stage, "after", "CooldownActive").await;
        let opens = ends_at(blocked(&after, "CooldownActive").unwrap()).unwrap();
        let after = stage.phase("after", "Completed", LIMIT).await.unwrap();
        let started = after.status.unwrap().start_time.unwrap().0.as_millisecond();
        assert!((-1_000..2_000).contains(&(started - opens)), "{} ms after it", started - opens);
    });
}

#[test]
fn an_execution_that_is_cancelled_ends_and_holds_nobody_up() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_BLOCK", "false")).await;
        let at = "shop/Deployment/unwanted";
        let cancel = async |name: &str| {
            let why = Patch::Merge(json!({"metadata": {"annotations": {CANCEL_ANNOTATION: "not needed"}}}));
            stage.executions().patch(name, &PatchParams::default(), &why).await.unwrap();
        };
        stage.apply(&stage.execution("runs", at, &[("SLEEP_SECONDS", "600")])).await.unwrap();
        stage.phase("runs", "Running", LIMIT).await.unwrap();
        stage.apply(&stage.execution("waits", at, &[])).await.unwrap();
        until_blocked(&stage, "waits", "TargetBusy").await;
        cancel("waits").await;
        let waits = stage.phase("waits", "Failed", LIMIT).await.unwrap().status.unwrap();
        let details = waits.failure_details.unwrap();
        assert!(details.message.contains("not needed") && !details.was_execution_failure, "{details:?}");
        cancel("runs").await;
        let runs = stage.phase("runs", "Failed", LIMIT).await.unwrap().status.unwrap();
        let details = runs.failure_details.unwrap();
        assert!(details.message.contains("not needed") && details.was_execution_failure, "{details:?}");
        stage.apply(&stage.execution("next", at, &[])).await.unwrap();
        stage.phase("next", "Completed", LIMIT).await.unwrap();
    });
}

#[test]
fn an_execution_waits_for_an_executor_that_is_away_and_says_so() {
    run(async {
        let stage = Stage::start(options()).await;
        stage.service(Service::Executor).kill();
        stage.apply(&stage.execution("patient", "shop/Deployment/patient", &[])).await.unwrap();
        let waiting = until_blocked(&stage, "patient", "ExecutorUnavailable").await;
        assert_eq!(waiting.status.unwrap().phase.unwrap_or_default(), "Pending");
        stage.service(Service::Executor).start(&[]).unwrap();
        stage.phase("patient", "Completed", LIMIT).await.unwrap();
        let ended = stage.settled("patient", LIMIT).await.unwrap();
        assert_eq!(condition(&ended, "Blocked").unwrap().status, "False");
    });
}

#[test]
fn a_lock_without_a_run_is_taken_over_after_the_start_timeout() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_START_TIMEOUT", "3s")).await;
        let at = "shop/Deployment/abandoned";
        stage.service(Service::Executor).stop().await.unwrap();
        let failing = [("EVENKEEL_FAILPOINTS", "executor.lease.after=kill")];
        stage.service(Service::Executor).start(&failing).unwrap();
        stage.service(Service::Executor).ready().await.unwrap();
        let left = crate::support::owner("crashed");
        let request = crate::support::start(crate::support::spec(left.clone(), at, &[]), 0);
        // It dies after it took the lock; nobody will come for this attempt again.
        stage.executor().unwrap().start_execution(request).await.unwrap_err();
        stage.service(Service::Executor).exited(LIMIT).await.unwrap();
        stage.service(Service::Executor).start(&[]).unwrap();
        stage.apply(&stage.execution("successor", at, &[])).await.unwrap();
        let waiting = until_blocked(&stage, "successor", "TargetBusy").await;
        let message = blocked(&waiting, "TargetBusy").unwrap();
        assert!(message.contains("callers/crashed"), "{message}");
        stage.phase("successor", "Completed", Duration::from_secs(30)).await.unwrap();
    });
}
