//! The definition on a real API server: what it takes, what it refuses, and how it is shown.

use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{Environment, Options, Service, Shared, run};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, GetParams, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, Request, Resource as _},
};
use serde_json::{Value, json};

/// Definitions and a namespace, and nobody who acts on what is in it.
pub(crate) static QUIET: Shared =
    Shared::new(|| Service::ALL.into_iter().fold(Options::default(), Options::without));

fn api(environment: &Environment) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<WorkflowExecution>(&());
    Api::namespaced_with(environment.client(), environment.namespace(), &resource)
}

/// A valid object with a name of its own.
fn valid() -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution",
        "metadata": {"name": format!("one-{}", NEXT.fetch_add(1, Ordering::Relaxed))},
        "spec": {
            "remediationRequestRef": {"name": "rr-1"},
            "workflowRef": {"workflowId": "w", "version": "1", "executionBundle": "b"},
            "targetResource": "default/Deployment/web",
        },
    })
}

async fn create(environment: &Environment, object: &Value) -> Result<DynamicObject, String> {
    let object = serde_json::from_value(object.clone()).unwrap();
    let created = api(environment).create(&PostParams::default(), &object).await;
    created.map_err(|error| error.to_string())
}

fn without(pointer: &str) -> Value {
    let mut object = valid();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    object
}

fn with(pointer: &str, value: Value) -> Value {
    let mut object = valid();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

#[test]
fn objects_without_a_required_key_are_refused_by_its_name() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        for (pointer, name) in [
            ("/spec", "spec"),
            ("/spec/remediationRequestRef", "remediationRequestRef"),
            ("/spec/workflowRef", "workflowRef"),
            ("/spec/workflowRef/workflowId", "workflowId"),
            ("/spec/workflowRef/version", "version"),
            ("/spec/workflowRef/executionBundle", "executionBundle"),
            ("/spec/targetResource", "targetResource"),
        ] {
            let refused = create(&environment, &without(pointer)).await.unwrap_err();
            assert!(refused.contains(name) && refused.contains("Required"), "{pointer}: {refused}");
        }
    });
}

#[test]
fn objects_with_a_field_of_the_wrong_type_are_refused() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        for (pointer, value) in [
            ("/spec/targetResource", json!(7)),
            ("/spec/parameters", json!({"REPLICAS": 3})),
            ("/spec/confidence", json!("high")),
            ("/spec/executionConfig", json!({"timeout": 60})),
            ("/spec/workflowRef/dependencies", json!({"secrets": ["db"]})),
            ("/spec/workflowRef/declaredParameterNames", json!({"A": "yes"})),
        ] {
            assert!(create(&environment, &with(pointer, value)).await.is_err(), "{pointer}");
        }
    });
}

#[test]
fn what_only_the_controller_judges_is_taken() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        for (pointer, value) in [
            ("/spec/remediationRequestRef", json!({})),
            ("/spec/workflowRef/executionBundle", json!("")),
            ("/spec/targetResource", json!("")),
            ("/spec/targetResource", json!("x".repeat(5000))),
            ("/spec/parameters", json!({"not an env name": ""})),
            ("/spec/workflowRef/executionEngine", json!("somebody-elses")),
            ("/spec/workflowRef/engineConfig", json!({"any": ["json", 1, null]})),
            ("/spec/workflowRef/declaredParameterNames", Value::Null),
            ("/spec/confidence", json!(0.93)),
        ] {
            let created = create(&environment, &with(pointer, value.clone())).await.unwrap();
            if !value.is_null() {
                let stored = serde_json::to_value(&created).unwrap();
                assert_eq!(stored.pointer(pointer), Some(&value), "{pointer}");
            }
        }
    });
}

#[test]
fn every_part_of_the_spec_is_immutable_and_metadata_is_not() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let name = create(&environment, &valid()).await.unwrap().name_any();
        let change = |patch: Value| {
            let (api, name) = (api(&environment), name.clone());
            async move { api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await }
        };
        for spec in [
            json!({"targetResource": "default/Deployment/other"}),
            json!({"workflowRef": {"version": "2"}}),
            json!({"workflowRef": {"executionEngine": "job"}}),
            json!({"parameters": {"NEW": "1"}}),
            json!({"remediationRequestRef": {"name": "rr-2"}}),
            json!({"executionConfig": {"timeout": "1m"}}),
            json!({"rationale": "an afterthought"}),
        ] {
            let refused = change(json!({"spec": spec})).await.unwrap_err().to_string();
            assert!(refused.contains("immutable"), "{spec}: {refused}");
        }
        change(json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["kubernaut.ai/x"]}})).await.unwrap();
        change(json!({"metadata": {"finalizers": null}})).await.unwrap();
    });
}

