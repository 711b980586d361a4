use evenkeel_core::{conditions, conditions::kind};
use serde_json::json;

use super::*;

fn object() -> WorkflowExecution {
    serde_json::from_value(json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "namespace": "ops", "name": "we-1", "uid": "u-1", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["example.com/keep", FINALIZER],
            "annotations": {
                "opentelemetry.io/traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
        },
        "spec": {
            "remediationRequestRef": { "name": "rr-1" },
            "workflowRef": { "workflowId": "restart", "version": "1", "executionBundle": "image" },
            "targetResource": "ns/Deployment/api",
        },
        "status": {
            "phase": "Failed", "startTime": "2026-01-01T00:00:01Z", "completionTime": "2026-01-01T00:01:31Z",
            "duration": "1m30s", "executionRef": { "name": "wfe-1" }, "executionEngine": "job",
            "failureReason": "OOMKilled",
            "failureDetails": {
                "failedTaskIndex": 0, "failedTaskName": "pod-1", "reason": "OOMKilled", "message": "killed",
                "failedAt": "2026-01-01T00:01:31Z", "naturalLanguageSummary": "it was killed",
                "wasExecutionFailure": true, "exitCode": 137, "executionTimeBeforeFailure": "1m30s",
            },
            "executionStatus": { "status": "False", "reason": "BackoffLimitExceeded", "totalTasks": 1, "completedTasks": 0 },
            "conditions": [{
                "type": "ExecutionComplete", "status": "False", "reason": "OOMKilled", "message": "m",
                "lastTransitionTime": "2026-01-01T00:01:31Z", "observedGeneration": 2,
            }, {
                "type": "Ready", "status": "False", "reason": "NotReady", "message": "m",
                "lastTransitionTime": "2026-01-01T00:01:31Z", "observedGeneration": 2,
            }],
        },
    }))
    .unwrap()
}

#[test]
fn an_object_is_understood() {
    let record = from_object(&object());
    assert_eq!(
        (record.namespace.as_str(), record.name.as_str(), record.uid.as_str()),
        ("ops", "we-1", "u-1")
    );
    assert!(record.has_finalizer && !record.deleting);
    assert_eq!(record.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(record.created, 1_767_225_600_000);
    assert_eq!(record.phase(), Some(Phase::Failed));
    assert_eq!(record.status.duration, Some(Duration::from_secs(90)));
    assert!(record.was_executed());
    assert_eq!(record.spec.remediation_request, "rr-1");
    assert!(conditions::is_false(&record.status.conditions, kind::READY));
}

#[test]
fn what_is_understood_is_stored_as_it_was() {
    let object = object();
    let stored = to_status(&from_object(&object).status);
    assert_eq!(serde_json::to_value(stored).unwrap(), serde_json::to_value(object.status).unwrap());
}

#[test]
fn an_empty_phase_is_none_and_a_foreign_one_is_kept() {
    let mut object = object();
    for (phase, expected) in
        [("", StoredPhase::Unset), ("Skipped", StoredPhase::Foreign("Skipped".to_owned()))]
    {
        object.status.as_mut().unwrap().phase = Some(phase.to_owned());
        assert_eq!(from_object(&object).status.phase, expected);
    }
    assert_eq!(from_object(&object).phase(), None);
}

#[test]
fn an_object_without_a_trace_has_none() {
    let mut object = object();
    object.metadata.annotations = None;
    assert_eq!(carrier(&object), None);
    assert_eq!(from_object(&object).trace_id, "");
}
