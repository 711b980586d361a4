//! The definition of workflows on a real API server: what it takes and what it refuses.

use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_api::RemediationWorkflow;
use evenkeel_test_kit::{Environment, run};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, Resource as _},
};
use serde_json::{Value, json};

use crate::definition::QUIET;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn api(environment: &Environment) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<RemediationWorkflow>(&());
    Api::namespaced_with(environment.client(), environment.namespace(), &resource)
}

/// A valid object with a name of its own.
fn valid() -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationWorkflow",
        "metadata": { "name": format!("workflow-{}", NEXT.fetch_add(1, Ordering::Relaxed)) },
        "spec": {
            "version": "1.0.0", "actionType": "RestartPod",
            "description": { "what": "restarts", "whenToUse": "when stuck" },
            "labels": { "severity": ["critical", "*"], "environment": ["*"], "component": "*", "priority": "p0" },
            "execution": { "engine": "job", "bundle": format!("image:v1@{DIGEST}") },
            "dependencies": { "secrets": [{ "name": "same" }], "configMaps": [{ "name": "same" }] },
            "parameters": [
                { "name": "RATIO", "type": "float", "required": true, "description": "r", "minimum": 0.5, "maximum": 2 },
                { "name": "MODE", "type": "string", "required": false, "description": "m", "pattern": "^[a-z]+$",
                  "default": "safe", "dependsOn": ["RATIO"] },
            ],
        },
    })
}

async fn create(environment: &Environment, object: &Value) -> Result<DynamicObject, String> {
    let object = serde_json::from_value(object.clone()).unwrap();
    api(environment).create(&PostParams::default(), &object).await.map_err(|error| error.to_string())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut object = valid();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match parent.as_object_mut() {
        Some(fields) if value.is_null() => _ = fields.remove(key).unwrap(),
        Some(fields) => _ = fields.insert(key.to_owned(), value),
        None => parent[key.parse::<usize>().unwrap()] = value,
    }
    object
}

#[test]
fn workflows_that_could_not_run_are_refused_with_what_is_wrong() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let twice = json!([{ "name": "db" }, { "name": "db" }]);
        let parameter = |change: Value| {
            let mut parameter =
                json!({ "name": "A", "type": "integer", "required": true, "description": "a" });
            parameter.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!([parameter])
        };
        for (pointer, value, word) in [
            ("/spec/version", json!(null), "version"),
            ("/spec/version", json!("x".repeat(51)), "spec.version"),
            ("/spec/description/whenToUse", json!(null), "whenToUse"),
            ("/spec/actionType", json!("restart-pod"), "actionType"),
            ("/spec/labels/severity", json!(["urgent"]), "urgent"),
            ("/spec/labels/severity", json!([]), "severity"),
            ("/spec/labels/environment", json!([]), "environment"),
            ("/spec/labels/component", json!(null), "component"),
            ("/spec/labels/priority", json!(null), "priority"),
            ("/spec/detectedLabels", json!({ "hpaEnabled": "yes" }), "hpaEnabled"),
            ("/spec/detectedLabels", json!({ "gitOpsTool": "other" }), "gitOpsTool"),
            ("/spec/detectedLabels", json!({ "hpaEnabled": "true", "odd": "true" }), "odd"),
            ("/spec/execution/bundle", json!(null), "bundle"),
            ("/spec/execution/bundle", json!("img:v1"), "sha256"),
            ("/spec/execution/bundle", json!(format!("img@{}", &DIGEST[..70])), "sha256"),
            ("/spec/execution/bundle", json!(format!("img@{}", DIGEST.replace("256", "512"))), "sha256"),
            ("/spec/execution/bundleDigest", json!("f".repeat(64)), "bundleDigest"),
            ("/spec/execution", json!({ "bundle": "img:v1" }), "sha256"),
            (
                "/spec/execution",
                json!({ "engine": "ansible", "bundle": "https://git.example/ops" }),
                "playbookPath",
            ),
            ("/spec/dependencies/secrets", twice, "Duplicate"),
            ("/spec/dependencies/secrets", json!([{ "name": "" }]), "secrets"),
            ("/spec/parameters", json!([]), "parameters"),
            ("/spec/parameters", json!(null), "parameters"),
            ("/spec/parameters", parameter(json!({ "type": "number" })), "type"),
            ("/spec/parameters", parameter(json!({ "name": "WITH-DASH" })), "name"),
            ("/spec/parameters", parameter(json!({ "minimum": 3, "maximum": 2 })), "minimum"),
            ("/spec/parameters", parameter(json!({ "pattern": "(" })), "pattern"),
            ("/spec/parameters", parameter(json!({ "dependsOn": ["B"] })), "dependsOn"),
            ("/spec/parameters", parameter(json!({ "required": null })), "required"),
        ] {
            let refused = create(&environment, &with(pointer, value.clone())).await;
            let refused = refused.expect_err(&format!("{pointer} = {value}"));
            assert!(refused.contains(word), "{pointer} = {value}: {refused}");
        }
    });
}

