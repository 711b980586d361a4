//! The definition of workflows, stated fact by fact from the generated value. What its rules refuse
//! is shown on a real API server.

use evenkeel_api::{RemediationWorkflow, definitions};
use serde_json::{Value, json};

fn definition() -> Value {
    let all = definitions::all();
    let named = all.iter().find(|it| definitions::name(it) == "remediationworkflows.kubernaut.ai");
    serde_json::to_value(named.unwrap()).unwrap()
}

fn schema(path: &[&str]) -> Value {
    let root = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    path.iter().fold(root, |schema, key| match *key {
        "[]" => schema["items"].clone(),
        key => schema["properties"][key].clone(),
    })
}

fn required(path: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = serde_json::from_value(schema(path)["required"].clone()).unwrap_or_default();
    names.sort();
    names
}

#[test]
fn the_kind_and_its_columns_are_those_of_the_contract() {
    let spec = definition()["spec"].clone();
    assert_eq!((&spec["group"], &spec["scope"]), (&json!("kubernaut.ai"), &json!("Namespaced")));
    assert_eq!(
        (&spec["names"]["kind"], &spec["names"]["shortNames"]),
        (&json!("RemediationWorkflow"), &json!(["rw"]))
    );
    let version = &spec["versions"][0];
    assert_eq!((&version["name"], &version["subresources"]), (&json!("v1alpha1"), &json!({ "status": {} })));
    let columns = version["additionalPrinterColumns"].as_array().unwrap().clone();
    let columns: Vec<_> =
        columns.iter().map(|it| (it["name"].as_str().unwrap(), it["jsonPath"].as_str().unwrap())).collect();
    let expected = [
        ("Action", ".spec.actionType"),
        ("UUID", ".status.workflowId"),
        ("Engine", ".spec.execution.engine"),
        ("Version", ".spec.version"),
        ("Status", ".status.catalogStatus"),
        ("Age", ".metadata.creationTimestamp"),
    ];
    assert_eq!(columns, expected);
}

#[test]
fn only_the_keys_of_the_contract_are_required() {
    let spec = ["actionType", "description", "execution", "labels", "parameters", "version"];
    assert_eq!(required(&["spec"]), spec);
    assert_eq!(required(&["spec", "description"]), ["what", "whenToUse"]);
    assert_eq!(required(&["spec", "labels"]), ["component", "environment", "priority", "severity"]);
    assert_eq!(required(&["spec", "execution"]), ["bundle"]);
    assert_eq!(required(&["spec", "dependencies"]), [""; 0]);
    assert_eq!(required(&["spec", "dependencies", "secrets", "[]"]), ["name"]);
    assert_eq!(required(&["spec", "parameters", "[]"]), ["description", "name", "required", "type"]);
    assert_eq!(required(&["status"]), [""; 0]);
}

#[test]
fn the_engine_has_a_default_and_no_closed_set() {
    let engine = schema(&["spec", "execution", "engine"]);
    assert_eq!((&engine["default"], &engine["enum"]), (&json!("tekton"), &Value::Null));
    let states = schema(&["status", "catalogStatus"])["enum"].clone();
    assert_eq!(states.as_array().unwrap().len(), 7);
}

#[test]
fn what_has_a_name_is_a_list_of_unique_names() {
    for path in [
        &["spec", "parameters"][..],
        &["spec", "rollbackParameters"],
        &["spec", "dependencies", "configMaps"],
    ] {
        let list = schema(path);
        assert_eq!(list["x-kubernetes-list-type"], "map", "{path:?}");
        assert_eq!(list["x-kubernetes-list-map-keys"], json!(["name"]));
        assert!(list["maxItems"].is_number(), "a rule's cost must be bounded");
    }
    assert_eq!(schema(&["spec", "parameters"])["minItems"], 1);
}

#[test]
fn an_object_with_fields_of_another_release_can_be_read() {
    let object: RemediationWorkflow = serde_json::from_value(json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationWorkflow", "metadata": {},
        "spec": {
            "version": "1", "actionType": "A", "description": { "what": "w", "whenToUse": "u", "new": 1 },
            "labels": { "severity": ["*"], "environment": ["*"], "component": ["v1/Pod"], "priority": "*" },
            "execution": { "bundle": "b", "resources": { "limits": { "memory": "1Gi" } } },
            "parameters": [],
        },
        "status": { "catalogStatus": "Odd" },
    }))
    .unwrap();
    assert_eq!(object.spec.execution.engine, "tekton");
    assert_eq!(object.status.unwrap().catalog_status.as_deref(), Some("Odd"));
}
