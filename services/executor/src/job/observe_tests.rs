use serde_json::{Value, json};

use super::*;
use crate::marks::{LIVE, OWNER, OWNER_UID, TARGET, TOKEN};

fn job(status: Value) -> Job {
    serde_json::from_value(json!({
        "metadata": {
            "name": "wfe-1", "namespace": "runs", "uid": "j-1", "resourceVersion": "5",
            "annotations": {
                OWNER: "ops/fix", OWNER_UID: "u-1", TOKEN: "7", TARGET: "default/Deployment/web",
                LIVE: "true",
            },
        },
        "spec": {"suspend": false, "template": {}},
        "status": status,
    }))
    .unwrap()
}

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "wfe-1-abcde"}, "status": status})).unwrap()
}

fn container(state: Value) -> Pod {
    pod(json!({"containerStatuses": [{
        "name": "workflow", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }]}))
}

fn warning(reason: &str, message: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Job", "name": "wfe-1"},
        "reason": reason, "message": message,
    }))
    .unwrap()
}

fn ended(type_: &str, reason: &str) -> Value {
    json!({"conditions": [{
        "type": type_, "status": "True", "reason": reason, "message": "words",
        "lastTransitionTime": "2026-01-01T00:00:10Z",
    }]})
}

/// The facts, with nothing remembered.
fn told(job: &Job, pods: &[&Pod], warnings: &[&Event]) -> Execution {
    facts(job, pods, warnings, &mut Memory::default())
}

fn cause(facts: &Execution) -> Option<(&str, Option<i32>)> {
    facts.failed_task.as_ref().map(|task| (task.cause.as_str(), task.exit_code))
}

#[test]
fn a_running_job_reports_its_owner_token_and_pods() {
    let facts = told(&job(json!({"active": 1, "startTime": "2026-01-01T00:00:00Z"})), &[], &[]);
    assert_eq!(facts.state(), ExecutionState::Running);
    let owner = facts.owner.unwrap();
    assert_eq!((owner.namespace.as_str(), owner.name.as_str(), owner.uid.as_str()), ("ops", "fix", "u-1"));
    assert_eq!((facts.token, facts.message.as_str()), (7, "1 pod(s) active"));
    assert_eq!(facts.start_time.unwrap().seconds, 1_767_225_600);
    assert!(!facts.workflow_started);
}

#[test]
fn a_job_ends_by_its_condition_and_with_its_words() {
    let complete = told(&job(ended("Complete", "CompletionsReached")), &[], &[]);
    assert_eq!(complete.state(), ExecutionState::Succeeded);
    assert!(complete.workflow_started && complete.failed_task.is_none());
    for reason in ["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy"] {
        let failed = told(&job(ended("Failed", reason)), &[], &[]);
        assert_eq!((failed.state(), failed.reason.as_str()), (ExecutionState::Failed, reason));
        assert_eq!(
            (failed.message.as_str(), failed.completion_time.unwrap().seconds),
            ("words", 1_767_225_610)
        );
    }
    for pending in ["FailureTarget", "SuccessCriteriaMet", "Suspended"] {
        assert_eq!(told(&job(ended(pending, "x")), &[], &[]).state(), ExecutionState::Running, "{pending}");
    }
}

#[test]
fn a_suspended_job_is_inert_only_if_it_was_never_live() {
    let mut suspended = job(json!({}));
    suspended.spec.as_mut().unwrap().suspend = Some(true);
    assert_eq!(found(&suspended).stage, Stage::Live);
    suspended.metadata.annotations.as_mut().unwrap().remove(LIVE);
    assert_eq!(found(&suspended).stage, Stage::Inert);
    assert_eq!(told(&suspended, &[], &[]).state(), ExecutionState::Inert);
}

