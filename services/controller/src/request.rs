//! What is asked of the executor for one execution.

use evenkeel_core::{
    record::{Dependencies, Record},
    workflow::Resolved,
};
use evenkeel_proto::execution::v1::{
    self as proto, AnsibleConfig, ExecutionSpec, JobConfig, TektonConfig, execution_spec::EngineConfig,
};
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::Value as Json;

/// Whom a run belongs to.
pub(crate) fn owner(record: &Record) -> proto::Owner {
    proto::Owner { namespace: record.namespace.clone(), name: record.name.clone(), uid: record.uid.clone() }
}

/// Everything needed to run the workflow.
pub(crate) fn spec(record: &Record, resolved: Resolved) -> ExecutionSpec {
    let incident = &record.spec.remediation_request;
    ExecutionSpec {
        owner: Some(owner(record)),
        target: record.spec.target.clone(),
        workflow_id: record.spec.workflow_id.clone(),
        engine_config: engine_config(&resolved.engine, resolved.engine_config.as_ref()),
        engine: resolved.engine,
        bundle: resolved.bundle,
        bundle_digest: resolved.digest.unwrap_or_default(),
        parameters: resolved.parameters.into_iter().collect(),
        service_account_name: resolved.service_account.unwrap_or_default(),
        dependencies: Some(dependencies(resolved.dependencies)),
        timeout: record.spec.timeout().and_then(|timeout| timeout.try_into().ok()),
        correlation_id: if incident.is_empty() { &record.name } else { incident }.clone(),
    }
}

fn dependencies(dependencies: Dependencies) -> proto::Dependencies {
    proto::Dependencies { secrets: dependencies.secrets, config_maps: dependencies.config_maps }
}

/// The protocol has a message for each of its own engines; every other engine gets the JSON as it is.
fn engine_config(engine: &str, config: Option<&Json>) -> Option<EngineConfig> {
    let text = |key: &str| {
        config.and_then(|config| config.get(key)).and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    match engine {
        "job" => Some(EngineConfig::Job(JobConfig {})),
        "tekton" => Some(EngineConfig::Tekton(TektonConfig { pipeline: text("pipeline") })),
        "ansible" => Some(EngineConfig::Ansible(AnsibleConfig {
            job_template_name: text("jobTemplateName"),
            playbook_path: text("playbookPath"),
        })),
        _ => match value(config?).kind {
            Some(Kind::StructValue(fields)) => Some(EngineConfig::Other(fields)),
            _ => None,
        },
    }
}

fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(flag) => Kind::BoolValue(*flag),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
        Json::Object(fields) => Kind::StructValue(Struct {
            fields: fields.iter().map(|(key, field)| (key.clone(), value(field))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use evenkeel_api::WorkflowExecution;
    use evenkeel_core::{plan::Reading, workflow};
    use serde_json::json;

    use super::*;
    use crate::record;

    fn object() -> WorkflowExecution {
        serde_json::from_value(json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": { "namespace": "ops", "name": "we-1", "uid": "u-1" },
            "spec": {
                "remediationRequestRef": { "name": "rr-1" },
                "workflowRef": {
                    "workflowId": "restart", "version": "1", "executionBundle": "image",
                    "executionBundleDigest": "commit", "executionEngine": "custom",
                    "serviceAccountName": "runner", "engineConfig": { "depth": [1, "two", null] },
                    "dependencies": { "secrets": [{ "name": "db" }], "configMaps": [{ "name": "app" }] },
                    "declaredParameterNames": { "A": true },
                },
                "targetResource": "ns/Deployment/api",
                "parameters": { "A": "1", "B": "2" },
                "executionConfig": { "timeout": "10m" },
            },
        }))
        .unwrap()
    }

    #[test]
    fn everything_that_was_asked_for_reaches_the_executor() {
        let record = record::from_object(&object());
        let resolved = workflow::resolve(&record, &Reading::Unread).unwrap();
        let spec = spec(&record, resolved);
        assert_eq!(spec.owner.as_ref().unwrap().uid, "u-1");
        assert_eq!((spec.engine.as_str(), spec.bundle_digest.as_str()), ("custom", "commit"));
        assert_eq!(spec.parameters.keys().collect::<Vec<_>>(), ["A"], "undeclared ones are not passed on");
        assert_eq!(spec.timeout.unwrap().seconds, 600);
        assert_eq!(spec.correlation_id, "rr-1");
        assert_eq!(spec.service_account_name, "runner");
        let dependencies = spec.dependencies.unwrap();
        assert_eq!(
            (dependencies.secrets, dependencies.config_maps),
            (vec!["db".to_owned()], vec!["app".to_owned()])
        );
        let Some(EngineConfig::Other(fields)) = spec.engine_config else { panic!() };
        let Some(Kind::ListValue(list)) = &fields.fields["depth"].kind else { panic!() };
        assert_eq!(list.values.len(), 3);
    }

    #[test]
    fn the_protocols_own_engines_get_their_own_messages() {
        let config = json!({ "pipeline": "p", "jobTemplateName": "t", "playbookPath": "x.yml" });
        assert_eq!(engine_config("job", None), Some(EngineConfig::Job(JobConfig {})));
        let Some(EngineConfig::Tekton(tekton)) = engine_config("tekton", Some(&config)) else { panic!() };
        assert_eq!(tekton.pipeline, "p");
        let Some(EngineConfig::Ansible(ansible)) = engine_config("ansible", Some(&config)) else { panic!() };
        assert_eq!((ansible.job_template_name.as_str(), ansible.playbook_path.as_str()), ("t", "x.yml"));
        assert_eq!(engine_config("custom", None), None);
    }
}
