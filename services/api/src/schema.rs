//! Pieces of OpenAPI schema that the derived ones would get wrong: the shapes that `metav1` types
//! have in a definition, closed sets of strings, and numbers without a format.

use schemars::{Schema, SchemaGenerator, json_schema};

mod workflow;

pub(crate) use workflow::*;

pub(crate) fn phase(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Pending", "Running", "Completed", "Failed"] })
}

pub(crate) fn failure_reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [
        "OOMKilled", "DeadlineExceeded", "Forbidden", "ResourceExhausted", "ConfigurationError",
        "ImagePullBackOff", "TaskFailed", "UnsupportedEngine", "Unknown",
    ] })
}

pub(crate) fn clear_method(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Annotation", "APIEndpoint", "StatusField"] })
}

pub(crate) fn integer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer" })
}

pub(crate) fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "number" })
}

pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

pub(crate) fn any_json(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

pub(crate) fn nullable_flags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "boolean" },
        "nullable": true,
    })
}

pub(crate) fn object_reference(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "apiVersion": { "type": "string" },
            "fieldPath": { "type": "string" },
            "kind": { "type": "string" },
            "name": { "type": "string" },
            "namespace": { "type": "string" },
            "resourceVersion": { "type": "string" },
            "uid": { "type": "string" },
        },
    })
}

pub(crate) fn local_reference(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": { "name": { "type": "string", "default": "" } },
    })
}

pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    let kind = concat!(
        r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?",
        r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
    );
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "message": { "type": "string", "maxLength": 32768 },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "type": { "type": "string", "maxLength": 316, "pattern": kind },
            },
        },
    })
}
