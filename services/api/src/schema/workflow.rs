//! Pieces of the schema of `RemediationWorkflow`. Everything that a rule looks at is bounded, or
//! the API server could not tell what the rule costs.

use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};

use crate::workflow::{ObjectName, WorkflowParameter};

/// What is detected of a target's surroundings and is either so or not said.
const DETECTED_FLAGS: &str = "['gitOpsManaged', 'pdbProtected', 'hpaEnabled', 'stateful', 'helmManaged', \
     'networkIsolated', 'virtualMachine', 'liveMigratable', 'cdiManaged']";
/// What is one of several, with the values that it may have.
const DETECTED_CHOICES: &str = "{'gitOpsTool': ['argocd', 'flux', '*'], 'serviceMesh': ['istio', 'linkerd', '*'], \
     'storageBackend': ['odf-ceph', 'lvms', 'local', '*']}";

pub(crate) fn severities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 16,
        "items": { "type": "string", "enum": ["critical", "high", "medium", "low", "warning", "info", "*"] },
    })
}

pub(crate) fn custom_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-preserve-unknown-fields": true },
    })
}

pub(crate) fn detected_labels(_: &mut SchemaGenerator) -> Schema {
    let known = format!("key in {DETECTED_FLAGS} || key in {DETECTED_CHOICES}");
    let fits = format!(
        "key in {DETECTED_FLAGS} ? self[key] == 'true' : \
         !(key in {DETECTED_CHOICES}) || self[key] in {DETECTED_CHOICES}[key]"
    );
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "x-kubernetes-validations": [
            {
                "rule": format!("self.all(key, {known})"),
                "messageExpression":
                    format!("'detectedLabels has no ' + self.filter(key, !({known})).join(', ')"),
                "message": "detectedLabels has an unknown key",
            },
            {
                "rule": format!("self.all(key, {fits})"),
                "messageExpression":
                    format!("'not a value of detectedLabels: ' + self.filter(key, !({fits})).join(', ')"),
                "message": "detectedLabels has a wrong value",
            },
        ],
    })
}

pub(crate) fn engine_config(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "playbookPath": { "type": "string", "minLength": 1 },
            "jobTemplateName": { "type": "string" },
            "inventoryName": { "type": "string" },
        },
    })
}

pub(crate) fn object_names(generator: &mut SchemaGenerator) -> Schema {
    named(ObjectName::json_schema(generator), 100)
}

pub(crate) fn parameter_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["string", "integer", "boolean", "array", "float"] })
}

pub(crate) fn parameter_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 10, "items": { "type": "string", "maxLength": 128 } })
}

pub(crate) fn parameters(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = rollback_parameters(generator);
    schema.insert("minItems".to_owned(), 1.into());
    schema
}

pub(crate) fn rollback_parameters(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = named(WorkflowParameter::json_schema(generator), 100);
    let rule = "self.all(one, !has(one.dependsOn) || one.dependsOn.all(name, self.exists(other, other.name == name)))";
    let rules = serde_json::json!([{ "rule": rule, "message": "dependsOn must name parameters that are declared" }]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

pub(crate) fn catalog_status(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [
        "Active", "Invalid", "Pending", "Deprecated", "Archived", "Disabled", "Superseded",
    ] })
}

/// A list of what has a name of its own.
fn named(item: Schema, most: u32) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": most,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}
