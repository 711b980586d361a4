//! The CustomResourceDefinitions, ready to be applied.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::{RemediationWorkflow, WorkflowExecution};

/// The optional fields whose stored null means something else than their absence or `{}`.
const NULLABLE: [&str; 1] = ["declaredParameterNames"];

/// Every definition, in the order to apply them.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![tidy(WorkflowExecution::crd()), tidy(RemediationWorkflow::crd())]
}

/// One definition as a YAML document.
#[expect(clippy::missing_panics_doc, reason = "it cannot, as the sentence in it says")]
pub fn yaml(definition: &CustomResourceDefinition) -> String {
    let body = serde_saphyr::to_string(definition).expect("a definition holds nothing that YAML cannot");
    format!("# Printed by `evenkeel-controller crd`; do not edit.\n---\n{body}")
}

/// Name of a definition.
pub fn name(definition: &CustomResourceDefinition) -> &str {
    definition.metadata.name.as_deref().unwrap_or_default()
}

/// Name of the file that a definition is committed under.
pub fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}.yaml", name(definition))
}

/// Takes out what the derivation adds and the contract does not have: an optional field may be
/// absent, but null is not one of its values unless it says so.
fn tidy(definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(definition).expect("a definition is plain data");
    strip_nullable("", &mut value);
    serde_json::from_value(value).expect("removing keywords keeps it a definition")
}

fn strip_nullable(property: &str, value: &mut Value) {
    match value {
        Value::Object(map) => {
            if !NULLABLE.contains(&property) && map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            map.iter_mut().for_each(|(name, value)| strip_nullable(name, value));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip_nullable("", item)),
        _ => {}
    }
}
