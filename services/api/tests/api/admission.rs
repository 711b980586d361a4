//! The policy in `deploy/admission` and the definition speak of the same fields.

use evenkeel_api::WorkflowExecution;
use kube::CustomResourceExt as _;

const POLICY: &str = include_str!("../../../../deploy/admission/block-clearance.yaml");

#[test]
fn the_policy_guards_every_field_of_the_status_but_the_clearance() {
    let definition = serde_json::to_value(WorkflowExecution::crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = schema["properties"]["status"]["properties"].as_object().unwrap();
    assert!(fields.len() > 10);
    for name in fields.keys() {
        let guard = format!("object.?status.?{name} == oldObject.?status.?{name}");
        assert_eq!(POLICY.contains(&guard), name != "blockClearance", "{name}");
    }
}
