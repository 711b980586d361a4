//! A run that went live but whose workflow can never start.

use std::time::Duration;

use evenkeel_api::ExecutionConfig;
use evenkeel_test_kit::{
    Environment,
    evidence::{FAILED, SELECTED, STARTED},
};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::support::{Failure, LIMIT, SHARED, check_failure, check_record, failure, on_a_node, options};

#[test]
fn an_image_that_cannot_be_pulled_is_given_up_before_anything_ran() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let mut execution = environment.execution("no-image", "shop/Deployment/no-image", &[]);
        execution.spec.workflow_ref.execution_bundle = "127.0.0.1:1/absent:1".to_owned();
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("no-image", LIMIT).await.unwrap();
        let expected = Failure {
            reason: "ImagePullBackOff",
            complete: "ExecutionFailed",
            exit_code: None,
            executed: false,
        };
        check_failure(&ended, &expected);
        let details = failure(&ended);
        assert!(details.message.contains("127.0.0.1:1/absent:1"), "{details:?}");
        assert!(details.natural_language_summary.contains("registry and credentials"), "{details:?}");
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
    });
}

#[test]
fn a_run_that_no_node_has_room_for_waits_until_its_deadline_and_says_what_was_missing() {
    on_a_node(async {
        let environment = Environment::start(options()).await.unwrap();
        let limits: Api<LimitRange> =
            Api::namespaced(environment.client(), environment.execution_namespace());
        let limit = json!({
            "metadata": {"name": "huge"},
            "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "1000"}}]},
        });
        limits.create(&PostParams::default(), &serde_json::from_value(limit).unwrap()).await.unwrap();
        let mut execution = environment.execution("homeless", "shop/Deployment/homeless", &[]);
        // Longer than the patience with what can never start, which this is not.
        execution.spec.execution_config = Some(ExecutionConfig { timeout: Some("5s".to_owned()) });
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("homeless", LIMIT).await.unwrap();
        let expected = Failure {
            reason: "ResourceExhausted",
            complete: "ExecutionFailed",
            exit_code: None,
            executed: false,
        };
        check_failure(&ended, &expected);
        let details = failure(&ended);
        assert_eq!(
            ended.status.as_ref().unwrap().execution_status.as_ref().unwrap().reason.as_deref(),
            Some("DeadlineExceeded")
        );
        assert!(details.message.contains("Insufficient cpu"), "{details:?}");
        assert!(details.natural_language_summary.contains("add a node"), "{details:?}");
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
    });
}

/// Lets only hardened pods into the execution namespace, and waits until that is in force.
async fn restrict(environment: &Environment) {
    let spaces: Api<Namespace> = Api::all(environment.client());
    let strict = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let space = environment.execution_namespace();
    spaces.patch(space, &PatchParams::default(), &Patch::Merge(strict)).await.unwrap();
    let lax = json!({"metadata": {"name": "lax"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let lax: Pod = serde_json::from_value(lax).unwrap();
    let trial = PostParams { dry_run: true, ..PostParams::default() };
    tokio::time::timeout(LIMIT, async {
        while environment.pods().create(&trial, &lax).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

#[test]
fn a_run_whose_pods_the_namespace_forbids_is_given_up_with_what_is_forbidden() {
    on_a_node(async {
        let lax = options().setting("EVENKEEL_JOB_RUN_AS_NON_ROOT", "false");
        let environment = Environment::start(lax).await.unwrap();
        restrict(&environment).await;
        let execution = environment.execution("forbidden", "shop/Deployment/forbidden", &[]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("forbidden", LIMIT).await.unwrap();
        let expected =
            Failure { reason: "Forbidden", complete: "ExecutionFailed", exit_code: None, executed: false };
        check_failure(&ended, &expected);
        let details = failure(&ended);
        for part in ["violates PodSecurity", "runAsNonRoot"] {
            assert!(details.message.contains(part), "{details:?}");
        }
        assert!(details.natural_language_summary.contains("admission rules"), "{details:?}");
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
    });
}
