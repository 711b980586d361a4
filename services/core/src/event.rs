//! The audit events of an execution, derived from what is stored and from nothing else: the same
//! record always yields the same events, so they can be sent until they are acknowledged, by any
//! process, at any time later.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    conditions::Millis,
    failure::Reason,
    go_duration,
    moment::rfc3339,
    phase::Phase,
    record::{Clearance, Failure, Record},
};

/// Category of every event here.
pub const CATEGORY: &str = "workflowexecution";
/// Who acts.
pub const ACTOR: &str = "workflowexecution-controller";
/// Type of the event of a block that somebody cleared.
pub const BLOCK_CLEARED: &str = "workflowexecution.block.cleared";
/// Longest name of a user that the log takes.
const ACTOR_MAX: usize = 255;
/// Longest correlation id that the log takes.
const CORRELATION_MAX: usize = 255;
/// Longest text in a payload, in characters. With [`PARAMETERS_MAX`] it keeps every payload far below
/// what the log takes: an event that the log refused would be lost.
const TEXT_MAX: usize = 4096;
/// Most parameters that are named one by one, and longest name.
const PARAMETERS_MAX: usize = 256;
const PARAMETER_NAME_MAX: usize = 256;

/// One event that must be in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Dotted type.
    pub event_type: &'static str,
    /// Which user acted; none when the controller did.
    pub user: Option<String>,
    /// When it happened.
    pub timestamp: Millis,
    /// Whether it ended as intended.
    pub succeeded: bool,
    /// Ties the events of one incident together.
    pub correlation_id: String,
    /// Name of the execution.
    pub resource_id: String,
    /// Namespace of the execution.
    pub namespace: String,
    /// Trace of the execution.
    pub trace_id: String,
    /// Span that accepted it.
    pub span_id: String,
    /// Payload.
    pub data: Map<String, Value>,
}

impl Event {
    /// What was done: the last part of the type, but for one that the contract calls otherwise.
    pub fn action(&self) -> &'static str {
        match self.event_type {
            BLOCK_CLEARED => "block_cleared",
            other => other.rsplit('.').next().unwrap_or(other),
        }
    }
}

/// How many events must be in the log for a record. They only ever grow by their end.
pub fn count(record: &Record) -> usize {
    let status = &record.status;
    let has_ended = record.is_terminal() && status.completion.is_some();
    [status.engine.is_some(), status.start.is_some(), has_ended, record.clearance().is_some()]
        .into_iter()
        .filter(|due| *due)
        .count()
}

/// The events that must be in the log for a record, in their order.
pub fn derive(record: &Record) -> Vec<Event> {
    let status = &record.status;
    let mut events = Vec::new();
    if status.engine.is_some() {
        let data = payload(record, "workflowexecution.selection.completed", Phase::Pending);
        events.push(event(record, "workflowexecution.selection.completed", record.created, data));
    }
    if let Some(start) = status.start {
        // The contract reports the phase in which the start was decided.
        let mut data = payload(record, "workflowexecution.execution.started", Phase::Pending);
        put_run(record, &mut data);
        events.push(event(record, "workflowexecution.execution.started", start, data));
    }
    // An end without a time is none that could be told of: no other moment stands for it.
    match status.completion.and_then(|completion| Some((record.phase()?, completion))) {
        Some((Phase::Completed, completion)) => {
            let mut data = payload(record, "workflowexecution.workflow.completed", Phase::Completed);
            put_run(record, &mut data);
            put_times(record, &mut data);
            put_outcome(record, &mut data);
            events.push(event(record, "workflowexecution.workflow.completed", completion, data));
        }
        Some((Phase::Failed, completion)) => {
            let mut data = payload(record, "workflowexecution.workflow.failed", Phase::Failed);
            put_run(record, &mut data);
            put_times(record, &mut data);
            put_failure(status.failure.as_ref(), &mut data);
            let failed = event(record, "workflowexecution.workflow.failed", completion, data);
            events.push(Event { succeeded: false, ..failed });
        }
        _ => {}
    }
    events.extend(record.clearance().map(|clearance| cleared(record, clearance)));
    events
}

/// Somebody cleared the target after this failure. States are those that the contract names.
fn cleared(record: &Record, clearance: &Clearance) -> Event {
    let at = clearance.at.or(record.status.completion).unwrap_or(record.created);
    let fields = [
        ("event_type", json!(BLOCK_CLEARED)),
        ("workflow_name", text(&record.spec.workflow_id)),
        ("execution_name", text(&record.name)),
        ("target_resource", text(&record.spec.target)),
        ("clear_reason", text(&clearance.reason)),
        ("cleared_at", json!(rfc3339(at))),
        ("previous_state", json!("Blocked")),
        ("new_state", json!("Running")),
    ];
    let data = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let user = Some(clearance.by.chars().take(ACTOR_MAX).collect());
    Event { user, ..event(record, BLOCK_CLEARED, at, data) }
}

