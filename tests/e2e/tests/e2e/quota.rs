//! A namespace that is full: refused at once where the run itself counts, given up where only its
//! pods do.

use evenkeel_test_kit::{
    Environment,
    evidence::{FAILED, SELECTED, STARTED},
    wait,
};
use k8s_openapi::{api::core::v1::ResourceQuota, apimachinery::pkg::api::resource::Quantity};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;

use crate::support::{Failure, LIMIT, check_failure, check_record, failure, on_a_node, options, said};

/// Lets nothing of this resource into the execution namespace.
pub(crate) async fn forbid(environment: &Environment, resource: &str) {
    let quotas: Api<ResourceQuota> = Api::namespaced(environment.client(), environment.execution_namespace());
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {resource: "0"}}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    // Before it is known how much is used, whatever is asked for is forbidden in other words.
    let counted = |quota: &ResourceQuota| {
        let status = quota.status.as_ref();
        [status.and_then(|status| status.hard.as_ref()), status.and_then(|status| status.used.as_ref())]
            .into_iter()
            .all(|known| known.is_some_and(|known| known.get(resource) == Some(&Quantity("0".to_owned()))))
    };
    wait::until(&quotas, "none", "being in force", LIMIT, counted).await.unwrap();
}

#[test]
fn a_quota_on_runs_refuses_the_execution_and_leaves_nothing() {
    on_a_node(async {
        let environment = Environment::start(options()).await.unwrap();
        forbid(&environment, "count/jobs.batch").await;
        let execution = environment.execution("refused", "shop/Deployment/refused", &[]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("refused", LIMIT).await.unwrap();
        let details = failure(&ended);
        assert_eq!(details.reason, "ResourceExhausted", "{details:?}");
        assert!(!details.was_execution_failure);
        assert!(details.message.contains("exceeded quota"), "{details:?}");
        assert!(details.natural_language_summary.contains("quota"), "{details:?}");
        assert_eq!(said(&ended, "ExecutionCreated"), ("False", "QuotaExceeded"));
        assert_eq!(said(&ended, "ExecutionComplete"), ("absent", ""), "nothing ever ran");
        assert_eq!(said(&ended, "Ready"), ("False", "NotReady"));
        check_record(&environment, &ended, &[SELECTED, FAILED]).await;
        let leases = environment.leases().list(&ListParams::default()).await.unwrap();
        let held = leases.items.iter().filter_map(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        assert!(held.into_iter().all(str::is_empty), "the target must be free: {leases:?}");
        environment.told(&ended, &["WorkflowValidationFailed", "WorkflowFailed"], LIMIT).await.unwrap();
    });
}

#[test]
fn a_quota_on_pods_ends_the_run_that_cannot_start() {
    on_a_node(async {
        let environment = Environment::start(options()).await.unwrap();
        forbid(&environment, "pods").await;
        let execution = environment.execution("crowded", "shop/Deployment/crowded", &[]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("crowded", LIMIT).await.unwrap();
        let expected = Failure {
            reason: "ResourceExhausted",
            complete: "ExecutionFailed",
            exit_code: None,
            executed: false,
        };
        check_failure(&ended, &expected);
        assert!(failure(&ended).message.contains("exceeded quota"), "{:?}", failure(&ended));
        check_record(&environment, &ended, &[SELECTED, STARTED, FAILED]).await;
        assert!(environment.jobs().list(&ListParams::default()).await.unwrap().items.is_empty());
    });
}
