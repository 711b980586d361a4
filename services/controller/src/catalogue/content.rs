//! The text that Data Storage keeps of a workflow: the object as it was registered. Of it only what
//! Data Storage does not say elsewhere is read, and no more is asked of it.

use evenkeel_api::workflow::{WorkflowDependencies, WorkflowParameter};
use evenkeel_core::{record::Dependencies, workflow::Parameter};
use serde::Deserialize;
use serde_json::Value;

use super::objects::{dependencies, parameter};

/// Most parameters that a workflow may declare.
const MOST_PARAMETERS: usize = 256;

/// What is read of the content.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) engine_config: Option<Value>,
    pub(super) dependencies: Dependencies,
    /// None when the content says nothing about them.
    pub(super) parameters: Option<Vec<Parameter>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    dependencies: Option<WorkflowDependencies>,
    #[serde(default)]
    execution: Execution,
    parameters: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Execution {
    engine_config: Option<Value>,
}

/// Reads content. What is empty says nothing.
pub(super) fn read(text: &str) -> Result<Content, String> {
    if text.trim().is_empty() {
        return Ok(Content::default());
    }
    let envelope: Envelope = serde_saphyr::from_str(text)
        .map_err(|error| format!("its content cannot be read: {}", first_line(&error)))?;
    let (version, kind) = (envelope.api_version.as_str(), envelope.kind.as_str());
    if (version, kind) != ("kubernaut.ai/v1alpha1", "RemediationWorkflow") {
        return Err(format!(
            "its content is '{kind}' of '{version}' and no RemediationWorkflow of kubernaut.ai/v1alpha1"
        ));
    }
    if envelope.metadata.name.is_empty() {
        return Err("its content has no metadata.name".to_owned());
    }
    let Spec { dependencies: needs, execution, parameters } = envelope.spec;
    if parameters.as_ref().is_some_and(|all| all.len() > MOST_PARAMETERS) {
        return Err(format!("its content declares more than {MOST_PARAMETERS} parameters"));
    }
    let parameters = parameters.map(|all| all.into_iter().map(declared).collect()).transpose()?;
    Ok(Content {
        engine_config: execution.engine_config.filter(|config| !config.is_null()),
        dependencies: needs.map(dependencies).unwrap_or_default(),
        parameters,
    })
}

/// Older registrations leave out what the definition of the object asks for.
fn declared(mut value: Value) -> Result<Parameter, String> {
    if let Value::Object(fields) = &mut value {
        for (key, usual) in
            [("type", "string".into()), ("required", false.into()), ("description", "".into())]
        {
            fields.entry(key).or_insert(usual);
        }
    }
    let declared: WorkflowParameter = serde_json::from_value(value)
        .map_err(|error| format!("its content declares a parameter that cannot be read: {error}"))?;
    parameter(declared)
}

fn first_line(error: &serde_saphyr::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use evenkeel_core::workflow::Kind;
    use serde_json::json;

    use super::*;

    const CONTENT: &str = "
apiVersion: kubernaut.ai/v1alpha1
kind: RemediationWorkflow
metadata: {name: restart}
spec:
  anything: [else]
  dependencies:
    secrets: [{name: db}]
    configMaps: [{name: app}]
  execution:
    engine: ansible
    engineConfig: {playbookPath: restart.yml}
  parameters:
    - {name: A, type: integer, required: true, description: how many, minimum: 1, default: 3}
    - {name: B}
";

    #[test]
    fn what_data_storage_does_not_say_elsewhere_is_in_the_content() {
        let content = read(CONTENT).unwrap();
        assert_eq!(content.engine_config, Some(json!({ "playbookPath": "restart.yml" })));
        assert_eq!(
            (&content.dependencies.secrets[..], &content.dependencies.config_maps[..]),
            (&["db".to_owned()][..], &["app".to_owned()][..])
        );
        let [a, b] = &content.parameters.unwrap()[..] else { panic!() };
        assert_eq!(
            (a.kind, a.required, a.minimum, a.default.as_deref()),
            (Kind::Integer, true, Some(1.0), Some("3"))
        );
        assert_eq!((b.kind, b.required), (Kind::String, false));
    }

    #[test]
    fn empty_content_says_nothing() {
        for empty in ["", "  \n"] {
            assert_eq!(read(empty), Ok(Content::default()));
        }
    }

    #[test]
    fn content_that_is_no_workflow_is_told() {
        let replaced = |old: &str, new: &str| read(&CONTENT.replace(old, new)).unwrap_err();
        assert!(replaced("kind: RemediationWorkflow", "kind: Recipe").contains("Recipe"));
        assert!(replaced("v1alpha1", "v9").contains("v9"));
        assert!(replaced("name: restart", "title: restart").contains("metadata.name"));
        assert!(replaced("type: integer", "type: number").contains("unknown type 'number'"));
        assert!(replaced("secrets: [{name: db}]", "secrets: db").contains("cannot be read"));
        assert!(read("a: [").unwrap_err().contains("cannot be read"));
        let many = "    - {name: C}\n".repeat(MOST_PARAMETERS);
        assert!(read(&format!("{CONTENT}{many}")).unwrap_err().contains("256"));
    }
}
