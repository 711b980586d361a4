//! Whether something was given Secrets. Whatever it prints may then hold one of their values.

use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

/// Secrets for the kubelet, which no container sees.
const OF_KUBELET: &str = "imagepullsecrets";

/// Whether anything in there refers to a Secret. There are many ways to do so, by an environment, a
/// volume, or the driver of one, and all have the word in a key. So has what merely looks like it: to
/// withhold too much costs some words, to withhold too little costs a Secret.
pub(super) fn are_in(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            let key = key.to_ascii_lowercase();
            key != OF_KUBELET && (key.contains("secret") || are_in(value))
        }),
        Value::Array(items) => items.iter().any(are_in),
        _ => false,
    }
}

/// The same of a field that is read, of which nothing else is kept.
pub(super) fn are_read<'de, D: Deserializer<'de>>(field: D) -> Result<bool, D::Error> {
    Value::deserialize(field).map(|value| are_in(&value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::types::TaskRun, *};

    fn is_found(task: Value) -> bool {
        serde_json::from_value::<TaskRun>(task).unwrap().has_secrets()
    }

    #[test]
    fn a_task_may_be_given_secrets_in_many_ways() {
        let key = json!({"name": "db", "key": "password"});
        let from_key = json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": key}}]);
        let from_all = json!([{"secretRef": {"name": "db"}}]);
        let driver = json!({"driver": "secrets-store.csi.k8s.io", "nodePublishSecretRef": {"name": "db"}});
        let class = json!({"driver": "d", "volumeAttributes": {"secretProviderClass": "db"}});
        for given in [
            json!({"steps": [{"name": "a"}, {"name": "b", "env": from_key}]}),
            json!({"steps": [{"name": "a", "envFrom": from_all}]}),
            json!({"stepTemplate": {"env": from_key}}),
            json!({"sidecars": [{"name": "s", "envFrom": from_all}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "db"}}]}),
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "db"}}]}}]}),
            json!({"volumes": [{"name": "v", "csi": driver}]}),
            json!({"volumes": [{"name": "v", "csi": class}]}),
        ] {
            assert!(is_found(json!({"status": {"taskSpec": given}})), "{given}");
        }
        for given in [
            json!({"workspaces": [{"name": "w", "secret": {"secretName": "db"}}]}),
            json!({"workspaces": [{"name": "w", "projected": {"sources": [{"secret": {"name": "db"}}]}}]}),
            json!({"podTemplate": {"env": from_key}}),
        ] {
            assert!(is_found(json!({"spec": given})), "{given}");
        }
    }

    #[test]
    fn what_is_only_called_like_a_secret_is_none() {
        let task = json!({
            "steps": [{"name": "secret", "env": [{"name": "SECRET", "value": "secretRef"}]}],
            "volumes": [{"name": "secret", "configMap": {"name": "secret"}}],
        });
        let given = json!({"podTemplate": {"imagePullSecrets": [{"name": "registry"}]}});
        assert!(!is_found(json!({"spec": given, "status": {"taskSpec": task}})));
        assert!(!is_found(json!({})));
    }
}
