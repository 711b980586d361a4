//! Executions that can never run: they fail before anything is made, and say why.

use evenkeel_api::{ExecutionConfig, WorkflowExecution};
use evenkeel_kit::trace::TRACEPARENT_ANNOTATION;
use evenkeel_test_kit::{
    Environment,
    evidence::{AuditEvent, FAILED, SELECTED, condition},
    run,
};
use futures::future::join_all;
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
    core::ApiResource,
};

use crate::support::{LIMIT, Stage, options};

/// What is wrong, the reason it fails for, and words that it is told with.
type Case = (fn(&mut WorkflowExecution), &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    (
        |it| {
            it.spec.workflow_ref.execution_bundle = String::new();
            it.spec.target_resource = String::new();
        },
        "ConfigurationError",
        &["executionBundle", "required"],
    ),
    (|it| it.spec.target_resource = String::new(), "ConfigurationError", &["targetResource"]),
    (|it| it.spec.target_resource = "default".into(), "ConfigurationError", &["format", "1"]),
    (|it| it.spec.target_resource = "a/b/c/d".into(), "ConfigurationError", &["format", "4"]),
    (|it| it.spec.target_resource = "/deployment/x".into(), "ConfigurationError", &["0", "empty"]),
    (|it| it.spec.target_resource = "default//x".into(), "ConfigurationError", &["1", "empty"]),
    (|it| it.spec.target_resource = "a/".into(), "ConfigurationError", &["1", "empty"]),
    (|it| it.spec.workflow_ref.execution_engine = None, "ConfigurationError", &["executionEngine"]),
    (|it| it.spec.workflow_ref.execution_engine = Some("argo".into()), "UnsupportedEngine", &["argo", "job"]),
    (|it| set(it, "WITH-DASH", "x"), "ConfigurationError", &["WITH-DASH", "environment name"]),
    (|it| set(it, "LARGE", &"x".repeat(256 * 1024)), "ConfigurationError", &["parameters"]),
    (
        |it| it.spec.execution_config = Some(ExecutionConfig { timeout: Some("soon".into()) }),
        "ConfigurationError",
        &["timeout", "soon"],
    ),
    (
        |it| it.spec.execution_config = Some(ExecutionConfig { timeout: Some("-5s".into()) }),
        "ConfigurationError",
        &["timeout", "-5s", "above zero"],
    ),
    (
        |it| it.spec.workflow_ref.execution_bundle_digest = Some("sha256:12".into()),
        "ConfigurationError",
        &["digest"],
    ),
];

fn set(execution: &mut WorkflowExecution, name: &str, value: &str) {
    execution.spec.parameters.insert(name.to_owned(), value.to_owned());
}

#[test]
fn executions_that_can_never_run_fail_with_their_reason_and_leave_nothing() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "1h")).await;
        join_all(CASES.iter().enumerate().map(|(number, case)| check(&stage, number, case))).await;
        assert!(stage.jobs().list(&ListParams::default()).await.unwrap().items.is_empty());
        let leases = stage.leases().list(&ListParams::default()).await.unwrap().items;
        let held = leases.iter().filter_map(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        assert!(held.into_iter().all(str::is_empty), "{leases:?}");
        let metrics = stage.service(evenkeel_test_kit::Service::Controller).metrics().await.unwrap();
        let of = |name: &str| metrics.iter().find(|(key, _)| key.starts_with(name)).map(|(_, value)| *value);
        #[expect(clippy::cast_precision_loss, reason = "there are few cases")]
        let count = CASES.len() as f64;
        assert_eq!(of("workflowexecution_reconciler_total{outcome=\"Failed\""), Some(count), "{metrics:?}");
        assert_eq!(of("workflowexecution_reconciler_duration_seconds_sum{outcome=\"Failed\""), Some(0.0));
        assert_eq!(of("workflowexecution_reconciler_duration_seconds_count{outcome=\"Failed\""), Some(count));
    });
}

async fn check(environment: &Environment, number: usize, (spoil, reason, words): &Case) {
    let name = format!("invalid-{number}");
    let mut execution = environment.execution(&name, &format!("shop/Deployment/{name}"), &[]);
    spoil(&mut execution);
    environment.apply(&execution).await.unwrap();
    let ended = environment.settled(&name, LIMIT).await.unwrap();
    let status = ended.status.as_ref().unwrap();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    let details = status.failure_details.as_ref().unwrap();
    assert_eq!(details.reason, *reason, "{details:?}");
    assert!(!details.was_execution_failure);
    for word in *words {
        assert!(details.message.contains(word), "'{word}' is not in {:?}", details.message);
    }
    assert!(details.message.len() < 1000);
    for absent in ["ExecutionRunning", "ExecutionComplete"] {
        assert!(condition(&ended, absent).is_none(), "{absent} speaks of a run that never was");
    }
    assert_eq!(condition(&ended, "ExecutionCreated").unwrap().status, "False");
    assert_eq!((&status.start_time, &status.execution_ref), (&None, &None));
    let events = environment.audit_events(&name).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(AuditEvent::kind).collect();
    assert!(kinds == [FAILED] || kinds == [SELECTED, FAILED], "{kinds:?}");
    let recorded = if *reason == "UnsupportedEngine" { "Unknown" } else { reason };
    assert_eq!(events.last().unwrap().body["event_data"]["failure_reason"], recorded);
    environment.told(&ended, &["WorkflowValidationFailed", "WorkflowFailed"], LIMIT).await.unwrap();
    required_keys_are_stored(environment, &name).await;
}

/// Empty and zero values are there, since the definition requires their keys.
async fn required_keys_are_stored(environment: &Environment, name: &str) {
    let resource = ApiResource::erase::<WorkflowExecution>(&());
    let api: Api<DynamicObject> =
        Api::namespaced_with(environment.client(), environment.namespace(), &resource);
    let stored = api.get(name).await.unwrap();
    assert!(stored.annotations().contains_key(TRACEPARENT_ANNOTATION));
    let details = &stored.data["status"]["failureDetails"];
    assert_eq!((&details["failedTaskIndex"], &details["failedTaskName"]), (&0.into(), &"".into()));
}