#[test]
fn a_job_is_at_rest_when_it_has_ended_or_was_suspended_and_has_no_pods() {
    let at_rest = |suspend: bool, status: Value| {
        let mut job = job(status);
        job.spec.as_mut().unwrap().suspend = Some(suspend);
        is_at_rest(&job)
    };
    let pods = |mut status: Value, kind: &str| {
        status[kind] = 1.into();
        status
    };
    assert!(at_rest(false, ended("Failed", "DeadlineExceeded")) && at_rest(false, ended("Complete", "x")));
    assert!(!at_rest(false, json!({})) && !at_rest(false, ended("FailureTarget", "x")));
    let suspended = ended("Suspended", "x");
    assert!(at_rest(true, suspended.clone()));
    assert!(!at_rest(true, json!({})), "Kubernetes has not heard of it yet");
    assert!(!at_rest(false, suspended.clone()), "it goes on again");
    assert!(!at_rest(true, pods(suspended.clone(), "active")));
    assert!(!at_rest(true, pods(suspended, "terminating")));
}

#[test]
fn a_suspended_job_of_somebody_else_is_never_inert() {
    let mut foreign = job(json!({}));
    foreign.spec.as_mut().unwrap().suspend = Some(true);
    let notes = foreign.metadata.annotations.as_mut().unwrap();
    notes.remove(LIVE);
    notes.remove(OWNER_UID);
    assert_eq!(found(&foreign).stage, Stage::Live);
    assert_eq!(told(&foreign, &[], &[]).state(), ExecutionState::Running);
}

#[test]
fn a_container_that_failed_or_cannot_start_is_the_failed_task() {
    let exit =
        |code: i32, reason: &str| container(json!({"terminated": {"exitCode": code, "reason": reason}}));
    let waits = |reason: &str| container(json!({"waiting": {"reason": reason, "message": "why"}}));
    let cases = vec![
        (exit(7, "Error"), Some(("Error", Some(7))), true),
        (exit(137, "OOMKilled"), Some(("OOMKilled", Some(137))), true),
        (exit(128, "StartError"), Some(("StartError", Some(128))), false),
        (exit(137, "ContainerStatusUnknown"), None, false),
        (exit(0, "Completed"), None, true),
        (waits("ErrImagePull"), Some(("ErrImagePull", None)), false),
        (waits("ImagePullBackOff"), Some(("ImagePullBackOff", None)), false),
        (waits("CreateContainerConfigError"), Some(("CreateContainerConfigError", None)), false),
        (waits("ContainerCreating"), None, false),
        (container(json!({"running": {}})), None, true),
    ];
    for (pod, expected, started) in cases {
        let facts = told(&job(json!({})), &[&pod], &[]);
        assert_eq!((cause(&facts), facts.workflow_started), (expected, started));
    }
}

#[test]
fn a_pod_that_never_ran_says_why() {
    let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "node low"}));
    assert_eq!(cause(&told(&job(json!({})), &[&evicted], &[])), Some(("Evicted", None)));
    let unscheduled = pod(json!({"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
    ]}));
    assert_eq!(cause(&told(&job(json!({})), &[&unscheduled], &[])), Some(("Unschedulable", None)));
}

#[test]
fn warnings_tell_what_no_pod_can() {
    let cases = [
        (warning("FailedCreate", "pods is forbidden: exceeded quota"), Some(("FailedCreate", None))),
        (warning("FailedMount", "secret not found"), Some(("FailedMount", None))),
        (warning("Failed", "Failed to pull image \"x\""), Some(("ErrImagePull", None))),
        (warning("Failed", "liveness probe failed"), None),
        (warning("BackoffLimitExceeded", "x"), None),
    ];
    for (event, expected) in cases {
        assert_eq!(cause(&told(&job(json!({})), &[], &[&event])), expected);
    }
}

