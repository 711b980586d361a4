//! Between the custom resource and the plain record that the rules work on.

use std::time::Duration;

use evenkeel_api::{
    BlockClearance, Dependencies, ExecutionStatus, FailureDetails, NameRef, SelectedWorkflow,
    WorkflowExecution, WorkflowExecutionSpec, WorkflowExecutionStatus,
};
use evenkeel_core::{
    conditions::{Condition, Millis},
    failure::Reason,
    go_duration,
    phase::Phase,
    record::{self, Clearance, Failure, Outcome, Record, Selection, Spec, Status, StoredPhase},
};
use evenkeel_kit::trace::{Carrier, TRACEPARENT_ANNOTATION, TRACESTATE_ANNOTATION};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self as meta, Time};
use kube::ResourceExt as _;

/// Keeps an execution until what was made for it is gone.
pub(crate) const FINALIZER: &str = "workflowexecution.kubernaut.ai/workflowexecution-cleanup";

/// Ends an execution before its time; its value says why.
pub const CANCEL_ANNOTATION: &str = "evenkeel.dev/cancel";

/// The plain form of an object.
pub(crate) fn from_object(object: &WorkflowExecution) -> Record {
    let carrier = carrier(object).unwrap_or_default();
    Record {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        created: object.creation_timestamp().as_ref().map_or(0, millis),
        deleting: object.metadata.deletion_timestamp.is_some(),
        has_finalizer: object.finalizers().iter().any(|name| name == FINALIZER),
        trace_id: carrier.trace_id().to_owned(),
        span_id: carrier.span_id().to_owned(),
        cancelled: object.annotations().get(CANCEL_ANNOTATION).cloned(),
        spec: spec(&object.spec),
        status: object.status.as_ref().map(status).unwrap_or_default(),
    }
}

/// The trace that an object belongs to.
pub(crate) fn carrier(object: &WorkflowExecution) -> Option<Carrier> {
    let annotations = object.annotations();
    Some(Carrier {
        traceparent: annotations.get(TRACEPARENT_ANNOTATION)?.clone(),
        tracestate: annotations.get(TRACESTATE_ANNOTATION).cloned().unwrap_or_default(),
    })
}

fn spec(spec: &WorkflowExecutionSpec) -> Spec {
    let workflow = &spec.workflow_ref;
    Spec {
        remediation_request: spec.remediation_request_ref.name.clone().unwrap_or_default(),
        workflow_id: workflow.workflow_id.clone(),
        workflow_version: workflow.version.clone(),
        bundle: workflow.execution_bundle.clone(),
        digest: workflow.execution_bundle_digest.clone(),
        target: spec.target_resource.clone(),
        engine: workflow.execution_engine.clone(),
        service_account: workflow.service_account_name.clone(),
        engine_config: workflow.engine_config.clone(),
        dependencies: workflow.dependencies.as_ref().map(dependencies),
        parameters: spec.parameters.clone(),
        declared_parameters: workflow.declared_parameter_names.clone(),
        timeout: spec.execution_config.as_ref().and_then(|config| config.timeout.clone()),
    }
}

fn dependencies(dependencies: &Dependencies) -> record::Dependencies {
    let names = |refs: &[NameRef]| refs.iter().map(|named| named.name.clone()).collect();
    record::Dependencies {
        secrets: names(&dependencies.secrets),
        config_maps: names(&dependencies.config_maps),
    }
}

fn selection(workflow: &SelectedWorkflow) -> Selection {
    Selection {
        source: workflow.source.clone(),
        name: workflow.name.clone(),
        version: workflow.version.clone(),
        bundle: workflow.execution_bundle.clone(),
        digest: workflow.execution_bundle_digest.clone(),
        parameters: workflow.parameter_names.clone(),
        defaults: workflow.default_parameters.clone(),
    }
}

fn status(status: &WorkflowExecutionStatus) -> Status {
    Status {
        observed_generation: status.observed_generation,
        phase: match status.phase.as_deref() {
            None | Some("") => StoredPhase::Unset,
            Some(text) => {
                Phase::parse(text).map_or_else(|| StoredPhase::Foreign(text.to_owned()), StoredPhase::Known)
            }
        },
        start: status.start_time.as_ref().map(millis),
        completion: status.completion_time.as_ref().map(millis),
        duration: status.duration.as_deref().and_then(go_duration::parse),
        run_name: status.execution_ref.as_ref().map(|run| run.name.clone()).filter(|name| !name.is_empty()),
        outcome: status.execution_status.as_ref().map(outcome),
        failure: status.failure_details.as_ref().map(failure),
        clearance: status.block_clearance.as_ref().map(clearance),
        engine: status.execution_engine.clone().filter(|engine| !engine.is_empty()),
        service_account: status.service_account_name.clone(),
        workflow: status.workflow.as_ref().map(selection),
        conditions: status.conditions.iter().map(condition).collect(),
    }
}

