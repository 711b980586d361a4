use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    super::fixtures::{exit, read, task_run},
    *,
};
use crate::marks::{LIVE, OWNER, OWNER_UID, TARGET, TOKEN};

/// A live run of ours with this status.
fn run(status: Value) -> PipelineRun {
    serde_json::from_value(json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {
            "name": "wfe-1", "namespace": "runs", "uid": "p-1", "resourceVersion": "5",
            "annotations": {
                OWNER: "ops/fix", OWNER_UID: "u-1", TOKEN: "7", TARGET: "default/Deployment/web", LIVE: "true",
            },
        },
        "spec": {"pipelineRef": {"resolver": "bundles"}, "timeouts": {"pipeline": "1m30s"}},
        "status": status,
    }))
    .unwrap()
}

fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!([{
        "type": "Succeeded", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:10Z",
    }])
}

fn references(children: &[(&str, &str)]) -> Value {
    children
        .iter()
        .map(|(kind, name)| {
            json!({"apiVersion": "tekton.dev/v1", "kind": kind, "name": name, "pipelineTaskName": name})
        })
        .collect()
}

/// A run whose children are these TaskRuns.
fn run_of(status: &str, reason: &str, names: &[&str]) -> PipelineRun {
    let children: Vec<_> = names.iter().map(|name| ("TaskRun", *name)).collect();
    run(json!({
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": condition(status, reason, "words"), "childReferences": references(&children),
    }))
}

fn task(name: &str, status: &str, reason: &str, steps: Value) -> TaskRun {
    read(task_run(name, "p-1", (status, reason), steps))
}

/// A step that Tekton ended, for this reason of its TaskRun.
fn ended(name: &str, reason: &str, had_begun: bool) -> Value {
    let mut step = exit(name, 1, reason, reason);
    if !had_begun {
        // As it is: the creation of the TaskRun.
        step["terminated"]["startedAt"] = json!("2026-01-01T00:00:00Z");
    }
    step
}

fn failure(facts: &Execution) -> (i32, &str, &str, Option<i32>, &str) {
    let task = facts.failed_task.as_ref().unwrap();
    (task.index, &task.name, &task.step, task.exit_code, &task.cause)
}

#[test]
fn a_pipeline_ends_by_its_condition_and_with_its_words() {
    for (status, state) in [
        ("True", ExecutionState::Succeeded),
        ("False", ExecutionState::Failed),
        ("Unknown", ExecutionState::Running),
    ] {
        let facts = facts(&run_of(status, "Reason", &[]), &[]);
        assert_eq!(
            (facts.state(), facts.reason.as_str(), facts.message.as_str()),
            (state, "Reason", "words")
        );
        assert_eq!(facts.start_time.unwrap().seconds, 1_767_225_600);
        let ended_at = facts.completion_time.map(|time| time.seconds);
        assert_eq!(ended_at, (status != "Unknown").then_some(1_767_225_610));
    }
    let fresh = facts(&run(json!({})), &[]);
    assert_eq!((fresh.state(), fresh.reason.as_str()), (ExecutionState::Running, "Pending"));
}

#[test]
fn a_pipeline_run_reports_its_owner_and_token() {
    let facts = facts(&run(json!({})), &[]);
    let owner = facts.owner.clone().unwrap();
    assert_eq!((owner.namespace.as_str(), owner.name.as_str(), owner.uid.as_str()), ("ops", "fix", "u-1"));
    assert_eq!(
        (facts.engine.as_str(), facts.run_name.as_str(), facts.run_uid.as_str()),
        ("tekton", "wfe-1", "p-1")
    );
    assert_eq!((facts.token, facts.target.as_str()), (7, "default/Deployment/web"));
}

#[test]
fn a_pending_run_is_inert_only_if_it_is_ours_and_was_never_live() {
    let mut pending = run(json!({"conditions": condition("Unknown", "PipelineRunPending", "is pending")}));
    pending.spec.status = PENDING.to_owned();
    assert_eq!(found(&pending).stage, Stage::Live, "it was woken before");
    let notes = pending.metadata.annotations.as_mut().unwrap();
    notes.remove(LIVE);
    assert_eq!(found(&pending).stage, Stage::Inert);
    assert_eq!(found(&pending).facts.state(), ExecutionState::Inert);
    pending.spec.status = CANCEL_BY_HAND.to_owned();
    assert_eq!(found(&pending).stage, Stage::Live, "Tekton has taken it up");
}