#[test]
fn a_pod_ended_on_purpose_is_no_cause() {
    let killed = container(json!({"terminated": {"exitCode": 143, "reason": "Error"}}));
    for type_ in ["FailureTarget", "Failed"] {
        let facts = told(&job(ended(type_, "DeadlineExceeded")), &[&killed], &[]);
        assert_eq!(cause(&facts), Some(("DeadlineExceeded", None)), "{type_}");
        assert_eq!(facts.failed_task.unwrap().name, "wfe-1-abcde");
    }
    let mut cancelled = job(ended("Failed", "DeadlineExceeded"));
    cancelled.metadata.annotations.as_mut().unwrap().insert(CANCELLED.into(), "asked to".into());
    assert_eq!(cause(&told(&cancelled, &[&killed], &[])), Some(("Cancelled", None)));
    let stuck = container(json!({"waiting": {"reason": "ImagePullBackOff"}}));
    let facts = told(&job(ended("Failed", "DeadlineExceeded")), &[&stuck], &[]);
    assert_eq!(cause(&facts), Some(("ImagePullBackOff", None)));
}

#[test]
fn a_cancelled_job_says_so_and_why() {
    let mut cancelled = job(ended("Failed", "DeadlineExceeded"));
    cancelled.metadata.annotations.as_mut().unwrap().insert(CANCELLED.into(), "asked to".into());
    let facts = told(&cancelled, &[], &[]);
    assert_eq!((facts.reason.as_str(), facts.message.as_str()), ("Cancelled", "asked to"));
}

#[test]
fn a_job_of_somebody_else_has_an_owner_that_is_no_attempt() {
    let mut foreign = job(json!({}));
    foreign.metadata.annotations = None;
    let found = found(&foreign);
    assert_eq!((found.owner.name.as_str(), found.owner.uid.as_str()), ("wfe-1", "job-j-1"));
    assert_eq!(found.stage, Stage::Live);
}

#[test]
fn of_several_warnings_the_newest_that_says_something_is_told() {
    let job = job(json!({"active": 1}));
    let pull = warning("Failed", "Failed to pull image \"registry/absent:1\": not found");
    let bare = warning("Failed", "Error: ErrImagePull");
    for warnings in [[&pull, &bare], [&bare, &pull]] {
        let task = told(&job, &[], &warnings).failed_task.unwrap();
        assert!(task.message.contains("registry/absent:1"), "{task:?}");
    }
    let task = told(&job, &[], &[&bare]).failed_task.unwrap();
    assert_eq!((task.cause.as_str(), task.message.as_str()), ("ErrImagePull", "Error: ErrImagePull"));
}

#[test]
fn of_pods_that_nobody_saw_it_cannot_be_told_that_they_did_nothing() {
    let failed = |count: i32| {
        let mut status = ended("Failed", "DeadlineExceeded");
        status["failed"] = json!(count);
        job(status)
    };
    let pull = warning("Failed", "Failed to pull image \"x\"");
    let unseen = told(&failed(1), &[], &[&pull]);
    assert!(unseen.workflow_started, "it may have been pulled later");
    assert_eq!(cause(&unseen), Some(("ErrImagePull", None)));
    assert!(!told(&failed(0), &[], &[&pull]).workflow_started, "there was no pod");

    let mut memory = Memory::default();
    let stuck = container(json!({"waiting": {"reason": "ImagePullBackOff"}}));
    facts(&job(json!({})), &[&stuck], &[], &mut memory);
    assert!(!facts(&failed(1), &[], &[], &mut memory).workflow_started, "it was seen all along");
}

#[test]
fn what_kept_a_workflow_waiting_is_no_cause_once_it_has_begun() {
    let mut memory = Memory::default();
    let mount = warning("FailedMount", "not yet");
    let waits = facts(&job(json!({})), &[], &[&mount], &mut memory);
    assert_eq!(cause(&waits), Some(("FailedMount", None)));
    let running = container(json!({"running": {}}));
    assert_eq!(cause(&facts(&job(json!({})), &[&running], &[&mount], &mut memory)), None);
    let gone = facts(&job(ended("Failed", "BackoffLimitExceeded")), &[], &[&mount], &mut memory);
    assert_eq!((cause(&gone), gone.workflow_started), (None, true));
}
