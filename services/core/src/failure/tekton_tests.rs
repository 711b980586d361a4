use super::*;
use crate::{
    facts::Facts,
    failure::{classify, may_have_run as run_may_have_run, stuck},
};

#[test]
fn what_a_pipeline_run_says_maps_to_the_contract_word_by_word() {
    use Reason::{
        ConfigurationError, DeadlineExceeded, Forbidden, ImagePullBackOff, OomKilled, ResourceExhausted,
        TaskFailed, Unknown,
    };
    for (reason, message, expected) in [
        ("Failed", "Container killed: OOMKilled", OomKilled),
        ("Failed", "task failed due to oom", OomKilled),
        ("Failed", "Exit code 137 - OOMkilled by kernel", OomKilled),
        ("Failed", "exit 137", Unknown),
        // Words only: "oom" is no part of these.
        ("Failed", "chatroom task failed", TaskFailed),
        ("Failed", "zoom level wrong", Unknown),
        ("PipelineRunTimeout", "Pipeline timed out", DeadlineExceeded),
        ("Failed", "pipeline timed out", Unknown),
        ("Failed", "Task timeout exceeded", DeadlineExceeded),
        ("Failed", "deadline exceeded for task", DeadlineExceeded),
        ("Failed", "context deadline exceeded", DeadlineExceeded),
        ("Failed", "RBAC: forbidden to create pods", Forbidden),
        ("Failed", "rbac error occurred", Forbidden),
        ("Failed", "permission denied for resource", Forbidden),
        ("Forbidden", "x", Unknown),
        ("Failed", "permission  denied", Unknown),
        ("Failed", "quota hit and forbidden", Forbidden),
        ("Failed", "exceeded quota for namespace", ResourceExhausted),
        ("ExceededResourceQuota", "x", Unknown),
        ("Failed", "resource exhausted in cluster", ResourceExhausted),
        ("Failed", "ImagePullBackOff: image not found", ImagePullBackOff),
        ("Failed", "failed to image pull from registry", ImagePullBackOff),
        ("Failed", "Failed to pull image x", Unknown),
        ("Failed", "ErrImagePull", Unknown),
        ("TaskRunImagePullFailed", "x", Unknown),
        ("Failed", "invalid image pull secret", ImagePullBackOff),
        ("Failed", "invalid parameter value", ConfigurationError),
        ("Failed", "configuration error in pipeline", ConfigurationError),
        ("CouldntGetPipeline", "pipeline not found", Unknown),
        ("Failed", "task failed: invalid parameter", ConfigurationError),
        ("TaskFailed", "", TaskFailed),
        ("TaskRunFailed", "", Unknown),
        ("TaskRunFailed", "Task exited with code 1", Unknown),
        ("Failed", "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 2", TaskFailed),
        ("Cancelled", "PipelineRun was cancelled", Unknown),
        ("Failed", "oom and timeout", OomKilled),
        ("Failed", "timeout: forbidden", DeadlineExceeded),
        ("Failed", "Some unknown error occurred", Unknown),
        ("Failed", "", Unknown),
        ("", "", Unknown),
    ] {
        assert_eq!(of_condition(reason, message), expected, "{reason} / {message}");
    }
}

#[test]
fn whether_a_pipeline_may_have_run_follows_its_start_its_children_and_its_reason() {
    for reason in Reason::ALL {
        let keeps_from_running = matches!(
            reason,
            Reason::ImagePullBackOff | Reason::ConfigurationError | Reason::ResourceExhausted
        );
        let comes_from_running =
            !keeps_from_running && !matches!(reason, Reason::Unknown | Reason::UnsupportedEngine);
        for has_children in [true, false] {
            assert_eq!(may_have_run(true, has_children, reason), !keeps_from_running, "started, {reason:?}");
        }
        assert!(may_have_run(false, true, reason), "children, {reason:?}");
        assert_eq!(may_have_run(false, false, reason), comes_from_running, "neither, {reason:?}");
    }
}

#[test]
fn facts_of_a_pipeline_are_judged_by_its_rules() {
    let facts = |message: &str, start: Option<i64>, tasks: i64| Facts {
        engine: ENGINE.to_owned(),
        reason: "Failed".to_owned(),
        message: message.to_owned(),
        start,
        total_tasks: tasks,
        ..Facts::default()
    };
    let quota = facts("exceeded quota for namespace", Some(1), 0);
    assert_eq!((classify(&quota), run_may_have_run(&quota)), (Reason::ResourceExhausted, false));
    let began = Facts { workflow_started: true, ..quota };
    assert!(run_may_have_run(&began), "an earlier task had run");
    let odd = facts("odd", None, 0);
    assert_eq!((classify(&odd), run_may_have_run(&odd)), (Reason::Unknown, false));
    let cancelled = Facts { reason: "Cancelled".to_owned(), ..facts("enough", Some(1), 1) };
    assert_eq!((classify(&cancelled), run_may_have_run(&cancelled)), (Reason::TaskFailed, true));
}

