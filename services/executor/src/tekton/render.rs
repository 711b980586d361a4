//! The PipelineRun of a run.

use evenkeel_kit::trace::Carrier;
use serde_json::{Value, json};

use super::{ENGINE, PENDING};
use crate::{attempt::Attempt, marks, parse::TARGET_VARIABLE};

/// Name of the pipeline in a bundle that names no other.
const PIPELINE: &str = "workflow";
/// Annotation with the parent of all spans of a run; Tekton takes that of its own from it, too.
pub(super) const SPAN_CONTEXT: &str = "tekton.dev/pipelinerunSpanContext";

/// Renders the PipelineRun of an attempt, pending: Tekton does nothing about it.
pub(super) fn pipeline_run(
    attempt: &Attempt,
    namespace: &str,
    token: i64,
    trace: Option<&Carrier>,
    run_as_non_root: bool,
) -> Value {
    let mut metadata = marks::metadata(attempt, ENGINE, namespace, token);
    if let (Some(trace), Some(annotations)) = (trace, &mut metadata.annotations) {
        annotations.insert(SPAN_CONTEXT.to_owned(), span_context(trace));
    }
    let mut run = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": metadata,
        "spec": {
            "status": PENDING,
            "pipelineRef": {"resolver": "bundles", "params": [
                param("bundle", &attempt.bundle),
                param("name", attempt.pipeline.as_deref().unwrap_or(PIPELINE)),
                param("kind", "pipeline"),
            ]},
            "params": params(attempt),
            // Counted from when it goes live.
            "timeouts": {"pipeline": format!("{}s", attempt.timeout.as_secs().max(1))},
            "taskRunTemplate": {"podTemplate": {"securityContext": {
                "runAsNonRoot": run_as_non_root,
                "seccompProfile": {"type": "RuntimeDefault"},
            }}},
        },
    });
    let workspaces = workspaces(attempt);
    if !workspaces.is_empty() {
        run["spec"]["workspaces"] = workspaces.into();
    }
    if !attempt.service_account.is_empty() {
        run["spec"]["taskRunTemplate"]["serviceAccountName"] = attempt.service_account.as_str().into();
    }
    run
}

/// What the workflow was given, by name, then the target. The target cannot be set by a parameter, so
/// that it is there once.
fn params(attempt: &Attempt) -> Vec<Value> {
    let given = attempt.parameters.iter().filter(|(name, _)| *name != TARGET_VARIABLE);
    let mut params: Vec<Value> = given.map(|(name, value)| param(name, value)).collect();
    params.push(param(TARGET_VARIABLE, attempt.target.as_str()));
    params
}

fn param(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// Secrets first, in the order given. The pipeline finds them under names that tell what they are.
fn workspaces(attempt: &Attempt) -> Vec<Value> {
    let secrets = attempt
        .secrets
        .iter()
        .map(|name| json!({"name": format!("secret-{name}"), "secret": {"secretName": name}}));
    let config_maps = attempt
        .config_maps
        .iter()
        .map(|name| json!({"name": format!("configmap-{name}"), "configMap": {"name": name}}));
    secrets.chain(config_maps).collect()
}

fn span_context(trace: &Carrier) -> String {
    let mut fields = json!({"traceparent": trace.traceparent});
    if !trace.tracestate.is_empty() {
        fields["tracestate"] = trace.tracestate.as_str().into();
    }
    fields.to_string()
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
