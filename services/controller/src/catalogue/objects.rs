//! The `RemediationWorkflow`s of one namespace, kept up to date by a watch. Those of other
//! namespaces are nobody's business here.

use std::{collections::HashMap, sync::Arc};

use evenkeel_api::{
    RemediationWorkflow, RemediationWorkflowSpec,
    workflow::{ObjectName, WorkflowDependencies, WorkflowParameter},
};
use evenkeel_core::{
    record::Dependencies,
    workflow::{Entry, Kind, Listed, Parameter, Source, Workflow, find},
};
use evenkeel_kit::readiness::Readiness;
use futures::StreamExt as _;
use kube::{
    Api, Client, Resource as _,
    api::ListParams,
    core::DeserializeGuard,
    runtime::{WatchStreamExt as _, watcher},
};
use parking_lot::Mutex;

use super::{Converted, WORKFLOWS};

/// One bad object must not hide the others.
pub(super) type Object = DeserializeGuard<RemediationWorkflow>;

/// The workflows of one namespace; cheap to clone.
#[derive(Clone)]
pub(super) struct Workflows {
    api: Api<Object>,
    namespace: String,
    state: Arc<Mutex<State>>,
}

/// What the watch has shown.
struct State {
    known: HashMap<String, Listed>,
    /// What is shown since the watch last began anew; none while it goes on.
    relisted: Option<HashMap<String, Listed>>,
    /// Why nothing is known; none once everything was listed.
    unknown: Option<String>,
}

impl Workflows {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        let unknown = Some("the RemediationWorkflows are not listed yet".to_owned());
        let state = State { known: HashMap::new(), relisted: None, unknown };
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Follows them for ever.
    pub(super) async fn follow(&self, readiness: &Readiness) {
        let mut events = watcher(self.api.clone(), watcher::Config::default()).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.apply(event),
                Err(error) => {
                    tracing::warn!("could not watch RemediationWorkflows, trying on: {error}");
                    self.state.lock().failed(cause(&error));
                }
            }
            if self.state.lock().unknown.is_none() {
                readiness.set(WORKFLOWS, true);
            }
        }
    }

    /// Takes in what the watch shows.
    pub(super) fn apply(&self, event: watcher::Event<Object>) {
        self.state.lock().apply(event);
    }

    /// Looks through what is known; an error when nothing is.
    pub(super) fn known(&self, id: &str, version: &str) -> Result<Option<Entry>, String> {
        let state = self.state.lock();
        match &state.unknown {
            Some(why) => Err(why.clone()),
            None => Ok(find(state.known.values(), id, version)),
        }
    }

    /// Looks through what the API server itself has now.
    pub(super) async fn read(&self, id: &str, version: &str) -> Result<Option<Entry>, String> {
        match self.api.list(&ListParams::default()).await {
            Ok(list) => {
                let listed: Vec<_> = list.items.into_iter().filter_map(listed).collect();
                Ok(find(listed.iter(), id, version))
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(unlisted(Some(&error))),
        }
    }
}

impl State {
    fn apply(&mut self, event: watcher::Event<Object>) {
        match event {
            watcher::Event::Init => self.relisted = Some(HashMap::new()),
            watcher::Event::InitApply(object) => {
                if let (Some(all), Some(one)) = (&mut self.relisted, listed(object)) {
                    all.insert(one.name.clone(), one);
                }
            }
            watcher::Event::InitDone => {
                self.known = self.relisted.take().unwrap_or_default();
                self.unknown = None;
            }
            watcher::Event::Apply(object) => {
                let name = name(&object);
                match listed(object) {
                    Some(one) => _ = self.known.insert(name, one),
                    None => _ = self.known.remove(&name),
                }
            }
            watcher::Event::Delete(object) => _ = self.known.remove(&name(&object)),
        }
    }

    /// What was known stays good while the watch is broken.
    fn failed(&mut self, error: Option<&kube::Error>) {
        if self.unknown.is_none() {
            return;
        }
        self.unknown = match error {
            // Without the definition there are no such objects.
            Some(kube::Error::Api(status)) if status.code == 404 => None,
            error => Some(unlisted(error)),
        };
    }
}

fn cause(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Some(error),
        _ => None,
    }
}

/// In words that stay the same while the cause does.
fn unlisted(error: Option<&kube::Error>) -> String {
    match error {
        Some(kube::Error::Api(status)) => {
            format!("the API server does not list RemediationWorkflows: {}", status.reason)
        }
        _ => "the API server cannot be reached".to_owned(),
    }
}

fn name(object: &Object) -> String {
    object.meta().name.clone().unwrap_or_default()
}

/// What is kept of an object; nothing when it is being deleted.
fn listed(object: Object) -> Option<Listed> {
    if object.meta().deletion_timestamp.is_some() {
        return None;
    }
    let name = name(&object);
    Some(match object.0 {
        Ok(object) => {
            let id = object.status.and_then(|status| status.workflow_id).unwrap_or_default();
            Listed { workflow: workflow(&name, object.spec), name, id }
        }
        Err(invalid) => Listed { workflow: Err(invalid.error), name, id: String::new() },
    })
}

fn workflow(name: &str, spec: RemediationWorkflowSpec) -> Converted {
    let execution = spec.execution;
    let parameters: Result<Vec<_>, String> = spec.parameters.into_iter().map(parameter).collect();
    Ok(Box::new(Workflow {
        source: Source::Object,
        name: name.to_owned(),
        version: spec.version,
        engine: execution.engine,
        bundle: execution.bundle,
        digest: execution.bundle_digest.unwrap_or_default(),
        service_account: execution.service_account_name.unwrap_or_default(),
        engine_config: execution.engine_config,
        dependencies: spec.dependencies.map(dependencies).unwrap_or_default(),
        parameters: Some(parameters?),
    }))
}

pub(super) fn dependencies(dependencies: WorkflowDependencies) -> Dependencies {
    let names = |all: Vec<ObjectName>| all.into_iter().map(|one| one.name).collect();
    Dependencies { secrets: names(dependencies.secrets), config_maps: names(dependencies.config_maps) }
}

pub(super) fn parameter(declared: WorkflowParameter) -> Result<Parameter, String> {
    let unknown = || format!("parameter {} has the unknown type '{}'", declared.name, declared.kind);
    let kind = Kind::parse(&declared.kind).ok_or_else(unknown)?;
    Ok(Parameter {
        kind,
        name: declared.name,
        required: declared.required,
        allowed: declared.allowed,
        pattern: declared.pattern,
        minimum: declared.minimum,
        maximum: declared.maximum,
        default: declared.default.as_ref().and_then(Parameter::default_text),
        needs: declared.depends_on,
    })
}
