use evenkeel_proto::execution::v1::ExecutionState;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    super::{
        fixtures::{exit, read, task_run},
        spans::tests::{exported, span_context},
    },
    *,
};

fn there<K: DeserializeOwned>(name: &str, object: Value) -> Update<K> {
    Update::There { run: "wfe-1".into(), name: name.into(), object: Box::new(read(object)) }
}

fn run(uid: &str, status: &str, reason: &str) -> Change {
    Change::Run(there(
        "wfe-1",
        json!({
            "metadata": {"name": "wfe-1", "uid": uid},
            "status": {
                "conditions": [{"type": "Succeeded", "status": status, "reason": reason}],
                "childReferences": [{"kind": "TaskRun", "name": "wfe-1-a"}],
            },
        }),
    ))
}

fn task(run_uid: &str, status: &str, code: Option<i32>) -> Change {
    let steps: Vec<_> = code.map(|code| exit("s", code, "Error", "")).into_iter().collect();
    Change::Task(there("wfe-1-a", task_run("wfe-1-a", run_uid, (status, "x"), json!(steps))))
}

/// A task that failed by a step whose log can be read.
fn said(run_uid: &str) -> Change {
    let mut change = task(run_uid, "False", Some(3));
    if let Change::Task(Update::There { object, .. }) = &mut change {
        "wfe-1-a-pod".clone_into(&mut object.status.pod_name);
    }
    change
}

fn apply(seen: &mut Seen, runs: &Runs, change: Change) -> Option<Wanted> {
    let touched = seen.take_in(change);
    touched.iter().find_map(|run| seen.publish(run, runs))
}

fn is_late(uid: &str) -> Learned {
    Learned::IsLate { run: "wfe-1".into(), uid: uid.into() }
}

fn runs() -> Runs {
    Runs::new("i".into(), [ENGINE])
}

#[test]
fn the_end_of_a_pipeline_comes_with_its_failed_task_whichever_is_seen_first() {
    let (mut seen, runs) = (Seen::default(), runs());
    apply(&mut seen, &runs, task("p-1", "Unknown", None));
    let held = apply(&mut seen, &runs, run("p-1", "False", "Failed"));
    assert_eq!(held, Some(Wanted::Tasks { run: "wfe-1".into(), uid: "p-1".into() }));
    let facts = runs.get("wfe-1").unwrap();
    assert_eq!((facts.state(), facts.completion_time), (ExecutionState::Running, None));
    assert_eq!(apply(&mut seen, &runs, task("p-1", "False", Some(3))), None);
    let facts = runs.get("wfe-1").unwrap();
    assert_eq!((facts.state(), facts.failed_task.unwrap().exit_code), (ExecutionState::Failed, Some(3)));
}

#[test]
fn the_end_of_a_pipeline_does_not_wait_for_ever_for_a_task_that_is_gone() {
    let (mut seen, runs) = (Seen::default(), runs());
    let held = apply(&mut seen, &runs, run("p-1", "False", "Failed"));
    assert_eq!(held, Some(is_late("p-1").wanted()));
    seen.learn(is_late("p-0"));
    assert!(seen.publish("wfe-1", &runs).is_some(), "the patience with an earlier run is none with this one");
    for run in seen.learn(is_late("p-1")) {
        assert_eq!(seen.publish(&run, &runs), None);
    }
    let facts = runs.get("wfe-1").unwrap();
    assert_eq!(facts.state(), ExecutionState::Failed);
    assert!(facts.workflow_started, "what the task did is not known");
}

#[test]
fn the_end_of_a_pipeline_comes_with_what_its_failed_step_said_last() {
    let (mut seen, runs) = (Seen::default(), runs());
    for uid in ["p-1", "p-2"] {
        apply(&mut seen, &runs, run(uid, "Unknown", "Running"));
        assert_eq!(apply(&mut seen, &runs, said(uid)), None, "the run goes on");
        let wanted = apply(&mut seen, &runs, run(uid, "False", "Failed")).unwrap();
        let Wanted::Words(question) = wanted.clone() else { panic!() };
        assert_eq!(runs.get("wfe-1").unwrap().state(), ExecutionState::Running);
        assert_eq!(apply(&mut seen, &runs, run(uid, "False", "Failed")), Some(wanted));
        for run in seen.learn(Learned::Words(question, vec![format!("{uid} says no")])) {
            assert_eq!(seen.publish(&run, &runs), None);
        }
        assert_eq!(apply(&mut seen, &runs, run(uid, "False", "Failed")), None, "it was asked");
        let facts = runs.get("wfe-1").unwrap();
        assert_eq!(facts.state(), ExecutionState::Failed);
        assert_eq!(facts.failed_task.unwrap().last_lines, [format!("{uid} says no")]);
    }
}

