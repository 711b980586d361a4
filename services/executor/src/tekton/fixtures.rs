//! Objects and answers for tests.

use std::collections::BTreeMap;

use evenkeel_core::target::Target;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::attempt::Owner;

/// An attempt that asks for nothing special.
pub(super) fn attempt() -> Attempt {
    Attempt {
        owner: Owner { namespace: "ops".into(), name: "fix".into(), uid: "u-1".into() },
        target: Target::parse("default/Deployment/web").unwrap(),
        engine: ENGINE.into(),
        workflow_id: "restart".into(),
        bundle: "registry/fix@sha256:abc".into(),
        pipeline: None,
        parameters: BTreeMap::new(),
        service_account: String::new(),
        secrets: Vec::new(),
        config_maps: Vec::new(),
        timeout: Duration::from_secs(90),
    }
}

/// An object as it is read.
pub(super) fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// A TaskRun of the PipelineRun of this uid, with status and reason of its condition.
pub(super) fn task_run(name: &str, run_uid: &str, (status, reason): (&str, &str), steps: Value) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "runs", "uid": format!("t-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [
                {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "wfe-1", "uid": run_uid},
            ],
        },
        "status": {
            "conditions": [{"type": "Succeeded", "status": status, "reason": reason, "message": "why"}],
            "steps": steps,
        },
    })
}

/// A step that ended: by itself, as its container tells, and as Tekton sees it.
pub(super) fn exit(name: &str, code: i32, reason: &str, termination: &str) -> Value {
    json!({
        "name": name, "container": format!("step-{name}"), "terminationReason": termination,
        "terminated": {"exitCode": code, "reason": reason, "startedAt": "2026-01-01T00:00:01Z"},
    })
}

/// What the API server lists when Tekton is served in these versions.
pub(super) fn groups(versions: &[&str]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("tekton.dev/{version}"), "version": version}))
        .collect();
    let tekton = (!versions.is_empty()).then(|| json!({"name": "tekton.dev", "versions": versions}));
    let other = json!({"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}]});
    let groups: Vec<_> = std::iter::once(other).chain(tekton).collect();
    json!({"kind": "APIGroupList", "groups": groups})
}

/// What it lists of one version of Tekton.
pub(super) fn resources(version: &str, names: &[&str]) -> Value {
    let resource =
        |name: &&str| json!({"name": name, "kind": "K", "namespaced": true, "singularName": "", "verbs": []});
    let resources: Vec<_> = names.iter().map(resource).collect();
    json!({"groupVersion": format!("tekton.dev/{version}"), "resources": resources})
}