#[test]
fn workflows_of_every_release_and_engine_are_taken() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        for (pointer, value) in [
            ("/spec/version", json!("1.0.0")),
            ("/spec/labels/severity", json!(["high", "warning", "info"])),
            ("/spec/labels/component", json!(["apps/v1/Deployment", "v1/Pod"])),
            ("/spec/customLabels", json!({ "team": ["a", "b"], "tier": "gold" })),
            (
                "/spec/detectedLabels",
                json!({ "hpaEnabled": "true", "gitOpsTool": "*", "storageBackend": "lvms" }),
            ),
            ("/spec/execution/bundle", json!(format!("registry.example:5000/img@{DIGEST}"))),
            ("/spec/execution/bundleDigest", json!(DIGEST)),
            ("/spec/execution/bundleDigest", json!(&DIGEST[7..])),
            ("/spec/execution", json!({ "engine": "argo", "bundle": "anything" })),
            (
                "/spec/execution",
                json!({
                    "engine": "ansible", "bundle": "https://git.example/ops", "bundleDigest": "9fceb02d",
                    "engineConfig": { "playbookPath": "restart.yml", "anything": { "else": [1] } },
                }),
            ),
            ("/spec/dependencies", json!(null)),
            ("/spec/maintainers", json!([{ "name": "a", "email": "a@example.com" }])),
            ("/spec/parameters/0/default", json!([1, "two"])),
            ("/spec/rollbackParameters", valid()["spec"]["parameters"].clone()),
        ] {
            let created = create(&environment, &with(pointer, value.clone())).await;
            let created = created.unwrap_or_else(|error| panic!("{pointer} = {value}: {error}"));
            assert_eq!(created.data.pointer(pointer), Some(&value).filter(|value| !value.is_null()));
        }
        let no_engine = with("/spec/execution", json!({ "bundle": format!("img@{DIGEST}") }));
        let created = create(&environment, &no_engine).await.unwrap();
        assert_eq!(created.data["spec"]["execution"]["engine"], "tekton");
    });
}

#[test]
fn a_version_of_a_workflow_never_changes() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let created = create(&environment, &valid()).await.unwrap();
        let patch = async |patch: Value| {
            let (workflows, name) = (api(&environment), created.name_any());
            let patched = workflows.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
            patched.map_err(|error| error.to_string())
        };
        let bundle = json!({ "spec": { "execution": { "bundle": format!("other@{DIGEST}") } } });
        let refused = patch(bundle.clone()).await.unwrap_err();
        assert!(refused.contains("version of a workflow never changes"), "{refused}");
        patch(json!({ "metadata": { "labels": { "team": "a" } } })).await.unwrap();
        let mut newer = bundle;
        newer["spec"]["version"] = json!("1.0.1");
        patch(newer).await.unwrap();
        assert_eq!(RemediationWorkflow::plural(&()), "remediationworkflows");
    });
}