#[test]
fn an_end_that_waited_for_tasks_does_not_wait_for_words() {
    let (mut seen, runs) = (Seen::default(), runs());
    apply(&mut seen, &runs, run("p-1", "False", "Failed"));
    seen.learn(is_late("p-1"));
    assert_eq!(apply(&mut seen, &runs, said("p-1")), None);
    assert_eq!(runs.get("wfe-1").unwrap().state(), ExecutionState::Failed);
}

#[test]
fn an_end_that_was_told_stays_as_it_was_told() {
    let (mut seen, runs) = (Seen::default(), runs());
    apply(&mut seen, &runs, task("p-1", "False", Some(3)));
    assert_eq!(apply(&mut seen, &runs, run("p-1", "False", "Failed")), None);
    let end = runs.get("wfe-1").unwrap();
    assert_eq!((end.state(), end.failed_task.is_some()), (ExecutionState::Failed, true));
    let (_, here) = runs.snapshot();
    // As a release does it: tasks go first.
    let gone = Change::Task(Update::Gone { run: "wfe-1".into(), name: "wfe-1-a".into() });
    assert_eq!(apply(&mut seen, &runs, gone), None);
    assert_eq!(apply(&mut seen, &runs, run("p-1", "False", "Failed")), None);
    assert_eq!(runs.get("wfe-1").unwrap(), end);
    assert!(runs.since(here).unwrap().0.is_empty());
    apply(&mut seen, &runs, run("p-2", "Unknown", "Running"));
    assert_eq!(runs.get("wfe-1").unwrap().state(), ExecutionState::Running, "that is another run");
}

#[test]
fn what_ran_in_a_pipeline_is_traced_once_when_it_is_over() {
    let trace = "0af7651916cd43dd8448eb211c803105";
    assert!(exported(trace).is_empty());
    let (mut seen, runs) = (Seen::default(), runs());
    let mut traced = |mut change: Change| {
        if let Change::Run(Update::There { object, .. }) = &mut change {
            object.metadata.annotations = serde_json::from_value(span_context(trace, "01")).unwrap();
        }
        if let Change::Task(Update::There { object, .. }) = &mut change {
            object.status.start_time = serde_json::from_value(json!("2026-01-01T00:00:01Z")).unwrap();
            object.status.completion_time.clone_from(&object.status.start_time);
        }
        apply(&mut seen, &runs, change);
        exported(trace).len()
    };
    assert_eq!(traced(run("p-1", "Unknown", "Running")), 0);
    assert_eq!(traced(task("p-1", "Unknown", None)), 0);
    assert_eq!(traced(run("p-1", "True", "Succeeded")), 0, "its task is not seen to have ended");
    assert_eq!(traced(task("p-1", "True", None)), 1);
    assert_eq!(traced(run("p-1", "True", "Succeeded")), 1, "it was told");
    assert_eq!(traced(run("p-2", "True", "Succeeded")), 1, "its task is not there yet");
    assert_eq!(traced(task("p-2", "True", None)), 2, "that is another run");
}

#[test]
fn tasks_of_an_earlier_pipeline_run_of_the_same_name_do_not_count() {
    let (mut seen, runs) = (Seen::default(), runs());
    apply(&mut seen, &runs, task("p-0", "False", Some(3)));
    assert!(runs.get("wfe-1").is_none(), "a task is no run");
    apply(&mut seen, &runs, run("p-1", "Unknown", "Running"));
    let facts = runs.get("wfe-1").unwrap();
    assert!(facts.failed_task.is_none() && !facts.workflow_started);
}

#[test]
fn that_a_pipeline_had_started_is_remembered_after_its_task_is_gone() {
    let (mut seen, runs) = (Seen::default(), runs());
    apply(&mut seen, &runs, run("p-1", "Unknown", "Running"));
    apply(&mut seen, &runs, task("p-1", "True", Some(0)));
    apply(&mut seen, &runs, Change::Task(Update::Gone { run: "wfe-1".into(), name: "wfe-1-a".into() }));
    assert!(runs.get("wfe-1").unwrap().workflow_started);
    apply(&mut seen, &runs, run("p-2", "Unknown", "Running"));
    assert!(!runs.get("wfe-1").unwrap().workflow_started, "that is another run");
}

