//! Why an execution waits, and that it says so.

use std::time::Duration;

use evenkeel_api::WorkflowExecution;
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{Environment, Service, evidence::condition, run, wait};
use kube::{ResourceExt as _, api::DeleteParams};

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

#[test]
fn an_execution_that_never_ran_holds_nobody_up() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "1h")).await;
        let at = "shop/Deployment/untouched";
        let mut wrong = stage.execution("wrong", at, &[]);
        wrong.spec.workflow_ref.execution_engine = Some("argo".into());
        stage.apply(&wrong).await.unwrap();
        stage.phase("wrong", "Failed", LIMIT).await.unwrap();
        stage.apply(&stage.execution("right", at, &[])).await.unwrap();
        stage.phase("right", "Completed", LIMIT).await.unwrap();
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
