use evenkeel_core::gate::End;
use serde_json::{Value, json};

use super::*;

fn object(name: &str, target: &str, phase: &str) -> WorkflowExecution {
    version(name, target, phase, 1)
}

fn version(name: &str, target: &str, phase: &str, version: u32) -> WorkflowExecution {
    serde_json::from_value(json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "namespace": "ops", "name": name, "uid": name, "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "remediationRequestRef": {},
            "workflowRef": { "workflowId": "w", "version": "1", "executionBundle": "b" },
            "targetResource": target,
        },
        "status": {
            "phase": phase, "completionTime": "2026-01-01T00:00:00Z", "conditions": conditions(phase),
        },
    }))
    .unwrap()
}

/// What comes with an end.
fn conditions(phase: &str) -> Value {
    let status = match phase {
        "Completed" => "True",
        "Failed" => "False",
        _ => return json!([]),
    };
    json!([{
        "type": "ExecutionComplete", "status": status, "reason": "R", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}

fn failed(name: &str, clearance: Value) -> WorkflowExecution {
    let mut object = version(name, "x/1", "Failed", 9);
    object.status = serde_json::from_value(json!({
        "phase": "Failed", "completionTime": "2026-01-01T00:00:00Z", "blockClearance": clearance,
        "conditions": conditions("Failed"),
        "failureDetails": {
            "failedTaskIndex": 0, "failedTaskName": "", "reason": "TaskFailed", "message": "m",
            "failedAt": "2026-01-01T00:00:00Z", "naturalLanguageSummary": "", "wasExecutionFailure": true,
        },
    }))
    .unwrap();
    object
}

fn reference(name: &str) -> Reference {
    ObjectRef::new(name).within("ops")
}

fn complete() -> Index {
    let index = Index::default();
    index.apply(&Event::Init);
    index.apply(&Event::InitDone);
    index
}

/// The history as somebody new on the target has to see it.
fn history(index: &Index, target: &str) -> History {
    let mut record = Record { uid: "zz".to_owned(), created: i64::MAX, ..Record::default() };
    record.spec.target = target.to_owned();
    index.history(&record).unwrap()
}

fn last_run(index: &Index, target: &str) -> Option<String> {
    history(index, target).last_run.map(|past| past.name)
}

#[test]
fn there_is_no_history_before_everything_was_seen() {
    let index = Index::default();
    let record = Record::default();
    assert_eq!(index.history(&record), None);
    index.apply(&Event::Init);
    index.apply(&Event::InitApply(object("a", "x/1", "Completed")));
    assert_eq!(index.history(&record), None);
    index.apply(&Event::InitDone);
    assert!(index.history(&record).is_some());
    index.apply(&Event::Init);
    assert!(index.history(&record).is_some(), "what is known stays known while the watch begins anew");
}

#[test]
fn the_history_of_a_target_is_what_ended_on_it() {
    let index = complete();
    for (name, target, phase) in
        [("a", "x/1", "Completed"), ("b", "x/1", "Running"), ("c", "x/2", "Failed"), ("d", "x/1", "Pending")]
    {
        index.apply(&Event::Apply(object(name, target, phase)));
    }
    assert_eq!(last_run(&index, "x/1").as_deref(), Some("ops/a"));
    assert_eq!(history(&index, "x/1").ahead.as_deref(), Some("ops/d"));
    assert_eq!((last_run(&index, "x/2"), history(&index, "x/2").unable), (None, 1));
    assert_eq!(index.next("x/1"), Some(reference("d")));
    index.apply(&Event::Delete(object("a", "x/1", "Completed")));
    assert_eq!(last_run(&index, "x/1"), None);
}

#[test]
fn what_a_new_list_does_not_show_is_forgotten() {
    let index = Index::default();
    for name in ["a", "b"] {
        index.apply(&Event::Apply(object(name, "x/1", "Completed")));
    }
    index.apply(&Event::Init);
    index.apply(&Event::InitApply(object("b", "x/1", "Completed")));
    assert!(index.knows("a"), "until the list is complete");
    index.apply(&Event::InitDone);
    assert_eq!(last_run(&index, "x/1").as_deref(), Some("ops/b"));
    assert!(!index.knows("a"));
}

#[test]
fn whoever_is_next_is_woken_by_what_the_others_do_and_nobody_else_is() {
    let index = complete();
    let apply =
        |name: &str, phase: &str, at: u32| index.apply(&Event::Apply(version(name, "x/1", phase, at)));
    assert_eq!(apply("a", "Pending", 1), []);
    assert_eq!(apply("b", "Pending", 2), [], "a new one behind it changes nothing for the first");
    assert_eq!(apply("c", "Pending", 3), []);
    assert_eq!(apply("a", "Running", 4), [reference("b")]);
    assert_eq!(apply("a", "Running", 5), [], "no news");
    assert_eq!(apply("a", "Failed", 6), [reference("b")]);
    assert_eq!(index.apply(&Event::Apply(failed("a", Value::Null))), [reference("b")]);
    let clearance = json!({ "clearMethod": "StatusField", "clearReason": "r", "clearedBy": "mary" });
    assert_eq!(history(&index, "x/1").last_run.unwrap().how, End::Failed);
    assert_eq!(index.apply(&Event::Apply(failed("a", clearance))), [reference("b")]);
    assert_eq!(history(&index, "x/1").last_run.unwrap().how, End::Cleared);
    apply("d", "Pending", 10);
    let gone = index.apply(&Event::Delete(object("c", "x/1", "Pending")));
    assert_eq!(gone, [reference("b"), reference("d")], "and whoever is directly behind one that goes");
    apply("c", "Pending", 11);
    assert_eq!(index.apply(&Event::Delete(object("b", "x/1", "Pending"))), [reference("c")]);
    assert_eq!(index.apply(&Event::Delete(failed("a", Value::Null))), [reference("c")]);
    assert_eq!(index.apply(&Event::Delete(object("d", "x/1", "Pending"))), [reference("c")]);
    assert_eq!(index.apply(&Event::Delete(object("c", "x/1", "Pending"))), []);
}

#[test]
fn a_watch_that_lags_does_not_undo_our_own_writes() {
    let index = complete();
    index.apply(&Event::Apply(version("a", "x/1", "Pending", 5)));
    index.apply(&Event::Apply(version("b", "x/1", "Pending", 6)));
    assert_eq!(index.put(&version("a", "x/1", "Running", 8)), [reference("b")]);
    assert_eq!(index.apply(&Event::Apply(version("a", "x/1", "Pending", 7))), []);
    assert_eq!(index.next("x/1"), Some(reference("b")));
    // A list is believed all the same: the versions may have begun anew.
    index.apply(&Event::Init);
    index.apply(&Event::InitApply(version("a", "x/1", "Pending", 2)));
    assert_eq!(index.next("x/1"), Some(reference("a")));
}

#[test]
fn what_is_gone_does_not_come_back_by_a_late_answer() {
    let index = complete();
    index.apply(&Event::Apply(version("a", "x/1", "Pending", 5)));
    index.apply(&Event::Delete(version("a", "x/1", "Pending", 6)));
    assert_eq!(index.put(&version("a", "x/1", "Pending", 6)), []);
    assert_eq!(index.next("x/1"), None, "or those behind it would wait for ever");
}
