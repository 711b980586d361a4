//! A run that went live but whose workflow can never start.

use evenkeel_test_kit::evidence::{FAILED, SELECTED, STARTED};

use crate::support::{Failure, LIMIT, SHARED, check_failure, check_record, failure, on_a_node};

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