const CANCEL_BY_HAND: &str = "Cancelled";

#[test]
fn a_pending_run_of_somebody_else_is_never_inert() {
    let mut foreign = run(json!({}));
    foreign.spec.status = PENDING.to_owned();
    foreign.metadata.annotations = None;
    let found = found(&foreign);
    assert_eq!(found.stage, Stage::Live);
    assert_eq!((found.owner.name.as_str(), found.owner.uid.as_str()), ("wfe-1", "tekton-p-1"));
}

#[test]
fn whose_a_pipeline_run_is_follows_from_the_uid_on_it() {
    let mut other = run(json!({}));
    let notes = other.metadata.annotations.as_mut().unwrap();
    notes.insert(OWNER.to_owned(), "other/fix".to_owned());
    notes.insert(OWNER_UID.to_owned(), "u-2".to_owned());
    let owner = found(&other).owner;
    assert_eq!((owner.namespace.as_str(), owner.name.as_str(), owner.uid.as_str()), ("other", "fix", "u-2"));
}

#[test]
fn an_object_that_tekton_has_not_filled_in_yet_can_be_read() {
    let bare: PipelineRun =
        serde_json::from_value(json!({"metadata": {"name": "wfe-1"}, "new": {}})).unwrap();
    assert_eq!(facts(&bare, &[]).state(), ExecutionState::Running);
    let mut odd = json!({"metadata": {"name": "t"}, "status": {"steps": [{"name": "s", "waiting": {}}], "artifacts": {}}});
    let task: TaskRun = serde_json::from_value(odd.clone()).unwrap();
    assert!(!has_started(&task));
    odd["status"]["retriesStatus"] = json!([{"steps": [{"name": "s"}], "podName": "p"}, {}]);
    let task: TaskRun = serde_json::from_value(odd).unwrap();
    assert_eq!(task.status.retries_status.len(), 2);
}

#[test]
fn tasks_are_counted_by_what_tekton_names_and_by_what_succeeded() {
    let done = |name: &str| task(name, "True", "Succeeded", json!([]));
    let (first, second) = (done("a"), done("b"));
    let facts = facts(&run_of("Unknown", "Running", &["a", "b", "missing"]), &[&first, &second]);
    assert_eq!((facts.total_tasks, facts.completed_tasks), (3, 2));
}

#[test]
fn the_failed_task_of_a_pipeline_is_its_first_task_run_that_failed() {
    let children =
        [("CustomRun", "custom"), ("TaskRun", "missing"), ("TaskRun", "bad"), ("TaskRun", "worse")];
    let status = json!({
        "conditions": condition("False", "Failed", "words"), "childReferences": references(&children),
    });
    let bad = |name: &str| task(name, "False", "StepFailed", json!([exit("s", 3, "Error", "Error")]));
    let (custom, bad, worse) = (bad("custom"), bad("bad"), bad("worse"));
    let facts = facts(&run(status), &[&worse, &custom, &bad]);
    assert_eq!(failure(&facts), (2, "bad", "s", Some(3), "Error"));
    assert_eq!(facts.failed_task.unwrap().message, "why");
}

#[test]
fn the_exit_code_is_that_of_the_step_that_failed_its_task() {
    let steps = json!([
        exit("tries", 5, "Error", "Continued"),
        exit("fine", 0, "Completed", "Completed"),
        {"name": "helper", "running": {"startedAt": "2026-01-01T00:00:01Z"}},
        exit("bad", 3, "Error", "Error"),
        exit("after", 1, "Error", "Skipped"),
    ]);
    let bad = task("a", "False", "StepFailed", steps);
    let facts = facts(&run_of("False", "Failed", &["a"]), &[&bad]);
    assert_eq!(failure(&facts), (0, "a", "bad", Some(3), "Error"));
}