fn child(kind: &str, name: &str, failed: bool) -> Child {
    Child { kind: kind.to_owned(), name: name.to_owned(), failed, ..Child::default() }
}

fn step(name: &str, exit_code: Option<i32>) -> Step {
    Step { name: name.to_owned(), exit_code, reason: String::new() }
}

#[test]
fn the_first_task_run_that_failed_is_the_failed_task_and_every_child_counts() {
    let children =
        [child("CustomRun", "custom", true), child("TaskRun", "missing", false), child("TaskRun", "t", true)];
    let task = failed_task(&children).unwrap();
    assert_eq!((task.index, task.name.as_str(), task.exit_code), (2, "t", None));
    assert_eq!(failed_task(&children[..2]), None);
    assert_eq!(failed_task(&[]), None);
}

#[test]
fn the_first_step_that_exited_badly_gives_its_exit_code_and_cause() {
    let steps = vec![step("a", Some(0)), step("b", None), step("c", Some(3)), step("d", Some(5))];
    let mut task = Child { reason: "Failed".to_owned(), steps, ..child("TaskRun", "t", true) };
    let failed = failed_task(std::slice::from_ref(&task)).unwrap();
    assert_eq!((failed.step.as_str(), failed.exit_code, failed.cause.as_str()), ("c", Some(3), "Failed"));
    task.steps[2].reason = "OOMKilled".to_owned();
    assert_eq!(failed_task(&[task]).unwrap().cause, "OOMKilled");
}

#[test]
fn a_task_that_a_quota_keeps_out_is_told_before_tekton_gives_it_up() {
    let waits = |reason: &str| Child { reason: reason.to_owned(), ..child("TaskRun", "t", false) };
    let children = [waits("Pending"), waits("ExceededResourceQuota")];
    let task = failed_task(&children).unwrap();
    assert_eq!((task.index, task.cause.as_str()), (1, "QuotaExceeded"));
    let facts = Facts { engine: ENGINE.to_owned(), failed_task: Some(task), ..Facts::default() };
    assert_eq!(
        (classify(&facts), stuck(&facts)),
        (Reason::ResourceExhausted, Some(Reason::ResourceExhausted))
    );
    let elsewhere = Child { kind: "CustomRun".to_owned(), ..waits("ExceededResourceQuota") };
    assert_eq!(failed_task(&[elsewhere]), None);
}

#[test]
fn why_tekton_could_not_make_a_pod_is_read_word_by_word() {
    let cause = |cause: &str, message: &str| {
        let task = crate::facts::FailedTask {
            cause: cause.to_owned(),
            message: message.to_owned(),
            ..crate::facts::FailedTask::default()
        };
        let words = "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0".to_owned();
        classify(&Facts {
            engine: ENGINE.to_owned(),
            message: words,
            failed_task: Some(task),
            ..Facts::default()
        })
    };
    let made = |why: &str| format!("failed to create task run pod \"x\": {why}. Maybe invalid TaskSpec");
    for (why, expected) in [
        ("pods \"x\" is forbidden: exceeded quota: none", Reason::ResourceExhausted),
        ("pods \"x\" is forbidden: not allowed here", Reason::Forbidden),
        ("pods \"x\" is forbidden: error looking up service account", Reason::ConfigurationError),
        ("serviceaccounts \"x\" not found", Reason::ConfigurationError),
        ("spec.containers[0]: Required value", Reason::ConfigurationError),
    ] {
        assert_eq!(cause("PodCreationFailed", &made(why)), expected, "{why}");
    }
    for (reason, expected) in [
        ("PodAdmissionFailed", Reason::Forbidden),
        ("StepOOM", Reason::OomKilled),
        ("SidecarOOM", Reason::OomKilled),
        ("TimeoutExceeded", Reason::DeadlineExceeded),
        ("PodEvicted", Reason::ResourceExhausted),
        ("InvalidParamValue", Reason::ConfigurationError),
        ("TaskRunResolutionFailed", Reason::ConfigurationError),
        ("TaskRunValidationFailed", Reason::ConfigurationError),
        ("TaskRunCancelled", Reason::TaskFailed),
    ] {
        assert_eq!(cause(reason, ""), expected, "{reason}");
    }
}
