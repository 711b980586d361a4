//! The definition is the contract: these tests state it fact by fact, from the generated value.

use evenkeel_api::{FailureDetails, WorkflowExecution, definitions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

fn definition() -> Value {
    serde_json::to_value(&definitions::all()[0]).unwrap()
}

fn schema(path: &[&str]) -> Value {
    let root = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    path.iter().fold(root, |schema, key| schema["properties"][key].clone())
}

fn required(path: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = serde_json::from_value(schema(path)["required"].clone()).unwrap_or_default();
    names.sort();
    names
}

#[test]
fn the_committed_files_are_what_the_types_generate() {
    for definition in definitions::all() {
        let path = format!(
            "{}/../../deploy/crds/{}",
            env!("CARGO_MANIFEST_DIR"),
            definitions::file_name(&definition)
        );
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == definitions::yaml(&definition),
            "{path} is out of date: run `evenkeel-controller crd {} > {path}`",
            definitions::name(&definition)
        );
    }
}

#[test]
fn the_kind_is_named_as_in_the_contract() {
    let definition = definition();
    assert_eq!(definition["metadata"]["name"], "workflowexecutions.kubernaut.ai");
    let spec = &definition["spec"];
    assert_eq!((&spec["group"], &spec["scope"]), (&json!("kubernaut.ai"), &json!("Namespaced")));
    assert_eq!(spec["names"]["kind"], "WorkflowExecution");
    assert_eq!(spec["names"]["plural"], "workflowexecutions");
    assert_eq!(spec["names"]["singular"], "workflowexecution");
    assert_eq!(spec["names"]["shortNames"], json!(["wfe"]));
    let version = &spec["versions"][0];
    assert_eq!(version["name"], "v1alpha1");
    assert_eq!((&version["served"], &version["storage"]), (&json!(true), &json!(true)));
    assert_eq!(version["subresources"], json!({ "status": {} }));
    assert_eq!(version["selectableFields"], json!([{ "jsonPath": ".spec.remediationRequestRef.name" }]));
}

#[test]
fn the_columns_are_in_the_order_of_the_contract() {
    let columns = definition()["spec"]["versions"][0]["additionalPrinterColumns"].clone();
    let columns: Vec<_> = columns
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            let text = |key: &str| column[key].as_str().unwrap().to_owned();
            (text("name"), text("type"), column["priority"].as_i64().unwrap_or(0), text("jsonPath"))
        })
        .collect();
    let expected = [
        ("Phase", "string", 0, ".status.phase"),
        ("WorkflowID", "string", 0, ".spec.workflowRef.workflowId"),
        ("Target", "string", 0, ".spec.targetResource"),
        ("Duration", "string", 0, ".status.duration"),
        ("Reason", "string", 1, r#".status.conditions[?(@.type=="Ready")].reason"#),
        ("Age", "date", 0, ".metadata.creationTimestamp"),
    ]
    .map(|(name, kind, priority, path)| (name.to_owned(), kind.to_owned(), priority, path.to_owned()));
    assert_eq!(columns, expected);
}

#[test]
fn only_the_keys_of_the_contract_are_required() {
    assert_eq!(required(&["spec"]), ["remediationRequestRef", "targetResource", "workflowRef"]);
    assert_eq!(required(&["spec", "workflowRef"]), ["executionBundle", "version", "workflowId"]);
    assert_eq!(required(&["spec", "remediationRequestRef"]), [""; 0]);
    assert_eq!(required(&["status"]), [""; 0]);
    assert_eq!(required(&["status", "executionStatus"]), ["status"]);
    assert_eq!(required(&["status", "executionRef"]), [""; 0]);
    assert_eq!(
        required(&["status", "failureDetails"]),
        ["failedAt", "failedTaskIndex", "failedTaskName", "message", "naturalLanguageSummary", "reason"]
    );
    assert_eq!(required(&["status", "blockClearance"]), ["clearMethod", "clearReason", "clearedBy"]);
}

