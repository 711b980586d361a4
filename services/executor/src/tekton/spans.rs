//! Spans of what ran in a pipeline, one per task and step, told when the run is over. They need no tracing
//! of Tekton's own, which is off unless somebody turns it on.
//!
//! They are told once by a process, and again by another one that sees the run: by a second replica, or
//! after a restart. Their ids follow from the TaskRuns, so those are the same spans.

use std::time::SystemTime;

use evenkeel_kit::{telemetry::Past, trace::Carrier};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use serde_json::Value;
use uuid::Uuid;

use super::{
    observe,
    render::SPAN_CONTEXT,
    types::{PIPELINE_TASK_LABEL, PipelineRun, Step, TaskRun, ending},
};
use crate::marks;

/// What Tekton says of a step that was passed over, since an earlier one had failed.
const SKIPPED: &str = "Skipped";

/// Tells of the tasks of a run, and of their steps, in the trace that the run carries.
pub(super) fn record(run: &PipelineRun, tasks: &[&TaskRun]) {
    let Some(parent) = parent(run) else { return };
    for task in tasks {
        let Some(context) = task_span(task).and_then(|span| span.record(&parent)) else { continue };
        for step in &task.status.steps {
            if let Some(span) = step_span(task, step) {
                span.record(&context);
            }
        }
    }
}

/// What the spans are children of.
pub(super) fn parent(run: &PipelineRun) -> Option<Carrier> {
    let fields: Value = serde_json::from_str(marks::note(&run.metadata, SPAN_CONTEXT)?).ok()?;
    let field = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    Some(Carrier { traceparent: field("traceparent"), tracestate: field("tracestate") })
}

/// The span of a task; of one that was tried again, the last try. It is in error whenever the task failed,
/// also where its pipeline went on.
fn task_span(task: &TaskRun) -> Option<Past> {
    let (start, end) = (task.status.start_time.as_ref()?, task.status.completion_time.as_ref()?);
    let name = task.name_any();
    let span = Past::new("tekton.task", id(task, ""), time(start), time(end))
        .text("tekton.task.name", task.labels().get(PIPELINE_TASK_LABEL).unwrap_or(&name))
        .text("tekton.task.reason", observe::reason(task))
        .text("k8s.namespace.name", &task.namespace().unwrap_or_default())
        .text("k8s.taskrun.name", &name);
    let has_failed = ending(&task.status.conditions).is_some_and(|condition| condition.status == "False");
    Some(if has_failed { span.failed(observe::reason(task)) } else { span })
}

/// The span of a step, if it began. Where Tekton ended it, its exit code is Tekton's, and is not told.
fn step_span(task: &TaskRun, step: &Step) -> Option<Past> {
    let why = step.termination_reason.as_str();
    if why == SKIPPED || !observe::has_begun(task, step) {
        return None;
    }
    let exit = step.terminated.as_ref()?;
    let reason = if why.is_empty() { &exit.reason } else { why };
    let (start, end) = (exit.started_at.as_ref()?, exit.finished_at.as_ref()?);
    let mut span = Past::new("tekton.step", id(task, &step.name), time(start), time(end))
        .text("tekton.step.name", &step.name)
        .text("tekton.step.reason", reason);
    if !observe::ENDED.contains(&why) && exit.reason != observe::reason(task) {
        span = span.number("tekton.step.exit_code", exit.exit_code.into());
    }
    Some(if exit.exit_code == 0 { span } else { span.failed(reason) })
}

/// Id of the span of a task, or of one of its steps: the same from everybody who tells of it.
fn id(task: &TaskRun, step: &str) -> u64 {
    let what = format!("{}/{step}", task.uid().unwrap_or_default());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, what.as_bytes()).as_u64_pair().0
}

fn time(time: &Time) -> SystemTime {
    time.0.into()
}

#[cfg(test)]
#[path = "spans_tests.rs"]
pub(super) mod tests;
