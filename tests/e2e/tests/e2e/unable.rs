//! Runs that went live but whose workflow could not start.

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::Environment;

use crate::support::{
    FAILED, Failure, LIMIT, SELECTED, SHARED, STARTED, check_failure, check_record, failure, on_a_node,
};

/// Plays an execution that cannot start, to its end, and checks that it was given up, told why, and
/// left the target free.
async fn give_up(
    environment: &Environment,
    execution: &WorkflowExecution,
    reason: &'static str,
) -> WorkflowExecution {
    let name = execution.metadata.name.as_deref().unwrap();
    environment.apply(execution).await.unwrap();
    let ended = environment.settled(name, LIMIT).await.unwrap();
    check_failure(&ended, &Failure { reason, complete: "ExecutionFailed", exit_code: None, executed: false });
    check_record(environment, &ended, &[SELECTED, STARTED, FAILED]).await;
    let target = &execution.spec.target_resource;
    let again = environment.execution(&format!("{name}-again"), target, &[]);
    environment.apply(&again).await.unwrap();
    // At once, since the target does not rest after what never ran.
    environment.phase(&format!("{name}-again"), "Completed", LIMIT).await.unwrap();
    ended
}

#[test]
fn an_image_that_cannot_be_pulled_fails_before_anything_ran() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let mut execution = environment.execution("no-image", "shop/Deployment/no-image", &[]);
        execution.spec.workflow_ref.execution_bundle = "127.0.0.1:1/absent:1".to_owned();
        let ended = give_up(&environment, &execution, "ImagePullBackOff").await;
        let details = failure(&ended);
        assert!(details.message.contains("127.0.0.1:1/absent:1"), "{details:?}");
        assert!(details.natural_language_summary.contains("image"), "{details:?}");
    });
}

#[test]
fn a_missing_service_account_fails_before_anything_ran_and_is_named() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let mut execution = environment.execution("no-account", "shop/Deployment/no-account", &[]);
        execution.spec.workflow_ref.service_account_name = Some("absent-account".to_owned());
        let ended = give_up(&environment, &execution, "ConfigurationError").await;
        let status = ended.status.as_ref().unwrap();
        assert_eq!(status.service_account_name.as_deref(), Some("absent-account"));
        assert!(failure(&ended).message.contains("absent-account"), "{:?}", failure(&ended));
    });
}