#[test]
fn a_task_that_succeeded_after_retries_or_whose_failure_is_ignored_has_not_failed() {
    let mut retried = task("a", "True", "Succeeded", json!([exit("s", 0, "Completed", "Completed")]));
    retried.status.steps.extend(task("", "", "", json!([exit("old", 7, "Error", "Error")])).status.steps);
    let again = task("b", "Unknown", "ToBeRetried", json!([exit("s", 7, "Error", "Error")]));
    let ignored = task("c", "False", "FailureIgnored", json!([exit("s", 5, "Error", "Error")]));
    let bad = task("d", "False", "StepFailed", json!([exit("s", 3, "Error", "Error")]));
    let pipeline = run_of("False", "Failed", &["a", "b", "c", "d"]);
    assert_eq!(facts(&pipeline, &[&retried, &again, &ignored]).failed_task, None);
    assert_eq!(failure(&facts(&pipeline, &[&retried, &again, &ignored, &bad])).1, "d");
    let fine = run_of("True", "Succeeded", &["c", "d"]);
    assert_eq!(facts(&fine, &[&ignored, &bad]).failed_task, None, "the run itself says that it is well");
}

#[test]
fn a_task_that_failed_in_every_try_is_told_by_the_last_one_and_says_how_often_it_was_tried() {
    let mut bad = task("a", "False", "StepFailed", json!([exit("s", 3, "Error", "Error")]));
    let pipeline = run_of("False", "Failed", &["a"]);
    assert_eq!(facts(&pipeline, &[&bad]).failed_task.unwrap().message, "why");
    bad.status.retries_status = vec![IgnoredAny; 2];
    let told = facts(&pipeline, &[&bad]);
    assert_eq!((failure(&told), told.total_tasks), ((0, "a", "s", Some(3), "Error"), 1));
    assert_eq!(told.failed_task.unwrap().message, "why (tried 3 times)");
}

#[test]
fn the_code_of_a_step_that_tekton_ended_is_not_the_workflows() {
    let steps = ["s", "t"].map(|name| ended(name, "TaskRunTimeout", true));
    let slow = task("a", "False", "TaskRunTimeout", json!(steps));
    let late = facts(&run_of("False", "Failed", &["a"]), &[&slow]);
    assert_eq!(failure(&late), (0, "a", "s", None, "TaskRunTimeout"));
    let step = task("a", "False", "StepFailed", json!([exit("s", 1, "Error", "TimeoutExceeded")]));
    let step = facts(&run_of("False", "Failed", &["a"]), &[&step]);
    assert_eq!(failure(&step), (0, "a", "s", None, "TimeoutExceeded"));
}

#[test]
fn a_workflow_has_started_once_one_of_its_steps_may_have() {
    let running = json!({"name": "s", "running": {"startedAt": "2026-01-01T00:00:01Z"}});
    let waiting = json!({"name": "t", "waiting": {"reason": "ImagePullBackOff"}});
    for (status, reason, steps, expected) in [
        ("Unknown", "Running", json!([running]), true),
        ("Unknown", "Pending", json!([running, waiting]), false),
        ("Unknown", "PullImageFailed", json!([running, waiting]), false),
        ("Unknown", "Running", json!([exit("s", 0, "Completed", "Completed")]), true),
        ("False", "StepFailed", json!([exit("s", 128, "StartError", "")]), false),
        ("False", "StepFailed", json!([exit("s", 137, "ContainerStatusUnknown", "")]), true),
        ("False", "TaskRunTimeout", json!([ended("s", "TaskRunTimeout", true)]), true),
        ("False", "TaskRunTimeout", json!([ended("s", "TaskRunTimeout", false)]), false),
        ("False", "TaskRunImagePullFailed", json!([ended("s", "TaskRunImagePullFailed", true)]), false),
        ("False", "PodEvicted", json!([]), true),
        ("Unknown", "Pending", json!([]), false),
    ] {
        let mut task = task("a", status, reason, steps);
        assert_eq!(has_started(&task), expected, "{task:?}");
        task.status.retries_status.push(IgnoredAny);
        assert!(has_started(&task), "an earlier try may have");
        let facts = facts(&run_of(status, reason, &["a"]), &[&task]);
        assert!(facts.workflow_started);
    }
}

