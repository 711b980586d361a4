//! Which workflow an execution runs, and with what. What the execution's own spec has wins when it
//! names an engine: it is a snapshot of the workflow. Otherwise a catalogue has it. The spec is
//! never written back; what was selected is noted in the status, and must then stay the same.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    plan::Reading,
    record::{Dependencies, Record, Selection, Spec},
};

mod digest;
mod listed;
mod parameters;

pub use listed::{Listed, find};
pub use parameters::{Kind, Parameter};

/// Largest parameters in all, names and values, that an executor takes.
const LARGEST_PARAMETERS: usize = 256 * 1024;

/// Where a catalogue keeps a workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// An object `RemediationWorkflow` of the cluster.
    #[default]
    Object,
    /// The Data Storage service.
    DataStorage,
}

impl Source {
    /// The source as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "RemediationWorkflow",
            Self::DataStorage => "DataStorage",
        }
    }
}

/// A workflow as a catalogue has it. Empty texts are what the catalogue does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workflow {
    /// Where it was found.
    pub source: Source,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Engine that runs it.
    pub engine: String,
    /// What the engine runs.
    pub bundle: String,
    /// Digest that the bundle must have.
    pub digest: String,
    /// ServiceAccount that it runs as.
    pub service_account: String,
    /// What only the engine understands.
    pub engine_config: Option<Value>,
    /// Objects that it needs.
    pub dependencies: Dependencies,
    /// The parameters that it declares; none means that it says nothing about them.
    pub parameters: Option<Vec<Parameter>>,
}

/// What a catalogue answers for good: the workflow, or why there is none to be used.
pub type Entry = Result<Box<Workflow>, Problem>;

/// Everything that is settled about a workflow before it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Engine that runs it.
    pub engine: String,
    /// ServiceAccount that it runs as; none for the namespace's default.
    pub service_account: Option<String>,
    /// What the engine runs.
    pub bundle: String,
    /// Digest that the bundle must have.
    pub digest: Option<String>,
    /// What only the engine understands.
    pub engine_config: Option<Value>,
    /// Objects that it needs.
    pub dependencies: Dependencies,
    /// The parameters that are passed on.
    pub parameters: BTreeMap<String, String>,
    /// What was selected from a catalogue; none when the spec has it all.
    pub selection: Option<Selection>,
}

impl Resolved {
    /// What is known of a run that was launched, when its workflow cannot be looked up any more.
    pub fn of_run(record: &Record, engine: &str) -> Self {
        let known = record.status.engine.clone().or_else(|| given(record.spec.engine.as_deref()));
        Self {
            engine: known.unwrap_or_else(|| engine.to_owned()),
            service_account: record.status.service_account.clone(),
            selection: record.status.workflow.clone(),
            ..Self::default()
        }
    }
}

/// Why it is not settled what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// A catalogue gives no answer now; says why in a word.
    Waiting(String),
    /// It never will be.
    Never(Problem),
}

/// Why a workflow cannot be run as it was asked for. No text holds the value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Neither an engine nor anything to look up.
    #[error(
        "spec.workflowRef names neither a workflow to look up (workflowId) nor an engine to run it (executionEngine)"
    )]
    NoId,
    /// No catalogue has it.
    #[error(
        "workflow '{id}' was not found: {looked}; name a workflow that is there, or set \
         spec.workflowRef.executionEngine to run the bundle as it is"
    )]
    NotFound {
        /// What was looked for.
        id: String,
        /// Where it was looked for.
        looked: String,
    },
    /// Several claim to be it.
    #[error("workflow '{id}' is claimed by several RemediationWorkflows: {names}")]
    Ambiguous {
        /// What was looked for.
        id: String,
        /// Who claims it.
        names: String,
    },
    /// It has another version now.
    #[error("RemediationWorkflow '{name}' is version '{there}', and version '{asked}' was asked for")]
    Version {
        /// Its name.
        name: String,
        /// The version that it has.
        there: String,
        /// The version that was asked for.
        asked: String,
    },
    /// What the catalogue has is no workflow.
    #[error("what the catalogue has as workflow '{workflow}' cannot be used: {why}")]
    Unusable {
        /// Which workflow.
        workflow: String,
        /// Why.
        why: String,
    },
    /// Nothing says which engine runs it.
    #[error("workflow '{0}' names no engine in the catalogue")]
    NoEngine(String),
    /// Nothing says what the engine runs.
    #[error("workflow '{0}' names no bundle, neither in the catalogue nor in the execution")]
    NoBundle(String),
    /// The digest cannot be understood.
    #[error("the digest '{0}' of the bundle is not 'sha256:' and 64 lower-case hex digits")]
    Digest(String),
    /// The digest is not that of the bundle.
    #[error("the bundle has the digest {actual}, and {expected} was asked for")]
    DigestMismatch {
        /// The digest of what would run.
        actual: String,
        /// The digest that was asked for.
        expected: String,
    },
    /// The parameters do not fit.
    #[error("the parameters do not fit workflow '{workflow}': {why}")]
    Parameters {
        /// Which workflow.
        workflow: String,
        /// All that is wrong.
        why: String,
    },
    /// It is not what was selected before.
    #[error(
        "workflow '{0}' changed in the catalogue after it was selected for this execution; create another one"
    )]
    Changed(String),
}

