//! What Tekton 1.14 was seen to say, and what becomes of it.

use evenkeel_core::{
    facts::{Facts, RunState},
    failure::{Reason, classify, may_have_run, stuck},
};

use super::*;

/// The facts as whoever judges them gets them.
fn judged(execution: &Execution) -> Facts {
    let task = execution.failed_task.clone().map(|task| evenkeel_core::facts::FailedTask {
        index: task.index.into(),
        name: task.name,
        step: task.step,
        exit_code: task.exit_code,
        cause: task.cause,
        message: task.message,
        last_lines: task.last_lines,
    });
    Facts {
        engine: execution.engine.clone(),
        state: RunState::Failed,
        reason: execution.reason.clone(),
        message: execution.message.clone(),
        start: execution.start_time.map(|time| time.seconds * 1000),
        total_tasks: execution.total_tasks.into(),
        failed_task: task,
        workflow_started: execution.workflow_started,
        ..Facts::default()
    }
}

/// A run with at most one task: its condition, and the TaskRun's condition and steps.
fn told(run_says: (&str, &str, &str), task_says: Option<(&str, &str, &str, Value)>) -> Execution {
    let names: &[(&str, &str)] = if task_says.is_some() { &[("TaskRun", "a")] } else { &[] };
    let (status, reason, message) = run_says;
    let run = run(json!({
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": condition(status, reason, message), "childReferences": references(names),
    }));
    let task = task_says.map(|(status, reason, message, steps)| -> TaskRun {
        let mut task = task_run("a", "p-1", (status, reason), steps);
        task["status"]["conditions"] = condition(status, reason, message);
        read(task)
    });
    facts(&run, task.iter().collect::<Vec<_>>().as_slice())
}

const ONE_FAILED: (&str, &str, &str) =
    ("False", "Failed", "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1");

