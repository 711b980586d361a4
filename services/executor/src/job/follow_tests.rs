use serde_json::{Value, json};

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::de::DeserializeOwned;

use super::*;

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

/// A Job that failed, with a volume for each of these Secrets.
fn failed_job(uid: &str, reason: &str, secrets: &[&str]) -> Change {
    let volumes: Vec<Value> =
        secrets.iter().map(|name| json!({"name": name, "secret": {"secretName": name}})).collect();
    Change::Job(there(
        "wfe-1",
        "wfe-1",
        json!({
            "metadata": {"name": "wfe-1", "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"template": {"spec": {"containers": [], "volumes": volumes}}},
            "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason}]},
        }),
    ))
}

fn exited(uid: &str, message: &str) -> Change {
    pod("p", uid, json!({"terminated": {"exitCode": 7, "reason": "Error", "message": message}}))
}

/// Takes a change in, publishes, and gives the questions.
fn apply(seen: &mut Seen, runs: &Runs, change: Change) -> Vec<Question> {
    let touched = seen.take_in(change);
    touched.iter().filter_map(|run| seen.publish(run, runs)).collect()
}

fn last_lines(runs: &Runs) -> Vec<String> {
    runs.get("wfe-1").unwrap().failed_task.map(|task| task.last_lines).unwrap_or_default()
}

fn answer(uid: &str, hidden: Option<&str>) -> Answer {
    let mask = hidden.map(|value| Mask::of([&ByteString(value.as_bytes().to_vec())].into_iter()));
    Answer { run: "wfe-1".into(), uid: uid.into(), mask }
}

fn gone_pod(name: &str) -> Change {
    Change::Pod(Update::Gone { run: "wfe-1".into(), name: name.into() })
}

#[test]
fn why_a_run_could_not_start_is_remembered_after_its_pod_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, pod("p", "j-1", json!({"waiting": {"reason": "ImagePullBackOff"}})));
    apply(&mut seen, &runs, gone_pod("p"));
    assert_eq!(runs.get("wfe-1").unwrap().failed_task.unwrap().cause, "ImagePullBackOff");
}

#[test]
fn that_a_run_had_started_is_remembered_after_its_pod_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, pod("p", "j-1", json!({"running": {}})));
    apply(&mut seen, &runs, gone_pod("p"));
    assert!(runs.get("wfe-1").unwrap().workflow_started);
}

#[test]
fn pods_of_an_earlier_job_of_the_same_name_do_not_count() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, pod("old", "j-0", json!({"terminated": {"exitCode": 7}})));
    apply(&mut seen, &runs, job("j-1"));
    let facts = runs.get("wfe-1").unwrap();
    assert!(facts.failed_task.is_none() && !facts.workflow_started);
}

#[test]
fn what_a_new_list_does_not_hold_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    let (_, start) = runs.snapshot();
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, Change::Job(Update::Listing));
    apply(&mut seen, &runs, Change::Job(Update::Listed));
    assert_eq!(runs.count(), 0);
    let (changes, _) = runs.since(start).unwrap();
    assert_eq!(changes.last().unwrap().state(), ExecutionState::Gone);
}

#[test]
fn a_job_that_cannot_be_read_is_not_told_as_gone_until_it_is() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, pod("p", "j-1", json!({"running": {}})));
    let (_, here) = runs.snapshot();
    let metadata = json!({"name": "wfe-1", "uid": "j-1", "annotations": {"evenkeel.dev/owner-uid": "u-1"}});
    let metadata: Box<ObjectMeta> = Box::new(serde_json::from_value(metadata).unwrap());
    let odd = |metadata| Update::Unreadable { run: "wfe-1".into(), name: "wfe-1".into(), metadata };
    apply(&mut seen, &runs, Change::Job(odd(metadata.clone())));
    let facts = runs.get("wfe-1").unwrap();
    assert_eq!(
        (facts.state(), &facts.owner),
        (ExecutionState::Unspecified, &None),
        "nobody is answered by it"
    );
    apply(&mut seen, &runs, failed_job("j-1", "BackoffLimitExceeded", &[]));
    assert!(runs.get("wfe-1").unwrap().workflow_started, "it was remembered");
    apply(&mut seen, &runs, Change::Job(odd(metadata)));
    apply(&mut seen, &runs, Change::Job(Update::Gone { run: "wfe-1".into(), name: "wfe-1".into() }));
    let (changes, _) = runs.since(here).unwrap();
    let states: Vec<_> = changes.iter().map(Execution::state).collect();
    assert_eq!(states, [ExecutionState::Unspecified, ExecutionState::Failed, ExecutionState::Gone]);
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

