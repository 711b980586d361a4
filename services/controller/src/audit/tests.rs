use evenkeel_core::{
    conditions::{self, kind},
    phase::Phase,
    record::{Spec, Status as Stored, StoredPhase},
};

use super::*;

const UID: &str = "7a1c9d52-0f0e-4f0c-9d4e-3a1b2c3d4e5f";

fn record(phase: Phase) -> Record {
    let mut conditions = Vec::new();
    if phase.is_terminal() {
        let why = ("R", String::new());
        conditions::set(&mut conditions, kind::EXECUTION_COMPLETE, phase == Phase::Completed, why, 1, 0);
    }
    Record {
        namespace: "ops".to_owned(),
        name: "we-1".to_owned(),
        uid: UID.to_owned(),
        spec: Spec { remediation_request: "rr-1".to_owned(), ..Spec::default() },
        status: Stored {
            phase: StoredPhase::Known(phase),
            engine: Some("job".to_owned()),
            start: Some(1_000),
            completion: phase.is_terminal().then_some(2_000),
            conditions,
            ..Stored::default()
        },
        ..Record::default()
    }
}

/// Deliveries whose other end is in the hands of the test.
fn deliveries() -> (Deliveries, mpsc::UnboundedReceiver<Item>) {
    let (queue, items) = mpsc::unbounded_channel();
    (Deliveries { queue: Some(queue), state: Arc::default() }, items)
}

fn types(items: &mut mpsc::UnboundedReceiver<Item>) -> Vec<String> {
    std::iter::from_fn(|| items.try_recv().ok()).map(|item| item.event.event_type).collect()
}

fn acknowledge(deliveries: &Deliveries, count: usize) {
    deliveries.state.tracked.lock().get_mut(UID).unwrap().acknowledged += count;
}

#[test]
fn each_event_is_submitted_once_and_in_order() {
    let (deliveries, mut items) = deliveries();
    assert_eq!(deliveries.follow(&record(Phase::Running), None), Audit::Pending);
    assert_eq!(deliveries.follow(&record(Phase::Running), None), Audit::Pending);
    assert_eq!(
        types(&mut items),
        ["workflowexecution.selection.completed", "workflowexecution.execution.started"]
    );
    acknowledge(&deliveries, 2);
    assert_eq!(deliveries.follow(&record(Phase::Running), None), Audit::Acknowledged);
    assert_eq!(deliveries.follow(&record(Phase::Completed), None), Audit::Pending);
    assert_eq!(types(&mut items), ["workflowexecution.workflow.completed"]);
}

#[test]
fn after_a_restart_everything_unsettled_is_submitted_again() {
    let mut done = record(Phase::Completed);
    let (before, mut first) = deliveries();
    before.follow(&done, None);
    let (after, mut second) = deliveries();
    after.follow(&done, None);
    let sent: Vec<_> = std::iter::from_fn(|| first.try_recv().ok()).map(|item| item.event).collect();
    let again: Vec<_> = std::iter::from_fn(|| second.try_recv().ok()).map(|item| item.event).collect();
    assert_eq!(sent, again, "to the last byte");
    for kind in [kind::RELEASED, kind::AUDIT_RECORDED] {
        conditions::set(&mut done.status.conditions, kind, true, ("R", String::new()), 1, 0);
    }
    assert_eq!(after.follow(&done, None), Audit::Acknowledged);
    assert!(after.state.tracked.lock().is_empty(), "what is settled is forgotten");
}

#[test]
fn trouble_shows_while_it_lasts() {
    let (deliveries, _items) = deliveries();
    let running = record(Phase::Running);
    deliveries.follow(&running, None);
    deliveries.state.is_failing.store(true, Ordering::Relaxed);
    assert_eq!(deliveries.follow(&running, None), Audit::Failing);
    deliveries.state.tracked.lock().get_mut(UID).unwrap().is_refused = true;
    assert_eq!(deliveries.follow(&running, None), Audit::Refused);
    acknowledge(&deliveries, 2);
    assert_eq!(deliveries.follow(&running, None), Audit::Acknowledged);
}

#[test]
fn without_a_service_nothing_is_delivered() {
    let deliveries = Deliveries { queue: None, state: Arc::default() };
    assert_eq!(deliveries.follow(&record(Phase::Running), None), Audit::Off);
}

#[test]
fn the_message_is_that_of_the_contract() {
    let events = event::derive(&record(Phase::Completed));
    let message = message(UID, &events[2]);
    assert_eq!(message.event_action, "completed");
    assert_eq!(message.event_category, "workflowexecution");
    assert_eq!(
        (message.actor_type.as_str(), message.actor_id.as_str()),
        ("service", "workflowexecution-controller")
    );
    assert_eq!((message.resource_type.as_str(), message.resource_id.as_str()), ("WorkflowExecution", "we-1"));
    assert_eq!(message.correlation_id, "rr-1");
    assert_eq!(message.event_timestamp.unwrap().seconds, 2);
    let data: serde_json::Value = serde_json::from_str(&message.event_data_json).unwrap();
    assert_eq!(data["event_type"], message.event_type);
}

#[test]
fn a_clearance_after_everything_was_settled_is_submitted_in_the_name_of_its_user() {
    let (deliveries, mut items) = deliveries();
    let mut failed = record(Phase::Failed);
    let details = serde_json::json!({ "failedTaskIndex": 0, "failedTaskName": "", "reason": "TaskFailed",
        "message": "m", "failedAt": "2026-01-01T00:00:00Z", "naturalLanguageSummary": "",
        "wasExecutionFailure": true });
    let status = serde_json::json!({ "failureDetails": details, "blockClearance": {
        "clearMethod": "StatusField", "clearReason": "looked at it", "clearedBy": "mary" } });
    let mut object =
        evenkeel_api::WorkflowExecution::new("we-1", evenkeel_api::WorkflowExecutionSpec::default());
    object.status = serde_json::from_value(status).unwrap();
    let read = crate::record::from_object(&object).status;
    failed.status.failure = read.failure;
    for kind in [kind::RELEASED, kind::AUDIT_RECORDED] {
        conditions::set(&mut failed.status.conditions, kind, true, ("R", String::new()), 1, 0);
    }
    assert_eq!(deliveries.follow(&failed, None), Audit::Acknowledged);
    failed.status.clearance = read.clearance;
    assert_eq!(deliveries.follow(&failed, None), Audit::Pending);
    let sent: Vec<_> = std::iter::from_fn(|| items.try_recv().ok()).map(|item| item.event).collect();
    let last = sent.last().unwrap();
    assert_eq!((sent.len(), last.event_type.as_str()), (4, "workflowexecution.block.cleared"));
    assert_eq!((last.actor_type.as_str(), last.actor_id.as_str()), ("user", "mary"));
    assert_eq!(last.event_action, "block_cleared");
    assert_eq!(last.event_id, event_id(UID, "workflowexecution.block.cleared"));
    acknowledge(&deliveries, 4);
    assert_eq!(deliveries.follow(&failed, None), Audit::Acknowledged);
}

#[test]
fn ids_are_the_same_for_ever_and_differ_by_type_and_execution() {
    let id = event_id(UID, "workflowexecution.execution.started");
    assert_eq!(id, event_id(UID, "workflowexecution.execution.started"));
    assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 5);
    assert_ne!(id, event_id(UID, "workflowexecution.workflow.completed"));
    assert_ne!(id, event_id("another", "workflowexecution.execution.started"));
}