fn outcome(status: &ExecutionStatus) -> Outcome {
    Outcome {
        succeeded: status.status == "True",
        reason: status.reason.clone().unwrap_or_default(),
        message: status.message.clone().unwrap_or_default(),
        completed_tasks: status.completed_tasks.unwrap_or_default(),
        total_tasks: status.total_tasks.unwrap_or_default(),
    }
}

fn failure(details: &FailureDetails) -> Failure {
    Failure {
        reason: Reason::parse(&details.reason),
        message: details.message.clone(),
        task_index: details.failed_task_index,
        task_name: details.failed_task_name.clone(),
        step_name: details.failed_step_name.clone(),
        exit_code: details.exit_code,
        at: millis(&details.failed_at),
        ran_for: details.execution_time_before_failure.as_deref().and_then(go_duration::parse),
        summary: details.natural_language_summary.clone(),
        was_execution_failure: details.was_execution_failure,
    }
}

fn clearance(clearance: &BlockClearance) -> Clearance {
    Clearance {
        by: clearance.cleared_by.clone(),
        reason: clearance.clear_reason.clone(),
        at: clearance.cleared_at.as_ref().map(millis),
    }
}

fn condition(condition: &meta::Condition) -> Condition {
    Condition {
        kind: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        observed_generation: condition.observed_generation,
        since: millis(&condition.last_transition_time),
    }
}

/// The stored form of a status. What the rules do not know of is absent and stays as it is, and so
/// does the clearance, which is never ours to write.
pub(crate) fn to_status(status: &Status) -> WorkflowExecutionStatus {
    WorkflowExecutionStatus {
        observed_generation: status.observed_generation,
        phase: match &status.phase {
            StoredPhase::Unset => None,
            StoredPhase::Known(phase) => Some(phase.as_str().to_owned()),
            StoredPhase::Foreign(text) => Some(text.clone()),
        },
        start_time: status.start.map(time),
        completion_time: status.completion.map(time),
        duration: status.duration.map(go_duration::format),
        execution_ref: status.run_name.clone().map(|name| NameRef { name }),
        execution_status: status.outcome.as_ref().map(to_execution_status),
        failure_reason: status.failure.as_ref().map(|failure| failure.reason.as_str().to_owned()),
        failure_details: status.failure.as_ref().map(to_details),
        execution_engine: status.engine.clone(),
        service_account_name: status.service_account.clone(),
        workflow: status.workflow.as_ref().map(to_selected),
        conditions: status.conditions.iter().map(to_condition).collect(),
        ..WorkflowExecutionStatus::default()
    }
}

fn to_selected(selection: &Selection) -> SelectedWorkflow {
    SelectedWorkflow {
        source: selection.source.clone(),
        name: selection.name.clone(),
        version: selection.version.clone(),
        execution_bundle: selection.bundle.clone(),
        execution_bundle_digest: selection.digest.clone(),
        parameter_names: selection.parameters.clone(),
        default_parameters: selection.defaults.clone(),
    }
}

fn to_execution_status(outcome: &Outcome) -> ExecutionStatus {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    ExecutionStatus {
        status: if outcome.succeeded { "True" } else { "False" }.to_owned(),
        reason: text(&outcome.reason),
        message: text(&outcome.message),
        completed_tasks: Some(outcome.completed_tasks),
        total_tasks: Some(outcome.total_tasks),
    }
}

fn to_details(failure: &Failure) -> FailureDetails {
    FailureDetails {
        failed_task_index: failure.task_index,
        failed_task_name: failure.task_name.clone(),
        failed_step_name: failure.step_name.clone(),
        reason: failure.reason.as_str().to_owned(),
        message: failure.message.clone(),
        exit_code: failure.exit_code,
        failed_at: time(failure.at),
        execution_time_before_failure: failure.ran_for.map(go_duration::format),
        natural_language_summary: failure.summary.clone(),
        was_execution_failure: failure.was_execution_failure,
    }
}

fn to_condition(condition: &Condition) -> meta::Condition {
    meta::Condition {
        type_: condition.kind.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        observed_generation: condition.observed_generation,
        last_transition_time: time(condition.since),
    }
}

pub(crate) fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

pub(crate) fn time(millis: Millis) -> Time {
    Time(Timestamp::from_millisecond(millis).unwrap_or_default())
}

fn millis(time: &Time) -> Millis {
    time.0.as_millisecond()
}

pub(crate) fn after(millis: Millis) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