/// Whether a catalogue has to be asked.
pub fn is_looked_up(spec: &Spec) -> bool {
    given(spec.engine.as_deref()).is_none()
}

/// Settles what runs, and with what.
pub fn resolve(record: &Record, catalogue: &Reading<Entry>) -> Result<Resolved, Unresolved> {
    let spec = &record.spec;
    if let Some(engine) = given(spec.engine.as_deref()) {
        return of_snapshot(spec, engine).map_err(Unresolved::Never);
    }
    match catalogue {
        _ if spec.workflow_id.is_empty() => Err(Unresolved::Never(Problem::NoId)),
        Reading::Unread => Err(Unresolved::Waiting("it was not asked".to_owned())),
        Reading::Unavailable(why) => Err(Unresolved::Waiting(why.clone())),
        Reading::Absent => {
            let looked = "no catalogue has it".to_owned();
            Err(Unresolved::Never(Problem::NotFound { id: spec.workflow_id.clone(), looked }))
        }
        Reading::Found(Err(problem)) => Err(Unresolved::Never(problem.clone())),
        Reading::Found(Ok(workflow)) => of_catalogue(record, workflow).map_err(Unresolved::Never),
    }
}

fn of_snapshot(spec: &Spec, engine: String) -> Result<Resolved, Problem> {
    Ok(Resolved {
        digest: digest::agreed(&engine, &spec.bundle, [spec.digest.as_deref()])?,
        service_account: given(spec.service_account.as_deref()),
        bundle: spec.bundle.clone(),
        engine_config: spec.engine_config.clone(),
        dependencies: spec.dependencies.clone().unwrap_or_default(),
        parameters: spec.effective_parameters(),
        engine,
        selection: None,
    })
}

/// The catalogue's word counts for what runs and as whom; the execution's for the engine's settings.
fn of_catalogue(record: &Record, workflow: &Workflow) -> Result<Resolved, Problem> {
    let spec = &record.spec;
    let title = title(&workflow.name, &spec.workflow_id);
    let engine = given(Some(&workflow.engine)).ok_or_else(|| Problem::NoEngine(title.clone()))?;
    let bundle = given(Some(&workflow.bundle))
        .or_else(|| given(Some(&spec.bundle)))
        .ok_or_else(|| Problem::NoBundle(title.clone()))?;
    let digest = digest::agreed(&engine, &bundle, [Some(workflow.digest.as_str()), spec.digest.as_deref()])?;
    let passed = passed(spec, workflow, &title)?;
    let dependencies = match &spec.dependencies {
        Some(asked) if workflow.dependencies == Dependencies::default() => asked.clone(),
        _ => workflow.dependencies.clone(),
    };
    let selection = Selection {
        source: workflow.source.as_str().to_owned(),
        name: workflow.name.clone(),
        version: workflow.version.clone(),
        bundle: bundle.clone(),
        digest: digest.clone(),
        parameters: passed.names,
        defaults: passed.defaults,
    };
    let service_account =
        given(Some(&workflow.service_account)).or_else(|| given(spec.service_account.as_deref()));
    let status = &record.status;
    if let Some(selected) = &status.workflow
        && (selected != &selection
            || status.engine.as_ref() != Some(&engine)
            || status.service_account != service_account)
    {
        return Err(Problem::Changed(title));
    }
    Ok(Resolved {
        engine,
        service_account,
        bundle,
        digest,
        engine_config: spec.engine_config.clone().or_else(|| workflow.engine_config.clone()),
        dependencies,
        parameters: selection.effective_parameters(spec),
        selection: Some(selection),
    })
}

fn passed(spec: &Spec, workflow: &Workflow, title: &str) -> Result<parameters::Passed, Problem> {
    let wrong = |why| Problem::Parameters { workflow: title.to_owned(), why };
    let Some(declared) = &workflow.parameters else {
        return Ok(parameters::Passed::default());
    };
    let passed = parameters::pass(declared, &spec.parameters).map_err(wrong)?;
    let defaults: usize = passed.defaults.iter().map(|(name, value)| name.len() + value.len()).sum();
    if defaults > LARGEST_PARAMETERS {
        return Err(wrong(format!(
            "its defaults alone are {defaults} bytes, of at most {LARGEST_PARAMETERS}"
        )));
    }
    Ok(passed)
}

/// How a workflow is called in messages: by name and id, as far as there is a name.
pub fn title(name: &str, id: &str) -> String {
    if name.is_empty() || name == id { id.to_owned() } else { format!("{name} - {id}") }
}

fn given(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
