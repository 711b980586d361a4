use super::*;
use crate::facts::FailedTask;

fn run(reason: &str, cause: &str, started: bool) -> Facts {
    let task = FailedTask { cause: cause.to_owned(), ..FailedTask::default() };
    Facts {
        reason: reason.to_owned(),
        failed_task: (!cause.is_empty()).then_some(task),
        workflow_started: started,
        ..Facts::default()
    }
}

#[test]
fn what_a_job_ends_with_maps_to_the_contract() {
    for (reason, cause, expected) in [
        ("BackoffLimitExceeded", "", Reason::TaskFailed),
        ("BackoffLimitExceeded", "Error", Reason::TaskFailed),
        ("BackoffLimitExceeded", "OOMKilled", Reason::OomKilled),
        ("BackoffLimitExceeded", "StartError", Reason::ConfigurationError),
        ("BackoffLimitExceeded", "Evicted", Reason::ResourceExhausted),
        ("BackoffLimitExceeded", "TerminationByKubelet", Reason::ResourceExhausted),
        ("BackoffLimitExceeded", "EvictionByEvictionAPI", Reason::ResourceExhausted),
        ("BackoffLimitExceeded", "OutOfmemory", Reason::ResourceExhausted),
        ("PodFailurePolicy", "", Reason::TaskFailed),
        ("FailJob", "", Reason::TaskFailed),
        ("DeadlineExceeded", "", Reason::DeadlineExceeded),
        ("DeadlineExceeded", "ErrImagePull", Reason::ImagePullBackOff),
        ("DeadlineExceeded", "ImagePullBackOff", Reason::ImagePullBackOff),
        ("DeadlineExceeded", "CreateContainerConfigError", Reason::ConfigurationError),
        ("DeadlineExceeded", "Unschedulable", Reason::ResourceExhausted),
        ("DeadlineExceeded", "FailedCreatePodSandBox", Reason::DeadlineExceeded),
        ("DeadlineExceeded", "SomethingNew", Reason::DeadlineExceeded),
        ("Cancelled", "", Reason::TaskFailed),
        ("JobFailed", "", Reason::TaskFailed),
        ("SomethingNew", "", Reason::Unknown),
        ("", "", Reason::Unknown),
    ] {
        assert_eq!(classify(&run(reason, cause, true)), expected, "{reason} / {cause}");
    }
}

#[test]
fn why_a_pod_could_not_be_created_is_read_word_by_word() {
    for (message, expected) in [
        ("pods \"x\" is forbidden: exceeded quota: compute, requested: pods=1", Reason::ResourceExhausted),
        (
            "pods \"x\" is forbidden: error looking up service account ns/runner: serviceaccount \"runner\" not found",
            Reason::ConfigurationError,
        ),
        ("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"", Reason::Forbidden),
        ("Pod \"x\" is invalid: spec.containers[0].image: Required value", Reason::ConfigurationError),
        ("the mosquotas are unforbiddenly odd", Reason::Unknown),
        ("", Reason::Unknown),
    ] {
        let task = FailedTask {
            cause: "FailedCreate".to_owned(),
            message: message.to_owned(),
            ..FailedTask::default()
        };
        let facts = Facts { failed_task: Some(task), ..Facts::default() };
        assert_eq!(classify(&facts), expected, "{message}");
    }
}

#[test]
fn a_run_is_stuck_only_before_anything_started() {
    assert_eq!(stuck(&run("", "ErrImagePull", false)), Some(Reason::ImagePullBackOff));
    assert_eq!(stuck(&run("", "ErrImagePull", true)), None);
    assert_eq!(stuck(&run("", "QuotaExceeded", false)), Some(Reason::ResourceExhausted));
    assert_eq!(stuck(&run("", "ServiceAccountNotFound", false)), Some(Reason::ConfigurationError));
    for waits in ["Unschedulable", "FailedCreatePodSandBox", "Evicted"] {
        assert_eq!(stuck(&run("", waits, false)), None, "{waits}: a cluster may get room again");
    }
    assert_eq!(stuck(&run("", "OOMKilled", false)), None);
    assert_eq!(stuck(&run("", "", false)), None);
}

#[test]
fn refusals_map_to_the_contract() {
    for kind in RefusalKind::ALL {
        let expected = match kind {
            RefusalKind::Invalid | RefusalKind::DependencyMissing => "ConfigurationError",
            RefusalKind::UnknownEngine => "UnsupportedEngine",
            RefusalKind::QuotaExceeded => "ResourceExhausted",
            RefusalKind::Forbidden => "Forbidden",
        };
        assert_eq!(of_refusal(kind).as_str(), expected);
    }
}

#[test]
fn reasons_survive_their_text_and_others_are_unknown() {
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), reason);
    }
    assert_eq!(Reason::parse("Deduplicated"), Reason::Unknown);
}

#[test]
fn condition_reasons_follow_the_failure_reason() {
    for reason in Reason::ALL {
        let complete = match reason {
            Reason::TaskFailed => "TaskFailed",
            Reason::DeadlineExceeded => "DeadlineExceeded",
            Reason::OomKilled => "OOMKilled",
            _ => "ExecutionFailed",
        };
        assert_eq!(reason.when_incomplete(), complete);
        let created = match reason {
            Reason::ResourceExhausted => "QuotaExceeded",
            Reason::Forbidden => "RBACDenied",
            Reason::ImagePullBackOff => "ImagePullFailed",
            _ => "ExecutionCreationFailed",
        };
        assert_eq!(reason.when_not_created(), created);
    }
}

#[test]
fn only_a_cause_that_keeps_a_task_from_starting_proves_that_nothing_ran() {
    for (reason, cause, started, expected) in [
        ("BackoffLimitExceeded", "Error", true, true),
        ("BackoffLimitExceeded", "OOMKilled", true, true),
        ("DeadlineExceeded", "", true, true),
        ("DeadlineExceeded", "", false, true),
        ("Cancelled", "", false, true),
        ("DeadlineExceeded", "ErrImagePull", false, false),
        ("Cancelled", "ImagePullBackOff", false, false),
        ("BackoffLimitExceeded", "CreateContainerConfigError", false, false),
        ("BackoffLimitExceeded", "StartError", false, false),
        ("DeadlineExceeded", "Unschedulable", false, false),
        ("DeadlineExceeded", "FailedCreatePodSandBox", false, false),
        ("BackoffLimitExceeded", "OutOfcpu", false, false),
        ("BackoffLimitExceeded", "Evicted", true, true),
        ("BackoffLimitExceeded", "Evicted", false, true),
        ("BackoffLimitExceeded", "EvictionByEvictionAPI", false, true),
        ("DeadlineExceeded", "ImagePullBackOff", true, true),
        ("", "", false, true),
    ] {
        assert_eq!(may_have_run(&run(reason, cause, started)), expected, "{reason} / {cause} / {started}");
    }
}