#[test]
fn of_tasks_that_cannot_be_read_any_more_it_cannot_be_told_that_they_did_nothing() {
    assert!(!facts(&run_of("Unknown", "Running", &["a"]), &[]).workflow_started, "it may only be late");
    assert!(facts(&run_of("False", "Failed", &["a"]), &[]).workflow_started);
    assert!(!facts(&run_of("False", "CouldntGetPipeline", &[]), &[]).workflow_started, "there was none");
    let custom = run(json!({"childReferences": references(&[("CustomRun", "a")])}));
    assert!(facts(&custom, &[]).workflow_started, "what it does is not known here");
}

#[test]
fn a_cancelled_pipeline_says_so_and_why() {
    let mut cancelled = run_of("False", "Cancelled", &[]);
    let notes = cancelled.metadata.annotations.as_mut().unwrap();
    notes.insert(CANCELLED.to_owned(), "asked to".to_owned());
    let told = facts(&cancelled, &[]);
    assert_eq!((told.reason.as_str(), told.message.as_str()), ("Cancelled", "asked to"));
    let by_hand = facts(&run_of("False", "Cancelled", &[]), &[]);
    assert_eq!((by_hand.reason.as_str(), by_hand.message.as_str()), ("Cancelled", "words"));
    cancelled.status.conditions[0].status = "True".to_owned();
    assert_eq!(facts(&cancelled, &[]).state(), ExecutionState::Succeeded, "it was too late");
}

fn succeeded_with(results: Value) -> PipelineRun {
    run(json!({"conditions": condition("True", "Succeeded", "words"), "results": results}))
}

#[test]
fn the_results_of_a_pipeline_are_told_in_one_line() {
    let results = json!([
        {"name": "url", "value": "https://x\n"}, {"name": "names", "value": ["a", "b"]},
        {"name": "sizes", "value": {"a": "1"}}, {"name": "lines", "value": "one\u{1b}[31m\ntwo"},
    ]);
    let told = facts(&succeeded_with(results), &[]).message;
    assert_eq!(told, r#"words; results: url=https://x, names=["a","b"], sizes={"a":"1"}, lines=one two"#);
    let many: Value = (0..100).map(|n| json!({"name": format!("r{n}"), "value": "x".repeat(100)})).collect();
    let told = facts(&succeeded_with(many), &[]).message;
    assert!(told.len() < 1100 && told.ends_with(", …"), "{told}");
}

#[test]
fn of_a_run_that_was_given_secrets_only_the_names_of_results_are_told() {
    let mut run =
        succeeded_with(json!([{"name": "user", "value": "hunter2"}, {"name": "url", "value": "x"}]));
    assert!(facts(&run, &[]).message.contains("hunter2"), "it was given none");
    let workspaces = json!({"workspaces": [
        {"name": "secret-db", "secret": {"secretName": "db"}}, {"name": "c", "configMap": {"name": "c"}},
    ]});
    run.spec = serde_json::from_value(workspaces).unwrap();
    assert_eq!(facts(&run, &[]).message, "words; results: user, url");
}

#[test]
fn of_a_run_whose_tasks_may_have_been_given_secrets_only_the_names_of_results_are_told() {
    let of = |children: &[(&str, &str)]| {
        run(json!({
            "conditions": condition("True", "Succeeded", "words"), "childReferences": references(children),
            "results": [{"name": "user", "value": "hunter2"}],
        }))
    };
    let message = |run: &PipelineRun, tasks: &[&TaskRun]| facts(run, tasks).message;
    let (hidden, told) = ("words; results: user", "words; results: user=hunter2");
    let plain = task("a", "True", "Succeeded", json!([]));
    let env = json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "db", "key": "k"}}}]);
    let mut given = task_run("b", "p-1", ("True", "Succeeded"), json!([]));
    given["status"]["taskSpec"] = json!({"steps": [{"name": "s", "env": env}]});
    let given: TaskRun = read(given);
    let both = of(&[("TaskRun", "a"), ("TaskRun", "b")]);
    assert_eq!(message(&of(&[("TaskRun", "a")]), &[&plain]), told);
    assert_eq!(message(&both, &[&plain, &given]), hidden);
    assert_eq!(message(&both, &[&plain]), hidden, "what it was given is not known");
    assert_eq!(message(&of(&[("TaskRun", "a"), ("CustomRun", "c")]), &[&plain]), hidden);
    assert_eq!(found(&both).facts.message, hidden);
}

#[path = "real_tests.rs"]
mod real;