#[test]
fn status_is_a_subresource_with_closed_sets() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let api = api(&environment);
        let mut object = valid();
        object["status"] = json!({"phase": "Completed"});
        let created = create(&environment, &object).await.unwrap();
        assert_eq!(created.data.get("status"), None, "a status cannot be created");
        let name = created.name_any();
        let write = |status: Value| {
            let (api, name) = (api.clone(), name.clone());
            let patch = json!({"status": status, "spec": {"targetResource": "ignored/Kind/here"}});
            async move { api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await }
        };
        let details = |reason: &str| {
            json!({"failureDetails": {
                "failedTaskIndex": 0, "failedTaskName": "", "reason": reason, "message": "",
                "failedAt": "2026-01-01T00:00:00Z", "naturalLanguageSummary": "",
            }})
        };
        for phase in ["Pending", "Running", "Completed", "Failed"] {
            let written = write(json!({"phase": phase})).await.unwrap();
            assert_eq!(written.data["spec"]["targetResource"], "default/Deployment/web");
        }
        write(json!({"phase": "Skipped"})).await.unwrap_err();
        for reason in [
            "OOMKilled",
            "DeadlineExceeded",
            "Forbidden",
            "ResourceExhausted",
            "ConfigurationError",
            "ImagePullBackOff",
            "TaskFailed",
            "UnsupportedEngine",
            "Unknown",
        ] {
            let stored = write(details(reason)).await.unwrap().data;
            assert_eq!(stored["status"]["failureDetails"]["failedTaskName"], "");
        }
        write(details("RaceConditionError")).await.unwrap_err();
        let mut short = details("Unknown");
        short["failureDetails"].as_object_mut().unwrap().insert("failedTaskName".into(), Value::Null);
        write(short).await.unwrap_err();
    });
}

#[test]
fn executions_of_a_request_can_be_selected() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let mine =
            create(&environment, &with("/spec/remediationRequestRef", json!({"name": "rr-mine"}))).await;
        create(&environment, &valid()).await.unwrap();
        let of = |selector: &str| ListParams::default().fields(selector);
        let found = api(&environment).list(&of("spec.remediationRequestRef.name=rr-mine")).await.unwrap();
        let names: Vec<String> = found.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, [mine.unwrap().name_any()]);
        api(&environment).list(&of("spec.targetResource=x")).await.unwrap_err();
    });
}

#[test]
fn it_is_shown_in_the_columns_of_the_contract_and_has_a_short_name() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let name = create(&environment, &valid()).await.unwrap().name_any();
        let path = WorkflowExecution::url_path(&(), Some(environment.namespace()));
        let mut request = Request::new(path).get(&name, &GetParams::default()).unwrap();
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io".parse().unwrap();
        request.headers_mut().insert("accept", table);
        let table: Value = environment.client().request(request).await.unwrap();
        let columns: Vec<(&str, i64)> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| (column["name"].as_str().unwrap(), column["priority"].as_i64().unwrap()))
            .collect();
        let expected = [
            ("Name", 0),
            ("Phase", 0),
            ("WorkflowID", 0),
            ("Target", 0),
            ("Duration", 0),
            ("Reason", 1),
            ("Age", 0),
        ];
        assert_eq!(columns, expected);
        assert_eq!(table["rows"][0]["cells"][3], "default/Deployment/web");
        let resources = environment.client().list_api_group_resources("kubernaut.ai/v1alpha1").await.unwrap();
        let ours = resources.resources.iter().find(|one| one.name == "workflowexecutions").unwrap();
        assert_eq!(ours.short_names.as_deref(), Some(&["wfe".to_owned()][..]));
        assert!(resources.resources.iter().any(|one| one.name == "workflowexecutions/status"));
    });
}