fn event(record: &Record, event_type: &'static str, timestamp: Millis, data: Map<String, Value>) -> Event {
    let incident = &record.spec.remediation_request;
    let correlation = if incident.is_empty() { &record.name } else { incident };
    Event {
        event_type,
        user: None,
        timestamp,
        succeeded: true,
        correlation_id: correlation.chars().take(CORRELATION_MAX).collect(),
        resource_id: record.name.clone(),
        namespace: record.namespace.clone(),
        trace_id: record.trace_id.clone(),
        span_id: record.span_id.clone(),
        data,
    }
}

fn payload(record: &Record, event_type: &str, phase: Phase) -> Map<String, Value> {
    let spec = &record.spec;
    let fields = [
        ("event_type", event_type),
        ("workflow_id", &spec.workflow_id),
        ("workflow_version", &spec.workflow_version),
        ("target_resource", &spec.target),
        ("phase", phase.as_str()),
        ("container_image", record.bundle()),
        ("execution_name", &record.name),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), text(value))).collect()
}

/// A text of the record, cut where it is longer than anybody reads.
fn text(value: &str) -> Value {
    json!(value.chars().take(TEXT_MAX).collect::<String>())
}

fn put_run(record: &Record, data: &mut Map<String, Value>) {
    if let Some(name) = &record.status.run_name {
        data.insert("pipelinerun_name".to_owned(), json!(name));
    }
    let parameters = digests(record.effective_parameters());
    if parameters.is_empty() {
        return;
    }
    let is_long = parameters.len() > PARAMETERS_MAX
        || parameters.keys().any(|name| name.chars().count() > PARAMETER_NAME_MAX);
    if is_long {
        let lines: Vec<_> = parameters.iter().map(|(name, digest)| format!("{name}={digest}\n")).collect();
        data.insert("parameters_count".to_owned(), json!(parameters.len()));
        data.insert("parameters_digest".to_owned(), json!(sha256(&lines.concat())));
    } else {
        data.insert("parameters".to_owned(), json!(parameters));
    }
}

/// The names of parameters with the SHA-256 of their values. The log keeps for ever what it was
/// given, and parameters are where people put secrets; a digest still proves which value was used.
fn digests(parameters: BTreeMap<String, String>) -> BTreeMap<String, String> {
    parameters.into_iter().map(|(name, value)| (name, sha256(&value))).collect()
}

fn sha256(value: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(value.as_bytes())))
}

fn put_times(record: &Record, data: &mut Map<String, Value>) {
    let status = &record.status;
    let times = [
        ("started_at", status.start.map(rfc3339)),
        ("completed_at", status.completion.map(rfc3339)),
        ("duration", status.duration.map(go_duration::format)),
    ];
    for (key, value) in times {
        if let Some(value) = value {
            data.insert(key.to_owned(), json!(value));
        }
    }
}

/// What the backend said at the end, with the results of a pipeline. The executor keeps secrets out of it.
fn put_outcome(record: &Record, data: &mut Map<String, Value>) {
    let message = record.status.outcome.as_ref().map_or("", |outcome| outcome.message.as_str());
    if !message.is_empty() {
        data.insert("completion_message".to_owned(), text(message));
    }
}

fn put_failure(failure: Option<&Failure>, data: &mut Map<String, Value>) {
    let reason = failure.map_or(Reason::Unknown, |failure| failure.reason);
    // The log's set of reasons is older than the status's and has no word for this one.
    let recorded = if reason == Reason::UnsupportedEngine { Reason::Unknown } else { reason };
    data.insert("failure_reason".to_owned(), json!(recorded.as_str()));
    data.insert("error_details".to_owned(), error_details(reason, failure));
    let Some(failure) = failure else { return };
    data.insert("failure_message".to_owned(), text(&failure.message));
    if !failure.task_name.is_empty() {
        data.insert("failed_task_name".to_owned(), json!(failure.task_name));
    }
}

fn error_details(reason: Reason, failure: Option<&Failure>) -> Value {
    let (code, retry_possible) = match reason {
        Reason::ConfigurationError | Reason::Forbidden => ("ERR_WORKFLOW_NOT_FOUND", false),
        Reason::ImagePullBackOff => ("ERR_IMAGE_PULL", true),
        Reason::TaskFailed => {
            ("ERR_PIPELINE_FAILED", !failure.is_some_and(|failure| failure.was_execution_failure))
        }
        Reason::OomKilled
        | Reason::ResourceExhausted
        | Reason::DeadlineExceeded
        | Reason::UnsupportedEngine
        | Reason::Unknown => ("ERR_PIPELINE_FAILED", true),
    };
    json!({
        "component": CATEGORY,
        "message": text(&error_message(failure)),
        "code": code,
        "retry_possible": retry_possible,
    })
}

fn error_message(failure: Option<&Failure>) -> String {
    let Some(failure) = failure else { return "no details are known".to_owned() };
    let step = failure.step_name.as_deref().map(|step| format!(", step {step}")).unwrap_or_default();
    match failure.task_name.as_str() {
        "" => failure.message.clone(),
        task => format!("task {task}{step} failed: {}", failure.message),
    }
}

#[cfg(test)]
#[path = "event/tests.rs"]
mod tests;
