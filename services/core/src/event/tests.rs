use super::*;
use crate::{
    conditions::{self, Condition, kind},
    record::{Outcome, Spec, Status, StoredPhase},
};

/// What an end is stored with.
fn ending(phase: Phase) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if phase.is_terminal() {
        let why = ("R", String::new());
        conditions::set(&mut conditions, kind::EXECUTION_COMPLETE, phase == Phase::Completed, why, 1, 0);
    }
    conditions
}

fn record(phase: Phase) -> Record {
    Record {
        namespace: "ops".to_owned(),
        name: "we-1".to_owned(),
        uid: "u-1".to_owned(),
        created: 1_000,
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        span_id: "b7ad6b7169203331".to_owned(),
        spec: Spec {
            remediation_request: "rr-1".to_owned(),
            workflow_id: "restart".to_owned(),
            workflow_version: "1.0.0".to_owned(),
            bundle: "registry/restart:1".to_owned(),
            target: "ns/Deployment/api".to_owned(),
            parameters: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
            ..Spec::default()
        },
        status: Status {
            phase: StoredPhase::Known(phase),
            engine: Some("job".to_owned()),
            start: (phase != Phase::Pending).then_some(2_000),
            completion: phase.is_terminal().then_some(92_000),
            duration: phase.is_terminal().then_some(std::time::Duration::from_secs(90)),
            run_name: Some("wfe-0123456789abcdef".to_owned()),
            conditions: ending(phase),
            ..Status::default()
        },
        ..Record::default()
    }
}

fn failure(reason: Reason, ran: bool) -> Failure {
    Failure {
        reason,
        message: "exit 3".to_owned(),
        task_index: 0,
        task_name: "t1".to_owned(),
        step_name: Some("main".to_owned()),
        exit_code: Some(3),
        at: 92_000,
        ran_for: None,
        summary: String::new(),
        was_execution_failure: ran,
    }
}

fn failed(reason: Reason, ran: bool) -> Event {
    let mut record = record(Phase::Failed);
    record.status.failure = Some(failure(reason, ran));
    derive(&record).pop().unwrap()
}

#[test]
fn a_run_yields_selection_start_and_completion_in_order() {
    let events = derive(&record(Phase::Completed));
    let seen: Vec<_> = events.iter().map(|e| (e.event_type, e.action(), e.timestamp, e.succeeded)).collect();
    assert_eq!(
        seen,
        [
            ("workflowexecution.selection.completed", "completed", 1_000, true),
            ("workflowexecution.execution.started", "started", 2_000, true),
            ("workflowexecution.workflow.completed", "completed", 92_000, true),
        ]
    );
    assert!(events.iter().all(|event| event.correlation_id == "rr-1" && event.resource_id == "we-1"));
}

#[test]
fn events_only_ever_grow_by_their_end() {
    let running = derive(&record(Phase::Running));
    let completed = derive(&record(Phase::Completed));
    assert_eq!(running, completed[..running.len()]);
    assert_eq!((running.len(), count(&record(Phase::Running))), (2, 2));
    assert_eq!((completed.len(), count(&record(Phase::Completed))), (3, 3));
}