#[test]
fn why_a_run_lost_its_pod_is_remembered_after_the_pod_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, job("j-1"));
    let mut evicted = pod("p", "j-1", json!({"terminated": {"exitCode": 143, "reason": "Error"}}));
    if let Change::Pod(Update::There { object, .. }) = &mut evicted {
        let conditions =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]);
        object.status.as_mut().unwrap().conditions = serde_json::from_value(conditions).unwrap();
    }
    apply(&mut seen, &runs, evicted);
    apply(&mut seen, &runs, gone_pod("p"));
    apply(&mut seen, &runs, failed_job("j-1", "BackoffLimitExceeded", &[]));
    let facts = runs.get("wfe-1").unwrap();
    let task = facts.failed_task.unwrap();
    assert_eq!((task.cause.as_str(), task.exit_code), ("EvictionByEvictionAPI", Some(143)));
    assert!(facts.workflow_started);
}

#[test]
fn the_end_of_a_run_comes_with_what_it_said_last_also_after_its_pod_is_gone() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, job("j-1"));
    assert_eq!(apply(&mut seen, &runs, exited("j-1", "one\ntwo\n")), []);
    apply(&mut seen, &runs, gone_pod("p"));
    assert_eq!(apply(&mut seen, &runs, failed_job("j-1", "BackoffLimitExceeded", &[])), []);
    let facts = runs.get("wfe-1").unwrap();
    assert_eq!(
        (facts.state(), last_lines(&runs)),
        (ExecutionState::Failed, vec!["one".into(), "two".into()])
    );
}

#[test]
fn the_end_of_a_run_with_secrets_waits_until_it_is_known_what_to_hide() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, exited("j-1", "using hunter2"));
    let questions = apply(&mut seen, &runs, failed_job("j-1", "BackoffLimitExceeded", &["db"]));
    let expected = Question { run: "wfe-1".into(), uid: "j-1".into(), secrets: ["db".to_owned()].into() };
    assert_eq!(questions, [expected]);
    let held = runs.get("wfe-1").unwrap();
    assert_eq!((held.state(), held.completion_time), (ExecutionState::Running, None));
    assert_eq!(last_lines(&runs), [""; 0], "nothing is told yet");
    assert_eq!(apply(&mut seen, &runs, gone_pod("p")), [], "it is asked once");

    for run in seen.learn(answer("j-1", Some("hunter2"))) {
        seen.publish(&run, &runs);
    }
    assert_eq!(runs.get("wfe-1").unwrap().state(), ExecutionState::Failed);
    assert_eq!(last_lines(&runs), ["using ***"]);
}

#[test]
fn words_that_may_hold_a_secret_that_cannot_be_read_are_withheld() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, exited("j-1", "using hunter2"));
    apply(&mut seen, &runs, failed_job("j-1", "BackoffLimitExceeded", &["db"]));
    seen.learn(answer("j-0", Some("other")));
    seen.publish("wfe-1", &runs);
    assert_eq!(last_lines(&runs), [""; 0], "the answer for an earlier Job is none for this one");
    seen.learn(answer("j-1", None));
    seen.publish("wfe-1", &runs);
    assert_eq!(runs.get("wfe-1").unwrap().state(), ExecutionState::Failed);
    let told = last_lines(&runs).join("");
    assert!(told.contains("withheld") && !told.contains("hunter2"), "{told}");
}

#[test]
fn what_was_remembered_of_a_run_is_nothing_to_the_next_of_its_name() {
    let (mut seen, runs) = (Seen::default(), Runs::new("i".into(), [ENGINE]));
    apply(&mut seen, &runs, job("j-1"));
    apply(&mut seen, &runs, exited("j-1", "one"));
    apply(&mut seen, &runs, gone_pod("p"));
    apply(&mut seen, &runs, job("j-2"));
    let facts = runs.get("wfe-1").unwrap();
    assert!(facts.failed_task.is_none() && !facts.workflow_started, "{facts:?}");
    apply(&mut seen, &runs, Change::Job(Update::Gone { run: "wfe-1".into(), name: "wfe-1".into() }));
    assert!(seen.remembered.is_empty());
}
