//! What happens when somebody removes things while a workflow runs.

use std::time::Duration;

use evenkeel_api::WorkflowExecution;
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Environment,
    evidence::{FAILED, SELECTED, STARTED},
    wait,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, EvictParams},
    runtime::conditions::is_pod_running,
};

use crate::support::{Failure, LIMIT, SHARED, check_failure, check_record, failure, on_a_node, pods};

/// Applies an execution that would take ten minutes, and waits until its container runs.
async fn running(environment: &Environment, name: &str) -> (WorkflowExecution, Pod) {
    let target = format!("shop/Deployment/{name}");
    let execution = Box::new(environment.execution(name, &target, &[("SLEEP_SECONDS", "600")]));
    environment.apply(&execution).await.unwrap();
    let execution = environment.phase(name, "Running", LIMIT).await.unwrap();
    let run = run_name(&execution.spec.target_resource);
    let created = |job: &k8s_openapi::api::batch::v1::Job| {
        job.status.as_ref().and_then(|status| status.active).unwrap_or(0) > 0
    };
    wait::until(&environment.jobs(), &run, "its pod", LIMIT, created).await.unwrap();
    let pod = pods(environment, &execution).await.remove(0);
    let condition = is_pod_running();
    let runs = |pod: &Pod| kube::runtime::wait::Condition::matches_object(&condition, Some(pod));
    let pod = wait::until(&environment.pods(), &pod.name_any(), "running", LIMIT, runs).await.unwrap();
    (execution, pod)
}

#[test]
fn a_run_deleted_by_hand_fails_its_execution_for_good() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let (execution, _pod) = running(&environment, "run-deleted").await;
        let run = run_name(&execution.spec.target_resource);
        environment.jobs().delete(&run, &DeleteParams::background()).await.unwrap();
        // Long before the poll: the watch tells of it.
        let ended = environment.phase("run-deleted", "Failed", Duration::from_secs(20)).await.unwrap();
        let expected =
            Failure { reason: "Unknown", complete: "ExecutionFailed", exit_code: None, executed: true };
        check_failure(&ended, &expected);
        assert!(failure(&ended).message.contains("deleted"), "{:?}", failure(&ended));
        let ended = environment.settled("run-deleted", LIMIT).await.unwrap();
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
        let lease = environment.leases().get(&run).await.unwrap();
        assert_eq!(lease.spec.unwrap().holder_identity.unwrap_or_default(), "", "the target is free");
    });
}

#[test]
fn a_workflow_whose_pod_is_evicted_fails_for_want_of_a_place_and_may_have_changed_something() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let (_, pod) = running(&environment, "evicted").await;
        environment.pods().evict(&pod.name_any(), &EvictParams::default()).await.unwrap();
        let ended = environment.phase("evicted", "Failed", LIMIT).await.unwrap();
        let expected = Failure {
            reason: "ResourceExhausted",
            complete: "ExecutionFailed",
            exit_code: Some(143),
            executed: true,
        };
        check_failure(&ended, &expected);
        let details = failure(&ended);
        assert_eq!(details.failed_task_name, pod.name_any());
        assert!(details.message.contains("Eviction"), "{details:?}");
        for part in ["\n  | ended by terminated\n", "node had no place"] {
            assert!(details.natural_language_summary.contains(part), "{details:?}");
        }
        let ended = environment.settled("evicted", LIMIT).await.unwrap();
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
    });
}

#[test]
fn a_deleted_execution_takes_its_run_along_and_frees_the_target() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let (execution, pod) = running(&environment, "deleted").await;
        let run = run_name(&execution.spec.target_resource);
        environment.executions().delete("deleted", &DeleteParams::default()).await.unwrap();
        wait::until_gone(&environment.executions(), "deleted", LIMIT).await.unwrap();
        assert!(
            environment.jobs().get_opt(&run).await.unwrap().is_none(),
            "the run must go before its execution"
        );
        assert!(environment.pods().get_opt(&pod.name_any()).await.unwrap().is_none());
        let lease = environment.leases().get(&run).await.unwrap();
        assert_eq!(lease.spec.unwrap().holder_identity.unwrap_or_default(), "", "the target is free");
        check_record(&environment, &execution, &[SELECTED, STARTED]).await;
        let told = environment.told(&execution, &["WorkflowExecutionDeleted"], LIMIT).await.unwrap();
        let note = told.iter().find(|event| event.reason.as_deref() == Some("WorkflowExecutionDeleted"));
        assert!(note.unwrap().note.as_deref().unwrap().contains("Running"), "{told:?}");
        let next = environment.execution("deleted-next", &execution.spec.target_resource, &[]);
        environment.apply(&next).await.unwrap();
        environment.phase("deleted-next", "Completed", LIMIT).await.unwrap();
    });
}
