//! How workflows end that could start.

use evenkeel_api::ExecutionConfig;
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Environment,
    evidence::{COMPLETED, FAILED, SELECTED, STARTED, holds},
};
use k8s_openapi::api::core::v1::LimitRange;
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::support::{
    Failure, LIMIT, SHARED, check_failure, check_record, check_times, log, on_a_node, said,
};

#[test]
fn a_workflow_that_succeeds_completes_with_all_that_belongs_to_it() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let target = "shop/Deployment/succeeds";
        let mut execution =
            environment.execution("succeeds", target, &[("SLEEP_SECONDS", "1.2"), ("REPLICAS", "3")]);
        execution.spec.workflow_ref.declared_parameter_names =
            Some([("SLEEP_SECONDS".to_owned(), true)].into());
        environment.apply(&execution).await.unwrap();
        let ended = environment.phase("succeeds", "Completed", LIMIT).await.unwrap();
        let printed = log(&environment, &ended).await;
        assert!(printed.contains(&format!("remediating {target}\n")), "{printed}");
        assert!(printed.contains("waiting 1.2 s\n") && printed.ends_with("remediated\n"), "{printed}");

        let ended = environment.settled("succeeds", LIMIT).await.unwrap();
        let status = ended.status.as_ref().unwrap();
        assert_eq!(status.execution_engine.as_deref(), Some("job"));
        assert_eq!(status.execution_ref.as_ref().unwrap().name, run_name(target));
        assert_eq!(status.observed_generation, Some(1));
        assert_eq!((&status.failure_details, &status.failure_reason), (&None, &None));
        let run = status.execution_status.as_ref().unwrap();
        assert_eq!((run.status.as_str(), run.completed_tasks, run.total_tasks), ("True", Some(1), Some(1)));
        for kind in [
            "ExecutionCreated",
            "ExecutionRunning",
            "ExecutionComplete",
            "Ready",
            "AuditRecorded",
            "Released",
        ] {
            assert!(holds(&ended, kind), "{kind} is {:?}", said(&ended, kind));
        }
        check_times(&ended);
        check_record(&environment, &ended, &[SELECTED, STARTED, COMPLETED]).await;
        check_payload(&environment, target).await;
        let reasons =
            ["WorkflowValidated", "ExecutionCreated", "PhaseTransition", "WorkflowCompleted", "LockReleased"];
        environment.told(&ended, &reasons, LIMIT).await.unwrap();
    });
}

/// What the record of the completed workflow says. Parameters that the workflow does not declare
/// were not passed on, and values are not recorded.
async fn check_payload(environment: &Environment, target: &str) {
    let events = environment.audit_events("succeeds").await.unwrap();
    let data = &events[2].body["event_data"];
    assert_eq!(data["target_resource"], target);
    assert_eq!(data["pipelinerun_name"], run_name(target));
    assert_eq!(data["phase"], "Completed");
    assert_eq!(data["container_image"], evenkeel_cluster::DEMO_IMAGE);
    let parameters = data["parameters"].as_object().unwrap();
    assert_eq!(parameters.keys().collect::<Vec<_>>(), ["SLEEP_SECONDS"]);
    assert!(parameters["SLEEP_SECONDS"].as_str().unwrap().starts_with("sha256:"), "{parameters:?}");
}

#[test]
fn a_workflow_that_exits_seven_fails_with_its_exit_code() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let execution =
            environment.execution("exits-seven", "shop/Deployment/exits-seven", &[("EXIT_CODE", "7")]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.phase("exits-seven", "Failed", LIMIT).await.unwrap();
        let printed = log(&environment, &ended).await;
        assert!(printed.contains("told to end with code 7"), "{printed}");
        let expected =
            Failure { reason: "TaskFailed", complete: "TaskFailed", exit_code: Some(7), executed: true };
        check_failure(&ended, &expected);
        let details = crate::support::failure(&ended);
        assert_eq!(details.failed_step_name.as_deref(), Some("workflow"));
        assert!(
            details.failed_task_name.starts_with(&run_name("shop/Deployment/exits-seven")),
            "{details:?}"
        );
        let said = "\n  | could not remediate: told to end with code 7\n";
        assert!(details.natural_language_summary.contains(said), "{}", details.natural_language_summary);
        assert!(!details.message.contains("told to end"), "what a workflow prints is no fact: {details:?}");

        let ended = environment.settled("exits-seven", LIMIT).await.unwrap();
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
        let events = environment.audit_events("exits-seven").await.unwrap();
        let data = &events[2].body["event_data"];
        assert_eq!(data["failure_reason"], "TaskFailed");
        assert_eq!(data["error_details"]["code"], "ERR_PIPELINE_FAILED");
        assert_eq!(data["error_details"]["retry_possible"], false);
        assert!(!data.to_string().contains("told to end"), "what a workflow prints is not recorded: {data}");
        environment.told(&ended, &["WorkflowFailed", "LockReleased"], LIMIT).await.unwrap();
    });
}

#[test]
fn a_workflow_that_takes_too_much_memory_is_told_as_such() {
    on_a_node(async {
        let environment = Environment::start(crate::support::options()).await.unwrap();
        let limits: Api<LimitRange> =
            Api::namespaced(environment.client(), environment.execution_namespace());
        let limit = json!({
            "metadata": {"name": "small"},
            "spec": {"limits": [{"type": "Container", "default": {"memory": "64Mi"}}]},
        });
        limits.create(&PostParams::default(), &serde_json::from_value(limit).unwrap()).await.unwrap();
        let execution = environment.execution("greedy", "shop/Deployment/greedy", &[("ALLOCATE_MIB", "200")]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("greedy", LIMIT).await.unwrap();
        let expected =
            Failure { reason: "OOMKilled", complete: "OOMKilled", exit_code: Some(137), executed: true };
        check_failure(&ended, &expected);
        let told = &crate::support::failure(&ended).natural_language_summary;
        assert!(told.contains("memory limit is 64Mi") && told.contains("| taking 200 MiB"), "{told}");
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
    });
}

#[test]
fn a_workflow_that_takes_too_long_is_ended_at_its_deadline() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let mut execution =
            environment.execution("slow", "shop/Deployment/slow", &[("SLEEP_SECONDS", "600")]);
        execution.spec.execution_config = Some(ExecutionConfig { timeout: Some("2s".to_owned()) });
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("slow", LIMIT).await.unwrap();
        let details = crate::support::failure(&ended);
        let expected = Failure {
            reason: "DeadlineExceeded",
            complete: "DeadlineExceeded",
            exit_code: None,
            executed: true,
        };
        check_failure(&ended, &expected);
        for part in ["timeout in executionConfig (now 2s)", "\n  | waiting 600 s\n"] {
            assert!(details.natural_language_summary.contains(part), "{details:?}");
        }
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
    });
}
