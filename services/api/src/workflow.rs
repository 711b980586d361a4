//! One workflow of the catalogue that is kept in the cluster.

#![expect(clippy::duplicated_attributes, reason = "the columns repeat their type")]
#![expect(unreachable_pub, reason = "the derivation repeats each type inside a function of its own")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// What a workflow does, when to choose it, and how to run it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "RemediationWorkflow",
    plural = "remediationworkflows",
    singular = "remediationworkflow",
    shortname = "rw",
    namespaced,
    status = "RemediationWorkflowStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "One workflow of the catalogue.",
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.actionType"),
    printcolumn(name = "UUID", type_ = "string", json_path = ".status.workflowId"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".spec.execution.engine"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.catalogStatus"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf || self.version != oldSelf.version").message(
    "a version of a workflow never changes: give what is different a version of its own"
))]
pub struct RemediationWorkflowSpec {
    /// Version of the workflow. Executions that name the workflow by its name ask for this version.
    #[schemars(length(min = 1, max = 50))]
    pub version: String,
    /// What it does and when to choose it, for whoever chooses.
    pub description: WorkflowDescription,
    /// Kind of action, such as "RestartPod".
    #[schemars(length(max = 128), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub action_type: String,
    /// What it is meant for.
    pub labels: WorkflowLabels,
    /// Further labels of the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::custom_labels")]
    pub custom_labels: BTreeMap<String, Value>,
    /// What the surroundings of the target must be like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::detected_labels")]
    pub detected_labels: BTreeMap<String, String>,
    /// How it is run.
    pub execution: WorkflowExecutionSettings,
    /// Secrets and ConfigMaps that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<WorkflowDependencies>,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub maintainers: Vec<Maintainer>,
    /// The parameters that it takes. Others are not passed on.
    #[schemars(schema_with = "schema::parameters")]
    pub parameters: Vec<WorkflowParameter>,
    /// Parameters of its rollback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::rollback_parameters")]
    pub rollback_parameters: Vec<WorkflowParameter>,
}

/// What a workflow does and when to choose it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowDescription {
    /// What it does.
    pub what: String,
    /// When to choose it.
    pub when_to_use: String,
    /// When not to choose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_not_to_use: Option<String>,
    /// What must hold before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<String>,
}

/// What a workflow is meant for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct WorkflowLabels {
    /// Severities, or "*".
    #[schemars(schema_with = "schema::severities")]
    pub severity: Vec<String>,
    /// Environments, or "*".
    #[schemars(length(min = 1, max = 50))]
    pub environment: Vec<String>,
    /// Kinds of targets, or "*": a text or a list of texts.
    #[schemars(schema_with = "schema::any_json")]
    pub component: Value,
    /// Priority, or "*".
    #[schemars(length(min = 1, max = 63))]
    pub priority: String,
    /// Clusters, or "*".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub cluster: Vec<String>,
}

/// How a workflow is run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!(self.engine in ['tekton', 'job']) || self.bundle.matches('@sha256:[a-f0-9]{64}$')"
).message(
    "execution.bundle must end in '@sha256:' and 64 lower-case hex digits: a tag can come to mean something else"
))]
#[x_kube(validation = Rule::new(
    "!(self.engine in ['tekton', 'job']) || !has(self.bundleDigest) || \
     self.bundle.endsWith('@' + self.bundleDigest) || self.bundle.endsWith('@sha256:' + self.bundleDigest)"
).message("execution.bundleDigest must be the digest in execution.bundle"))]
#[x_kube(validation = Rule::new(
    "self.engine != 'ansible' || (has(self.engineConfig) && has(self.engineConfig.playbookPath))"
).message("execution.engineConfig.playbookPath is required for the engine ansible"))]
pub struct WorkflowExecutionSettings {
    /// Engine that runs it. Any name an executor offers: engines served by third parties are
    /// registered at run time, so the schema cannot list them.
    #[serde(default = "default_engine")]
    #[schemars(length(min = 1, max = 63))]
    pub engine: String,
    /// What the engine runs: for job and tekton an image pinned by its digest, for ansible a Git URL.
    #[schemars(length(min = 1, max = 1024))]
    pub bundle: String,
    /// Digest of the bundle, or the commit behind the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub bundle_digest: Option<String>,
    /// ServiceAccount that it runs as; the namespace's default account when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
    /// What only the engine understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::engine_config")]
    pub engine_config: Option<Value>,
}

/// Objects of the execution namespace that a workflow needs, mounted into it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowDependencies {
    /// Secrets, mounted at /run/kubernaut/secrets/<name>.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::object_names")]
    pub secrets: Vec<ObjectName>,
    /// ConfigMaps, mounted at /run/kubernaut/configmaps/<name>.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::object_names")]
    pub config_maps: Vec<ObjectName>,
}

/// The name of an object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ObjectName {
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Somebody who looks after a workflow.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Maintainer {
    /// Who.
    pub name: String,
    /// Where to write.
    pub email: String,
}

/// One parameter of a workflow.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum"
).message("minimum must not be above maximum"))]
#[x_kube(validation = Rule::new(
    "!has(self.pattern) ? true : (''.matches(self.pattern) ? true : true)"
).message("pattern must be a regular expression"))]
pub struct WorkflowParameter {
    /// Its name, a valid name of an environment variable.
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// What values it has.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::parameter_type")]
    pub kind: String,
    /// Whether the workflow needs it.
    pub required: bool,
    /// What it means.
    pub description: String,
    /// The only values it may have.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub allowed: Vec<String>,
    /// A regular expression that is found in every value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub pattern: Option<String>,
    /// Least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::number")]
    pub minimum: Option<f64>,
    /// Greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::number")]
    pub maximum: Option<f64>,
    /// Value when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_json")]
    pub default: Option<Value>,
    /// Parameters without which this one makes no sense.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::parameter_names")]
    pub depends_on: Vec<String>,
}

fn default_engine() -> String {
    "tekton".to_owned()
}

/// What became of the workflow's registration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RemediationWorkflowStatus {
    /// Id that executions may name it by, beside its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// Where it stands in the catalogue. Executions name one version, and run it whatever this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::catalog_status")]
    pub catalog_status: Option<String>,
    /// Who registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_by: Option<String>,
    /// When it was registered first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub registered_at: Option<Time>,
    /// Whether it was registered before, deleted and registered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previously_existed: Option<bool>,
    /// SHA-256 of what was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// What holds for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
