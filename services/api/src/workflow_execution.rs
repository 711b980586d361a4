//! One run of one remediation workflow on one target.

#![expect(clippy::duplicated_attributes, reason = "the columns repeat their type")]
#![expect(unreachable_pub, reason = "the derivation repeats each type inside a function of its own")]

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// What to run, on what, and for which remediation request. Immutable.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "WorkflowExecution",
    plural = "workflowexecutions",
    singular = "workflowexecution",
    shortname = "wfe",
    namespaced,
    status = "WorkflowExecutionStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "One run of one remediation workflow on one target.",
    selectable = ".spec.remediationRequestRef.name",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "WorkflowID", type_ = "string", json_path = ".spec.workflowRef.workflowId"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetResource"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message(
    "the spec is immutable: an execution runs once, as it was created; create another one instead"
))]
pub struct WorkflowExecutionSpec {
    /// The remediation request that this execution serves.
    #[schemars(schema_with = "schema::object_reference")]
    pub remediation_request_ref: ObjectReference,
    /// The workflow to run.
    pub workflow_ref: WorkflowRef,
    /// What the workflow acts on: "namespace/Kind/name", or "Kind/name" for what has no namespace.
    /// At most one execution is live per target; targets are compared byte by byte.
    pub target_resource: String,
    /// Parameters given to the workflow. Secrets do not belong here: name them in
    /// workflowRef.dependencies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// How sure the analysis was of this workflow; for people, not interpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::number")]
    pub confidence: Option<f64>,
    /// Why the analysis chose this workflow; for people, not interpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// Settings of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_config: Option<ExecutionConfig>,
}

/// A workflow as it was chosen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRef {
    /// Identifier of the workflow.
    pub workflow_id: String,
    /// Version of the workflow, for records.
    pub version: String,
    /// What the engine runs, such as an image or bundle reference.
    pub execution_bundle: String,
    /// Digest that the bundle must have, "sha256:<64 hex>".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_bundle_digest: Option<String>,
    /// What only the engine understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_json")]
    pub engine_config: Option<Value>,
    /// Name of the workflow, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<String>,
    /// Engine that runs the workflow. Any name an executor offers: engines served by third parties
    /// are registered at run time, so the schema cannot list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_engine: Option<String>,
    /// ServiceAccount the workflow runs as; the namespace's default account when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Secrets and ConfigMaps that the workflow needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
    /// Names of the parameters that the workflow declares; others are not passed on. Absent or
    /// null passes all of them, an empty object none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::nullable_flags")]
    pub declared_parameter_names: Option<BTreeMap<String, bool>>,
}

/// Objects of the execution namespace that a workflow needs, mounted into it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    /// Secrets, mounted at /run/kubernaut/secrets/<name>.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<NameRef>,
    /// ConfigMaps, mounted at /run/kubernaut/configmaps/<name>.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<NameRef>,
}

/// The name of an object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct NameRef {
    /// The name.
    #[serde(default)]
    pub name: String,
}

/// Settings of one run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ExecutionConfig {
    /// How long the run may take, such as "10m" or "1h30m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// What became of the execution. Written by the controller only, but for blockClearance.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowExecutionStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the execution stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::phase")]
    pub phase: Option<String>,
    /// When the run went live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// When the execution ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    /// From start to completion, such as "1m30s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// The backend's object, in the execution namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::local_reference")]
    pub execution_ref: Option<NameRef>,
    /// What the backend says of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_status: Option<ExecutionStatus>,
    /// Same as failureDetails.reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Why the execution failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_details: Option<FailureDetails>,
    /// Who cleared the target after this failure, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_clearance: Option<BlockClearance>,
    /// Credentials made for this run at the backend and to be removed with it.
    #[serde(default, rename = "ephemeralCredentialIDs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "credential_ids")]
    pub ephemeral_credential_ids: Vec<i64>,
    /// Engine that runs the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_engine: Option<String>,
    /// ServiceAccount that the workflow runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// What was selected from the catalogue; absent when the spec has it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<SelectedWorkflow>,
    /// What holds for the execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// What was selected from a catalogue for an execution.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SelectedWorkflow {
    /// Which catalogue: "RemediationWorkflow" or "DataStorage".
    pub source: String,
    /// Name of the workflow there.
    pub name: String,
    /// Its version there.
    #[serde(default)]
    pub version: String,
    /// What the engine runs.
    pub execution_bundle: String,
    /// Digest that the bundle must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_bundle_digest: Option<String>,
    /// Names of the given parameters that are passed on; absent when the workflow declares none of
    /// its parameters, and all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_names: Option<Vec<String>>,
    /// Parameters that were not given and have a default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub default_parameters: BTreeMap<String, String>,
}

fn credential_ids(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "type": "integer" } })
}

/// What the backend says of a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStatus {
    /// "True" when the run succeeded, "False" when it failed, "Unknown" before.
    pub status: String,
    /// The backend's machine-readable reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The backend's message for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Number of tasks that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::integer")]
    pub completed_tasks: Option<i64>,
    /// Number of tasks in the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::integer")]
    pub total_tasks: Option<i64>,
}

/// Why an execution failed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureDetails {
    /// Zero-based position of the task that failed.
    #[schemars(schema_with = "schema::integer")]
    pub failed_task_index: i64,
    /// Name of the task that failed; empty when none is known.
    pub failed_task_name: String,
    /// Step of the task that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step_name: Option<String>,
    /// Machine-readable reason.
    #[schemars(schema_with = "schema::failure_reason")]
    pub reason: String,
    /// What happened.
    pub message: String,
    /// Exit code of the step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it failed.
    #[schemars(schema_with = "schema::time")]
    pub failed_at: Time,
    /// How long it ran before, such as "1m30s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_time_before_failure: Option<String>,
    /// The failure in plain language: what happened, to what, why, and what to do.
    pub natural_language_summary: String,
    /// Whether anything of the workflow ran, so that the target may have been changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_execution_failure: bool,
}

/// Who cleared a target that a failed execution blocks, and why.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BlockClearance {
    /// How it was cleared.
    #[schemars(schema_with = "schema::clear_method")]
    pub clear_method: String,
    /// Why.
    pub clear_reason: String,
    /// By whom.
    pub cleared_by: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub cleared_at: Option<Time>,
}
