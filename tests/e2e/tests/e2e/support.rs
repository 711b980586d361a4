//! What the tests share: an environment, and what an execution must leave behind.

use std::{collections::BTreeSet, time::Duration};

use evenkeel_api::{FailureDetails, WorkflowExecution};
use evenkeel_cluster::Tier;
use evenkeel_core::target::run_name;
use evenkeel_kit::trace::{Carrier, TRACEPARENT_ANNOTATION};
use evenkeel_test_kit::{
    Environment, Options, Shared,
    evidence::{AuditEvent, FAILED, condition},
    run,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{ListParams, LogParams},
};

/// Longest that anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// For tests whose targets are their own.
pub(crate) static SHARED: Shared = Shared::new(options);

/// A short rest of targets, so that their release can be awaited, but long enough to read a log;
/// little patience with what cannot start; and no poll to help out where a watch should have.
pub(crate) fn options() -> Options {
    Options::default()
        .tier(Tier::Node)
        .setting("EVENKEEL_COOLDOWN", "3s")
        .setting("EVENKEEL_STUCK_GRACE", "10s")
        .setting("EVENKEEL_POLL_INTERVAL", "5m")
}

/// Runs a test if there can be a node.
pub(crate) fn on_a_node(test: impl Future<Output = ()>) {
    let (tier, why) = Tier::best();
    if tier == Tier::Node {
        run(test);
    } else {
        println!("skipped, since pods must really run, which needs root: {why}");
    }
}

/// The details of a failure.
pub(crate) fn failure(execution: &WorkflowExecution) -> &FailureDetails {
    let status = execution.status.as_ref().unwrap();
    status.failure_details.as_ref().unwrap_or_else(|| panic!("no details of a failure: {status:?}"))
}

/// Status and reason of a condition.
pub(crate) fn said<'a>(execution: &'a WorkflowExecution, kind: &str) -> (&'a str, &'a str) {
    match condition(execution, kind) {
        Some(condition) => (&condition.status, &condition.reason),
        None => ("absent", ""),
    }
}

/// How an execution failed.
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    /// Reason of `ExecutionComplete`.
    pub(crate) complete: &'static str,
    pub(crate) exit_code: Option<i32>,
    /// Whether the workflow ran.
    pub(crate) executed: bool,
}

/// Checks everything that status says of an execution that went live and failed.
pub(crate) fn check_failure(execution: &WorkflowExecution, expected: &Failure) {
    let details = failure(execution);
    let status = execution.status.as_ref().unwrap();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(details.reason, expected.reason, "{details:?}");
    assert_eq!(details.was_execution_failure, expected.executed, "{details:?}");
    assert_eq!(details.exit_code, expected.exit_code, "{details:?}");
    assert_eq!(status.failure_reason.as_deref(), Some(expected.reason));
    assert!(!details.message.is_empty());
    let told = &details.natural_language_summary;
    for part in
        [execution.spec.workflow_ref.workflow_id.as_str(), &execution.spec.target_resource, expected.reason]
    {
        assert!(told.contains(part), "'{part}' is not in the summary: {told}");
    }
    let ran = if expected.executed { "while it ran" } else { "before it changed anything" };
    assert!(told.contains(ran), "{told}");
    assert_eq!(said(execution, "ExecutionCreated"), ("True", "ExecutionCreated"));
    assert_eq!(said(execution, "ExecutionRunning"), ("True", "ExecutionStarted"));
    assert_eq!(said(execution, "ExecutionComplete"), ("False", expected.complete));
    assert_eq!(said(execution, "Ready"), ("False", "NotReady"));
    check_times(execution);
}

/// Checks that the times agree with each other.
pub(crate) fn check_times(execution: &WorkflowExecution) {
    let status = execution.status.as_ref().unwrap();
    let (start, end) = (status.start_time.as_ref().unwrap(), status.completion_time.as_ref().unwrap());
    let seconds = end.0.duration_since(start.0).as_secs();
    assert!(seconds >= 0, "{status:?}");
    assert_eq!(status.duration.as_deref(), Some(format!("{seconds}s").as_str()));
}

/// Checks that the log has exactly these events of an execution, in this order, each once, all of
/// its incident and its trace.
pub(crate) async fn check_record(environment: &Environment, execution: &WorkflowExecution, kinds: &[&str]) {
    let name = execution.name_any();
    let events = environment.audit_events(&name).await.unwrap();
    assert_eq!(events.iter().map(AuditEvent::kind).collect::<Vec<_>>(), kinds, "events of {name}");
    let ids: BTreeSet<&str> = events.iter().map(|event| event.text("event_id")).collect();
    assert_eq!(ids.len(), events.len(), "every event has an id of its own");
    let trace = trace_id(execution);
    for event in &events {
        assert_eq!(event.text("trace_id"), trace);
        assert_eq!(
            event.text("correlation_id"),
            execution.spec.remediation_request_ref.name.as_deref().unwrap()
        );
        assert_eq!(event.kind().rsplit('.').next(), Some(event.text("event_action")));
        let outcome = if event.kind() == FAILED { "failure" } else { "success" };
        assert_eq!(event.text("event_outcome"), outcome);
        assert_eq!(event.body["event_data"]["event_type"], event.kind());
    }
}

/// The trace that an execution belongs to.
pub(crate) fn trace_id(execution: &WorkflowExecution) -> String {
    let traceparent = execution.annotations()[TRACEPARENT_ANNOTATION].clone();
    let carrier = Carrier { traceparent, tracestate: String::new() };
    assert_eq!(carrier.trace_id().len(), 32, "{carrier:?}");
    carrier.trace_id().to_owned()
}

/// The pods of an execution.
pub(crate) async fn pods(environment: &Environment, execution: &WorkflowExecution) -> Vec<Pod> {
    let of = format!("batch.kubernetes.io/job-name={}", run_name(&execution.spec.target_resource));
    environment.pods().list(&ListParams::default().labels(&of)).await.unwrap().items
}

/// What its only pod printed.
pub(crate) async fn log(environment: &Environment, execution: &WorkflowExecution) -> String {
    let pods = pods(environment, execution).await;
    assert_eq!(pods.len(), 1, "{} has another number of pods than one", execution.name_any());
    environment.pods().logs(&pods[0].name_any(), &LogParams::default()).await.unwrap()
}