#[test]
fn what_a_real_tekton_says_of_runs_that_go_on_or_went_well() {
    use ExecutionState::{Running, Succeeded};
    let fine = "Tasks Completed: 2 (Failed: 0, Cancelled 0), Skipped: 0";
    for (status, reason, message, state) in [
        ("True", "Succeeded", fine, Succeeded),
        ("True", "Completed", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 1", Succeeded),
        (
            "True",
            "Succeeded",
            "Tasks Completed: 2 (Failed: 1 (Ignored: 1), Cancelled 0), Skipped: 0",
            Succeeded,
        ),
        (
            "Unknown",
            "Running",
            "Tasks Completed: 1 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0",
            Running,
        ),
        ("Unknown", "ResolvingPipelineRef", "PipelineRun default/ok awaiting remote resource", Running),
        ("Unknown", "ResolvingTaskRef", "PipelineRun default/ok awaiting remote resource", Running),
        ("Unknown", "PipelineRunPending", "PipelineRun \"pending\" is pending", Running),
        ("Unknown", "CancelledRunningFinally", "PipelineRun \"cancelled\" was cancelled", Running),
    ] {
        let facts = told((status, reason, message), None);
        assert_eq!((facts.state(), facts.reason.as_str()), (state, reason), "{message}");
        assert_eq!(facts.message, message);
    }
    let waits = told(("Unknown", "Running", ""), Some(("Unknown", "Pending", "pod is pending", json!([]))));
    assert_eq!((waits.state(), &waits.failed_task), (Running, &None), "a ConfigMap is missing");
}

#[test]
fn a_task_that_a_quota_keeps_out_is_stuck_unless_something_ran() {
    let full =
        "TaskRun Pod exceeded available resources: pods \"x-a-pod\" is forbidden: exceeded quota: none";
    let running =
        ("Unknown", "Running", "Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0");
    let waits = told(running, Some(("Unknown", "ExceededResourceQuota", full, json!([]))));
    let mut facts = judged(&waits);
    assert_eq!((waits.state(), stuck(&facts)), (ExecutionState::Running, Some(Reason::ResourceExhausted)));
    assert!(!may_have_run(&facts));
    assert_eq!(waits.failed_task.unwrap().message, full);
    facts.workflow_started = true;
    assert_eq!(stuck(&facts), None);
}

#[test]
fn what_a_real_tekton_says_of_tasks_that_failed_is_judged_by_the_task() {
    use Reason::{ConfigurationError, DeadlineExceeded, ImagePullBackOff, OomKilled, TaskFailed};
    let pull = "the step \"s\" in TaskRun \"x-a\" failed to pull the image \"\". The pod errored with the \
                message: \"Back-off pulling image\"";
    let account = "failed to create task run pod \"x-a\": translating TaskSpec to Pod: serviceaccounts \
                   \"nosuch\" not found. Maybe invalid TaskSpec";
    let limit = "\"step-s\" exited because the step exceeded the specified timeout limit";
    for (reason, message, step, expected, code, ran) in [
        (
            "StepFailed",
            "\"step-s\" exited with code 3: Error",
            exit("s", 3, "Error", "Error"),
            TaskFailed,
            Some(3),
            true,
        ),
        (
            "StepOOM",
            "\"step-s\" exited with code 255: OOMKilled",
            exit("s", 255, "OOMKilled", "OOMKilled"),
            OomKilled,
            Some(255),
            true,
        ),
        (
            "TaskRunTimeout",
            "TaskRun \"x-a\" failed to finish within \"6s\"",
            ended("s", "TaskRunTimeout", true),
            DeadlineExceeded,
            None,
            true,
        ),
        ("StepFailed", limit, exit("s", 1, "Error", "TimeoutExceeded"), DeadlineExceeded, None, true),
        (
            "TaskRunImagePullFailed",
            pull,
            ended("s", "TaskRunImagePullFailed", false),
            ImagePullBackOff,
            None,
            false,
        ),
        ("PodCreationFailed", account, Value::Null, ConfigurationError, None, false),
    ] {
        let steps = if step.is_null() { json!([]) } else { json!([step]) };
        let told = told(ONE_FAILED, Some(("False", reason, message, steps)));
        let facts = judged(&told);
        assert_eq!(classify(&facts), expected, "{reason}: {message}");
        assert_eq!(may_have_run(&facts), ran, "{reason}: {message}");
        let task = told.failed_task.unwrap();
        assert_eq!((task.exit_code, task.message.as_str()), (code, message), "{reason}");
        assert!(task.last_lines.is_empty());
    }
}

#[test]
fn what_a_real_tekton_says_of_runs_that_were_ended_is_judged_by_the_run() {
    use Reason::{DeadlineExceeded, TaskFailed};
    let cut =
        |why: &str| Some(("False", "TaskRunCancelled", "was cancelled", json!([ended("s", why, true)])));
    let late = "PipelineRun \"prtimeout\" failed to finish within \"8s\"";
    let called_off = "PipelineRun \"cancelled\" was cancelled";
    for (reason, message, task, expected) in [
        ("PipelineRunTimeout", late, cut("TaskRunCancelled"), DeadlineExceeded),
        ("Cancelled", called_off, cut("TaskRunCancelled"), TaskFailed),
        ("Cancelled", called_off, Some(("True", "Succeeded", "", json!([]))), TaskFailed),
    ] {
        let facts = judged(&told(("False", reason, message), task));
        assert_eq!((classify(&facts), may_have_run(&facts)), (expected, true), "{reason}");
        assert_eq!(facts.failed_task.and_then(|task| task.exit_code), None);
    }
}

#[test]
fn what_a_real_tekton_says_of_pipelines_that_never_began_is_read_by_its_words() {
    use Reason::{ConfigurationError, DeadlineExceeded, Unknown};
    let asked = "Error retrieving pipeline for pipelinerun default/x: resolver failed to get Pipeline : error \
                 requesting remote resource: error getting \"bundleresolver\" \"default/bundles-1\":";
    let got = |rest: &str| format!("{asked} {rest}");
    for (reason, message, expected) in [
        ("CouldntGetPipeline", got("cannot retrieve the oci image: GET http://r/v2/demo/manifests/none: MANIFEST_UNKNOWN: Unknown manifest"), Unknown),
        ("CouldntGetPipeline", got("cannot retrieve the oci image: dial tcp 10.0.0.1:15000: connect: connection refused"), Unknown),
        ("CouldntGetPipeline", got("could not find object in image with kind: pipeline and name: nosuch"), Unknown),
        ("CouldntGetPipeline", got("invalid tekton bundle r/busybox:1, error: the layer 0 does not contain a dev.tekton.image.apiVersion annotation"), ConfigurationError),
        ("CouldntGetPipeline", got("invalid bundle reference: could not parse reference: NOT A REF"), ConfigurationError),
        ("CouldntGetPipeline", got("invalid runtime object: strict decoding error: unknown field \"spec.tasks[0].bogus\""), ConfigurationError),
        ("CouldntGetPipeline", got("resolution took longer than global timeout of 1m0s"), DeadlineExceeded),
        ("CouldntGetPipeline", got("tekton client cannot get pipeline nosuch from local cluster: pipelines.tekton.dev \"nosuch\" not found"), Unknown),
        ("CouldntGetTask", "Pipeline default/x can't be Run; it contains Tasks that don't exist: Couldn't retrieve Task \"t\"".to_owned(), Unknown),
        ("ParameterMissing", "[User error] PipelineRun default/x parameters is missing some parameters required by Pipeline x's parameters: pipelineRun missing parameters: [bundle]".to_owned(), Unknown),
        ("InvalidWorkspaceBindings", "[User error] PipelineRun default/x doesn't bind Pipeline default/x's Workspaces correctly: pipeline requires workspace with name \"w\" be provided by pipelinerun".to_owned(), Unknown),
        ("PipelineValidationFailed", "(task \"a\" completed successfully but did not emit the result \"r\", which is referenced by task \"b\")".to_owned(), Unknown),
    ] {
        let facts = judged(&told(("False", reason, &message), None));
        assert_eq!(classify(&facts), expected, "{reason}: {message}");
        assert!(!facts.workflow_started && facts.failed_task.is_none());
        // As the contract has it: what Tekton took up may have run, unless its reason says otherwise.
        assert_eq!(may_have_run(&facts), expected != ConfigurationError, "{reason}: {message}");
    }
}