#[test]
fn the_payload_names_itself_and_what_ran() {
    for event in derive(&record(Phase::Completed)) {
        assert_eq!(event.data["event_type"], event.event_type);
        for (key, value) in [
            ("workflow_id", "restart"),
            ("workflow_version", "1.0.0"),
            ("target_resource", "ns/Deployment/api"),
            ("container_image", "registry/restart:1"),
            ("execution_name", "we-1"),
        ] {
            assert_eq!(event.data[key], value);
        }
    }
    let events = derive(&record(Phase::Completed));
    let phases: Vec<_> = events.iter().map(|event| event.data["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["Pending", "Pending", "Completed"]);
    assert_eq!(events[2].data["duration"], "1m30s");
    assert_eq!(events[2].data["started_at"], "1970-01-01T00:00:02Z");
    assert_eq!(events[2].data["pipelinerun_name"], "wfe-0123456789abcdef");
}

#[test]
fn what_the_backend_said_at_the_end_is_in_the_record() {
    let mut record = record(Phase::Completed);
    assert!(derive(&record)[2].data.get("completion_message").is_none(), "it said nothing");
    let message = format!("Tasks Completed: 2; results: replicas=3{}", "x".repeat(TEXT_MAX));
    record.status.outcome = Some(Outcome { succeeded: true, message, ..Outcome::default() });
    let told = derive(&record)[2].data["completion_message"].clone();
    let told = told.as_str().unwrap();
    assert!(told.starts_with("Tasks Completed: 2; results: replicas=3x"), "{told}");
    assert_eq!(told.len(), TEXT_MAX);
}

#[test]
fn parameters_are_named_and_their_values_only_proved() {
    let events = derive(&record(Phase::Completed));
    let text = format!("{events:?}");
    assert!(!text.contains("hunter2"));
    assert_eq!(
        events[1].data["parameters"]["TOKEN"],
        "sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7"
    );
}

#[test]
fn an_invalid_specification_yields_the_failure_only() {
    let mut record = record(Phase::Failed);
    record.status = Status {
        phase: StoredPhase::Known(Phase::Failed),
        completion: Some(5_000),
        failure: Some(failure(Reason::ConfigurationError, false)),
        ..Status::default()
    };
    let why = ("ExecutionCreationFailed", String::new());
    conditions::set(&mut record.status.conditions, kind::EXECUTION_CREATED, false, why, 1, 0);
    let events = derive(&record);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_type, "workflowexecution.workflow.failed");
    assert!(!events[0].succeeded);
}

#[test]
fn an_end_that_nothing_shows_is_not_recorded() {
    for phase in [Phase::Completed, Phase::Failed] {
        let before = derive(&record(Phase::Running));
        let mut edited = record(Phase::Running);
        edited.status.phase = StoredPhase::Known(phase);
        assert_eq!((derive(&edited), count(&edited)), (before.clone(), 2), "{phase} written by hand");
        // Its time was lost after its release: the event is in the log already, or has no moment.
        let mut released = record(phase);
        released.status.completion = None;
        conditions::set(&mut released.status.conditions, kind::RELEASED, true, ("R", String::new()), 1, 0);
        assert!(released.is_terminal());
        assert_eq!((derive(&released), count(&released)), (before, 2), "{phase} without a time");
    }
}

#[test]
fn nothing_is_derived_before_anything_is_settled() {
    let mut record = record(Phase::Pending);
    record.status = Status::default();
    assert_eq!(derive(&record), []);
}

#[test]
fn the_correlation_falls_back_to_the_execution_and_fits() {
    let mut record = record(Phase::Running);
    record.spec.remediation_request = String::new();
    assert_eq!(derive(&record)[0].correlation_id, "we-1");
    record.spec.remediation_request = "r".repeat(300);
    assert_eq!(derive(&record)[0].correlation_id.len(), 255);
}

#[test]
fn error_details_follow_the_table() {
    for (reason, ran, recorded, code, retry) in [
        (Reason::ConfigurationError, false, "ConfigurationError", "ERR_WORKFLOW_NOT_FOUND", false),
        (Reason::Forbidden, false, "Forbidden", "ERR_WORKFLOW_NOT_FOUND", false),
        (Reason::OomKilled, true, "OOMKilled", "ERR_PIPELINE_FAILED", true),
        (Reason::ResourceExhausted, false, "ResourceExhausted", "ERR_PIPELINE_FAILED", true),
        (Reason::DeadlineExceeded, true, "DeadlineExceeded", "ERR_PIPELINE_FAILED", true),
        (Reason::ImagePullBackOff, false, "ImagePullBackOff", "ERR_IMAGE_PULL", true),
        (Reason::TaskFailed, true, "TaskFailed", "ERR_PIPELINE_FAILED", false),
        (Reason::TaskFailed, false, "TaskFailed", "ERR_PIPELINE_FAILED", true),
        (Reason::UnsupportedEngine, false, "Unknown", "ERR_PIPELINE_FAILED", true),
        (Reason::Unknown, true, "Unknown", "ERR_PIPELINE_FAILED", true),
    ] {
        let data = failed(reason, ran).data;
        assert_eq!(data["failure_reason"], recorded);
        assert_eq!(data["error_details"]["code"], code, "{reason:?}");
        assert_eq!(data["error_details"]["retry_possible"], retry, "{reason:?}");
        assert_eq!(data["error_details"]["component"], "workflowexecution");
        assert!(data["error_details"]["message"].as_str().unwrap().contains("t1"));
        assert_eq!(data["failed_task_name"], "t1");
        assert_eq!(data["failure_message"], "exit 3");
    }
}

#[test]
fn a_failure_without_details_is_still_recorded() {
    let mut record = record(Phase::Failed);
    record.status.failure = None;
    let event = derive(&record).pop().unwrap();
    assert_eq!(event.data["error_details"]["code"], "ERR_PIPELINE_FAILED");
    assert_eq!(event.data["error_details"]["retry_possible"], true);
}

#[test]
fn no_execution_makes_a_payload_that_the_log_refuses() {
    let long = "\u{1}".repeat(300_000);
    let mut huge = record(Phase::Failed);
    huge.spec.workflow_id.clone_from(&long);
    huge.spec.bundle.clone_from(&long);
    huge.status.failure = Some(Failure { message: long.clone(), ..failure(Reason::TaskFailed, true) });
    let many: BTreeMap<_, _> = (0..5000).map(|n| (format!("P{n}"), "value".to_owned())).collect();
    let named: BTreeMap<_, _> = (0..256).map(|n| (format!("{n:0>256}"), "value".to_owned())).collect();
    for parameters in [many, named, [(long, String::new())].into()] {
        huge.spec.parameters = parameters;
        for event in derive(&huge) {
            let size = serde_json::to_string(&event.data).unwrap().len();
            assert!(size < 256 * 1024, "{} has {size} bytes", event.event_type);
        }
    }
}

#[test]
fn parameters_that_are_too_many_are_proved_together() {
    let mut record = record(Phase::Running);
    let many = |last: &str| (0..257).map(|n| (format!("P{n}"), last.to_owned())).collect();
    record.spec.parameters = many("a");
    let digest = |record: &Record| derive(record).pop().unwrap().data["parameters_digest"].clone();
    let first = digest(&record);
    assert_eq!(derive(&record).pop().unwrap().data["parameters_count"], 257);
    record.spec.parameters = many("b");
    assert_ne!(first, digest(&record));
}

fn cleared(by: &str, reason: &str) -> Record {
    let mut record = record(Phase::Failed);
    record.status.failure = Some(failure(Reason::TaskFailed, true));
    let (by, reason) = (by.to_owned(), reason.to_owned());
    record.status.clearance = Some(crate::record::Clearance { by, reason, at: Some(100_000) });
    record
}

#[test]
fn a_clearance_is_an_event_of_its_own_by_the_user_who_cleared() {
    let record = cleared("mary", "looked at the pods");
    let events = derive(&record);
    assert_eq!((events.len(), count(&record)), (4, 4));
    let event = &events[3];
    assert_eq!((event.event_type, event.action()), ("workflowexecution.block.cleared", "block_cleared"));
    assert_eq!((event.user.as_deref(), event.timestamp, event.succeeded), (Some("mary"), 100_000, true));
    for (key, value) in [
        ("clear_reason", "looked at the pods"),
        ("cleared_at", "1970-01-01T00:01:40Z"),
        ("previous_state", "Blocked"),
        ("new_state", "Running"),
        ("workflow_name", "restart"),
        ("target_resource", "ns/Deployment/api"),
    ] {
        assert_eq!(event.data[key], value);
    }
    assert!(events[..3].iter().all(|event| event.user.is_none()));
}

#[test]
fn a_clearance_fits_the_log_and_one_of_nothing_is_none() {
    let huge = cleared(&"m".repeat(300), &"\u{1}".repeat(300_000));
    let event = derive(&huge).pop().unwrap();
    assert!(event.user.unwrap().len() <= 255);
    assert!(serde_json::to_string(&event.data).unwrap().len() < 256 * 1024);
    let mut completed = cleared("mary", "because");
    completed.status.phase = StoredPhase::Known(Phase::Completed);
    completed.status.failure = None;
    assert_eq!(derive(&completed).len(), 3);
}