#[test]
fn closed_sets_are_enforced_and_open_ones_are_not() {
    assert_eq!(schema(&["status", "phase"])["enum"], json!(["Pending", "Running", "Completed", "Failed"]));
    assert_eq!(schema(&["status", "failureDetails", "reason"])["enum"].as_array().unwrap().len(), 9);
    assert_eq!(
        schema(&["status", "blockClearance", "clearMethod"])["enum"],
        json!(["Annotation", "APIEndpoint", "StatusField"])
    );
    for open in [["spec", "workflowRef", "executionEngine"], ["status", "executionStatus", "status"]] {
        assert_eq!(schema(&open)["enum"], Value::Null, "{open:?}");
    }
}

#[test]
fn the_spec_is_immutable_as_a_whole() {
    let rules = schema(&["spec"])["x-kubernetes-validations"].clone();
    assert_eq!(rules.as_array().unwrap().len(), 1);
    assert_eq!(rules[0]["rule"], "self == oldSelf");
    assert!(rules[0]["message"].as_str().unwrap().contains("immutable"));
}

#[test]
fn engine_config_takes_any_json_and_references_are_atomic() {
    let config = schema(&["spec", "workflowRef", "engineConfig"]);
    assert_eq!(config["x-kubernetes-preserve-unknown-fields"], true);
    assert_eq!(config["type"], Value::Null);
    assert_eq!(schema(&["spec", "remediationRequestRef"])["x-kubernetes-map-type"], "atomic");
    assert_eq!(schema(&["status", "executionRef"])["x-kubernetes-map-type"], "atomic");
    assert_eq!(schema(&["status", "executionRef", "name"])["default"], "");
}

#[test]
fn null_is_a_value_of_the_declared_names_only() {
    fn nullable(at: &str, value: &Value, found: &mut Vec<String>) {
        if let Value::Object(map) = value {
            if map.get("nullable") == Some(&json!(true)) {
                found.push(at.to_owned());
            }
            map.iter().for_each(|(key, value)| nullable(&format!("{at}/{key}"), value, found));
        }
    }
    let mut found = Vec::new();
    nullable("", &schema(&[]), &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("declaredParameterNames"));
}

#[test]
fn conditions_are_a_plain_list() {
    let conditions = schema(&["status", "conditions"]);
    assert_eq!(conditions["type"], "array");
    assert_eq!(conditions["x-kubernetes-list-type"], Value::Null);
    assert_eq!(conditions["items"]["properties"]["reason"]["minLength"], 1);
}

#[test]
fn a_failure_without_a_task_still_names_every_required_key() {
    let details = FailureDetails {
        failed_task_index: 0,
        failed_task_name: String::new(),
        failed_step_name: None,
        reason: "Unknown".to_owned(),
        message: String::new(),
        exit_code: None,
        failed_at: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
        execution_time_before_failure: None,
        natural_language_summary: String::new(),
        was_execution_failure: false,
    };
    assert_eq!(
        serde_json::to_value(details).unwrap(),
        json!({
            "failedTaskIndex": 0, "failedTaskName": "", "reason": "Unknown", "message": "",
            "failedAt": "1970-01-01T00:00:00Z", "naturalLanguageSummary": "",
        })
    );
}

#[test]
fn null_and_empty_declared_names_differ() {
    let read = |text: Value| {
        let mut object = json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "metadata": {},
            "spec": {
                "remediationRequestRef": {}, "targetResource": "a/b",
                "workflowRef": { "workflowId": "w", "version": "1", "executionBundle": "b" },
            },
        });
        object["spec"]["workflowRef"]["declaredParameterNames"] = text;
        let object: WorkflowExecution = serde_json::from_value(object).unwrap();
        object.spec.workflow_ref.declared_parameter_names
    };
    assert_eq!(read(Value::Null), None);
    assert_eq!(read(json!({})), Some([].into()));
}

#[test]
fn a_phase_of_another_release_can_be_read() {
    let object: WorkflowExecution = serde_json::from_value(json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "metadata": {},
        "spec": {
            "remediationRequestRef": {}, "targetResource": "a/b",
            "workflowRef": { "workflowId": "w", "version": "1", "executionBundle": "b" },
        },
        "status": { "phase": "Skipped" },
    }))
    .unwrap();
    assert_eq!(object.status.unwrap().phase.as_deref(), Some("Skipped"));
}