#[test]
fn nothing_is_told_before_runs_and_tasks_were_listed() {
    let mut seen = Seen::default();
    let mut due = |change| {
        let touched = seen.take_in(change);
        seen.due(touched)
    };
    for early in [
        Change::Run(Update::Listing),
        run("p-1", "Unknown", "Running"),
        Change::Run(Update::Listed),
        Change::Task(Update::Listing),
    ] {
        assert!(due(early).is_empty());
    }
    assert_eq!(due(Change::Task(Update::Listed)), HashSet::from(["wfe-1".to_owned()]));
    assert!(seen.told);
}

#[test]
fn a_run_is_gone_only_when_it_was_deleted_or_a_complete_list_leaves_it_out() {
    let (mut seen, runs) = (Seen::default(), runs());
    let (_, start) = runs.snapshot();
    apply(&mut seen, &runs, run("p-1", "Unknown", "Running"));
    // The watch begins anew, and its list is cut short: Tekton went away.
    apply(&mut seen, &runs, Change::Run(Update::Listing));
    apply(&mut seen, &runs, Change::Run(Update::Listing));
    assert_eq!(runs.count(), 1);
    apply(&mut seen, &runs, Change::Run(Update::Listed));
    let (changes, _) = runs.since(start).unwrap();
    assert_eq!((runs.count(), changes.last().unwrap().state()), (0, ExecutionState::Gone));
    assert!(seen.remembered.is_empty());
}

/// A run of ours that cannot be read.
fn odd(uid: &str) -> Change {
    let metadata = json!({
        "name": "wfe-1", "uid": uid,
        "annotations": {"evenkeel.dev/owner": "ops/fix", "evenkeel.dev/owner-uid": "u-1"},
    });
    let metadata = Box::new(serde_json::from_value(metadata).unwrap());
    Change::Run(Update::Unreadable { run: "wfe-1".into(), name: "wfe-1".into(), metadata })
}

#[test]
fn a_run_that_cannot_be_read_is_told_neither_to_go_on_nor_to_be_gone_until_it_is() {
    let (mut seen, runs) = (Seen::default(), runs());
    apply(&mut seen, &runs, run("p-1", "Unknown", "Running"));
    for change in [odd("p-1"), Change::Run(Update::Listing), odd("p-1"), Change::Run(Update::Listed)] {
        apply(&mut seen, &runs, change);
    }
    let facts = runs.get("wfe-1").unwrap();
    assert_eq!(
        (facts.state(), &facts.owner),
        (ExecutionState::Unspecified, &None),
        "nobody is answered by it"
    );
    let (_, here) = runs.snapshot();
    apply(&mut seen, &runs, Change::Run(Update::Gone { run: "wfe-1".into(), name: "wfe-1".into() }));
    let (changes, _) = runs.since(here).unwrap();
    let last = changes.last().unwrap();
    assert_eq!((last.state(), last.owner.as_ref().unwrap().uid.as_str()), (ExecutionState::Gone, "u-1"));
    assert_eq!(runs.count(), 0);
}

#[test]
fn a_run_that_can_be_read_again_is_told_as_before_and_an_end_stays() {
    let (mut seen, runs) = (Seen::default(), runs());
    apply(&mut seen, &runs, task("p-1", "False", Some(3)));
    apply(&mut seen, &runs, odd("p-1"));
    apply(&mut seen, &runs, run("p-1", "False", "Failed"));
    let end = runs.get("wfe-1").unwrap();
    assert_eq!(end.state(), ExecutionState::Failed);
    apply(&mut seen, &runs, odd("p-1"));
    assert_eq!(runs.get("wfe-1").unwrap(), end, "it is over whatever becomes of its object");
    let (_, here) = runs.snapshot();
    apply(&mut seen, &runs, Change::Run(Update::Gone { run: "wfe-1".into(), name: "wfe-1".into() }));
    assert_eq!(runs.since(here).unwrap().0.len(), 1, "it is gone, and nothing else");
    apply(&mut seen, &runs, run("p-1", "False", "Failed"));
    apply(&mut seen, &runs, odd("p-2"));
    assert_eq!(runs.get("wfe-1").unwrap().run_uid, "p-2", "that is another run");
}

#[test]
fn a_pipeline_inside_of_a_pipeline_is_no_run() {
    let mut run: ObjectMeta = serde_json::from_value(json!({"name": "wfe-1"})).unwrap();
    assert_eq!(own_name(&run).as_deref(), Some("wfe-1"));
    let parent =
        json!([{"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "wfe-0", "uid": "p-0"}]);
    run.owner_references = serde_json::from_value(parent).unwrap();
    assert_eq!(own_name(&run), None);
}
