use serde_json::{Value, json};

use super::*;
use evenkeel_proto::execution::v1::ExecutionState;

fn there<K: DeserializeOwned>(run: &str, name: &str, object: Value) -> Update<K> {
    Update::There {
        run: run.into(),
        name: name.into(),
        object: Box::new(serde_json::from_value(object).unwrap()),
    }
}

fn job(uid: &str) -> Change {
    Change::Job(there(
        "wfe-1",
        "wfe-1",
        json!({
            "metadata": {"name": "wfe-1", "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"template": {}},
        }),
    ))
}

fn pod(name: &str, job_uid: &str, state: Value) -> Change {
    Change::Pod(there(
        "wfe-1",
        name,
        json!({
            "metadata": {"name": name, "uid": name, "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "wfe-1", "uid": job_uid},
            ]},
            "status": {"containerStatuses": [{
                "name": "workflow", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }]},
        }),
    ))
}

fn apply(seen: &mut Seen, runs: &Runs, change: Change) {
    for run in seen.take_in(change) {
        seen.publish(&run, runs);
    }
}

fn gone_pod(name: &str) -> Change {
    Change::Pod(Update::Gone { run: "wfe-1".into(), name: name.into() })
}

#[test]
fn why_a_run_could_not_start_is_remembered_after_its_pod_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into()));
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, pod("p", "j-1", json!({"waiting": {"reason": "ImagePullBackOff"}})));
    apply(&mut seen, &runs, gone_pod("p"));
    assert_eq!(runs.get("wfe-1").unwrap().failed_task.unwrap().cause, "ImagePullBackOff");
}

#[test]
fn that_a_run_had_started_is_remembered_after_its_pod_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into()));
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, pod("p", "j-1", json!({"running": {}})));
    apply(&mut seen, &runs, gone_pod("p"));
    assert!(runs.get("wfe-1").unwrap().workflow_started);
}

#[test]
fn pods_of_an_earlier_job_of_the_same_name_do_not_count() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into()));
    apply(&mut seen, &runs, pod("old", "j-0", json!({"terminated": {"exitCode": 7}})));
    apply(&mut seen, &runs, job("j-1"));
    let facts = runs.get("wfe-1").unwrap();
    assert!(facts.failed_task.is_none() && !facts.workflow_started);
}

#[test]
fn what_a_new_list_does_not_hold_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into()));
    let (_, start) = runs.snapshot();
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, Change::Job(Update::Listing));
    apply(&mut seen, &runs, Change::Job(Update::Listed));
    assert_eq!(runs.count(), 0);
    let (changes, _) = runs.since(start).unwrap();
    assert_eq!(changes.last().unwrap().state(), ExecutionState::Gone);
}

#[test]
fn warnings_are_assigned_to_their_run() {
    let warning = |kind: &str, name: &str| -> Event {
        serde_json::from_value(json!({"metadata": {}, "involvedObject": {"kind": kind, "name": name}}))
            .unwrap()
    };
    assert_eq!(run_of_warning(&warning("Job", "wfe-1")).as_deref(), Some("wfe-1"));
    assert_eq!(run_of_warning(&warning("Pod", "wfe-1-abcde")).as_deref(), Some("wfe-1"));
    assert_eq!(run_of_warning(&warning("Pod", "x")), None);
    assert_eq!(run_of_warning(&warning("Node", "n1")), None);
}
