//! Pieces of the schema of `RemediationWorkflow`. Everything that a rule looks at is bounded, or
//! the API server could not tell what the rule costs.

use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::workflow::{ObjectName, WorkflowParameter};

/// What may be detected of a target's surroundings, with the values that each may have.
const DETECTED: [(&str, &[&str]); 12] = [
    ("gitOpsManaged", &["true"]),
    ("pdbProtected", &["true"]),
    ("hpaEnabled", &["true"]),
    ("stateful", &["true"]),
    ("helmManaged", &["true"]),
    ("networkIsolated", &["true"]),
    ("virtualMachine", &["true"]),
    ("liveMigratable", &["true"]),
    ("cdiManaged", &["true"]),
    ("gitOpsTool", &["argocd", "flux", "*"]),
    ("serviceMesh", &["istio", "linkerd", "*"]),
    ("storageBackend", &["odf-ceph", "lvms", "local", "*"]),
];

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

/// A map, and not one field each, so that an unknown key is refused and not dropped.
pub(crate) fn detected_labels(_: &mut SchemaGenerator) -> Schema {
    let list = |words: &[&str]| words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
    let known: Vec<&str> = DETECTED.iter().map(|(key, _)| *key).collect();
    let is_known = format!("key in [{}]", list(&known));
    let mut rules = vec![json!({
        "rule": format!("self.all(key, {is_known})"),
        "message": format!("a key of detectedLabels is unknown; known are {}", known.join(", ")),
        // Only the first: the API server takes no message that might name them all.
        "messageExpression": format!("'detectedLabels has no key ' + self.filter(key, !({is_known}))[0]"),
    })];
    rules.extend(DETECTED.iter().map(|(key, values)| {
        json!({
            "rule": format!("!('{key}' in self) || self['{key}'] in [{}]", list(values)),
            "message": format!("{key} can only be one of: {}", values.join(", ")),
        })
    }));
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "x-kubernetes-validations": rules,
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
    let rules = json!([{ "rule": rule, "message": "dependsOn must name parameters that are declared" }]);
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
