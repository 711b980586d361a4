//! `evenkeel run`: creates an execution, and follows it if asked to.

use std::{collections::BTreeMap, io::Read as _, path::Path, time::Duration};

use clap::Args;
use evenkeel_api::{
    Dependencies, ExecutionConfig, NameRef, WorkflowExecution, WorkflowExecutionSpec, WorkflowRef,
};
use evenkeel_kit::{
    config::{parse_duration, parse_duration_above_zero},
    trace::{Carrier, TRACEPARENT_ANNOTATION, TRACESTATE_ANNOTATION},
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource as _, ResourceExt as _,
    api::{DynamicObject, PostParams},
    core::Request,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    cluster::{Cluster, ClusterArgs},
    error::{Error, Result},
    execution::{self, Execution},
    output,
    output::Format,
    watch,
};

const FIELD_MANAGER: &str = "evenkeel-cli";
/// Longest part of a workflow's name that goes into the name of an execution.
const NAME_PART: usize = 40;

/// What to run, on what, and whether to wait.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["file", "workflow"]))]
pub struct RunArgs {
    /// A file with one WorkflowExecution, YAML or JSON; `-` reads standard input.
    #[arg(short, long, conflicts_with_all = [
        "target", "bundle", "name", "parameters", "version", "digest", "engine", "engine_config",
        "service_account", "secrets", "config_maps", "timeout", "request",
    ])]
    pub file: Option<std::path::PathBuf>,
    /// Identifier of the workflow.
    #[arg(long, value_name = "ID", requires_all = ["target", "bundle"])]
    pub workflow: Option<String>,
    /// Version of the workflow, for records.
    #[arg(long, default_value = "unversioned", value_name = "VERSION")]
    pub version: String,
    /// What the engine runs: an image (job) or a bundle (tekton).
    #[arg(long, visible_alias = "image", value_name = "REFERENCE")]
    pub bundle: Option<String>,
    /// Digest that the bundle must have.
    #[arg(long, value_name = "sha256:HEX")]
    pub digest: Option<String>,
    /// Engine that runs it: job, tekton or ansible.
    #[arg(long, default_value = "job")]
    pub engine: String,
    /// What only the engine understands, as a JSON object.
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    pub engine_config: Option<Value>,
    /// What the workflow acts on: namespace/Kind/name, or Kind/name.
    #[arg(long, value_name = "NS/KIND/NAME", value_parser = target)]
    pub target: Option<String>,
    /// A parameter of the workflow; repeat for more. Secrets do not belong here.
    #[arg(long = "param", short, value_name = "KEY=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// ServiceAccount that the workflow runs as.
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// A Secret of the execution namespace to mount; repeat for more.
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
    /// A ConfigMap of the execution namespace to mount; repeat for more.
    #[arg(long = "config-map", value_name = "NAME")]
    pub config_maps: Vec<String>,
    /// How long the run may take.
    #[arg(long, value_name = "DURATION", value_parser = go_duration, allow_hyphen_values = true)]
    pub timeout: Option<String>,
    /// RemediationRequest that this serves; its name ties the audit events of an incident together.
    #[arg(long, value_name = "NAME")]
    pub request: Option<String>,
    /// Name of the execution; made from the workflow when absent.
    #[arg(long)]
    pub name: Option<String>,
    /// Follow it until it ends; exit code 3 when it fails.
    #[arg(short, long)]
    pub wait: bool,
    /// Stop waiting after this long (exit code 6); the execution goes on.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION", requires = "wait")]
    pub wait_timeout: Option<Duration>,
    /// Have the cluster check it, and print it, without creating it.
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// How to print the execution; json and yaml print nothing else.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: RunArgs) -> Result<()> {
    let object = manifest(&args, &cluster.namespace)?;
    let mut cluster = Cluster::open(cluster).await?;
    // A file may name another namespace than the command line's default.
    cluster.namespace = object.namespace().unwrap_or(cluster.namespace);
    let created: Execution = create(&cluster, &object, args.dry_run).await?.into();
    let name = created.name();
    if args.dry_run {
        let format = if args.output == Format::Json { Format::Json } else { Format::Yaml };
        return output::print_value(format, &created.stored());
    }
    let silent = args.output != Format::Table;
    if !silent {
        output::print(&format!("execution {name} created in {}\n", cluster.namespace))?;
    }
    if !args.wait {
        return if silent {
            output::print_value(args.output, &created.stored())
        } else {
            output::note(&format!("follow it with: evenkeel -n {} watch {name}", cluster.namespace));
            Ok(())
        };
    }
    let ended = watch::until_end(&cluster, &name, args.wait_timeout, silent).await?;
    if silent {
        output::print_value(args.output, &ended.stored())?;
    }
    watch::outcome(&ended)
}

/// Creates it. A field that the cluster does not know is an error, not a field that gets lost.
async fn create(cluster: &Cluster, object: &DynamicObject, dry_run: bool) -> Result<DynamicObject> {
    let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
    let body = serde_json::to_vec(object).map_err(|error| Error::Usage(error.to_string()))?;
    let path = WorkflowExecution::url_path(&(), Some(&cluster.namespace));
    let mut request =
        Request::new(path).create(&params, body).map_err(|error| Error::Usage(error.to_string()))?;
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = strict
        .parse()
        .map_err(|_| Error::Usage(format!("'{}' cannot be the name of a namespace", cluster.namespace)))?;
    cluster.client.request(request).await.map_err(|error| cluster.explain(error))
}

/// The object to create, from the file or from the flags.
fn manifest(args: &RunArgs, namespace: &str) -> Result<DynamicObject> {
    let mut object = match &args.file {
        Some(path) => read(path)?,
        None => from_flags(args)?,
    };
    if object.metadata.namespace.is_none() {
        object.metadata.namespace = Some(namespace.to_owned());
    }
    continue_trace(&mut object, |name| std::env::var(name).ok());
    Ok(object)
}

fn read(path: &Path) -> Result<DynamicObject> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| Error::file(path, error))?;
    let object: DynamicObject = serde_saphyr::from_str(&text)
        .map_err(|error| Error::file(path, format!("not one Kubernetes object: {error}")))?;
    let (api_version, kind) = object
        .types
        .as_ref()
        .map(|types| (types.api_version.as_str(), types.kind.as_str()))
        .unwrap_or_default();
    let ours = execution::resource();
    if (api_version, kind) != (&ours.api_version, &ours.kind) {
        let found = format!("{api_version} {kind}");
        return Err(Error::file(path, format!("this is {found}, not {} {}", ours.api_version, ours.kind)));
    }
    if object.metadata.name.is_none() && object.metadata.generate_name.is_none() {
        return Err(Error::file(path, "metadata.name is missing"));
    }
    Ok(object)
}

fn from_flags(args: &RunArgs) -> Result<DynamicObject> {
    let args = args.clone();
    let workflow = args.workflow.unwrap_or_default();
    let references = |names: Vec<String>| names.into_iter().map(|name| NameRef { name }).collect();
    let dependencies =
        Dependencies { secrets: references(args.secrets), config_maps: references(args.config_maps) };
    let spec = WorkflowExecutionSpec {
        remediation_request_ref: ObjectReference { name: args.request, ..ObjectReference::default() },
        workflow_ref: WorkflowRef {
            workflow_id: workflow.clone(),
            version: args.version,
            execution_bundle: args.bundle.unwrap_or_default(),
            execution_bundle_digest: args.digest,
            engine_config: args.engine_config,
            execution_engine: Some(args.engine),
            service_account_name: args.service_account,
            dependencies: (dependencies != Dependencies::default()).then_some(dependencies),
            ..WorkflowRef::default()
        },
        target_resource: args.target.unwrap_or_default(),
        parameters: parameters(args.parameters)?,
        execution_config: args.timeout.map(|timeout| ExecutionConfig { timeout: Some(timeout) }),
        ..WorkflowExecutionSpec::default()
    };
    let name = args.name.unwrap_or_else(|| name_for(&workflow));
    let value = serde_json::to_value(WorkflowExecution::new(&name, spec));
    value.and_then(serde_json::from_value).map_err(|error| Error::Usage(error.to_string()))
}

fn parameters(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for (key, value) in pairs {
        if parameters.insert(key.clone(), value).is_some() {
            return Err(Error::Usage(format!("--param {key} is given twice")));
        }
    }
    Ok(parameters)
}

/// A name that says the workflow and is used once. Made here and not by the API server, so that a
/// repeated request cannot create two.
fn name_for(workflow: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let part: String = workflow.chars().map(plain).take(NAME_PART).collect();
    let part = part.trim_matches('-');
    let unique = Uuid::new_v4().simple().to_string();
    let unique = unique.get(..8).unwrap_or(&unique);
    if part.is_empty() { format!("execution-{unique}") } else { format!("{part}-{unique}") }
}

/// Continues the caller's trace (`TRACEPARENT`, `TRACESTATE`) unless the object has one.
fn continue_trace(object: &mut DynamicObject, variable: impl Fn(&str) -> Option<String>) {
    let Some(traceparent) = variable("TRACEPARENT") else { return };
    let tracestate = variable("TRACESTATE").unwrap_or_default();
    let carrier = Carrier { traceparent, tracestate };
    let annotations = object.annotations_mut();
    if carrier.trace_id().is_empty() || annotations.contains_key(TRACEPARENT_ANNOTATION) {
        return;
    }
    annotations.insert(TRACEPARENT_ANNOTATION.to_owned(), carrier.traceparent);
    if !carrier.tracestate.is_empty() {
        annotations.insert(TRACESTATE_ANNOTATION.to_owned(), carrier.tracestate);
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let first = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("'{key}' is no environment name: letters, digits and _ only, no digit first"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn target(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    if !(2..=3).contains(&parts.len()) || parts.contains(&"") {
        return Err("write it as namespace/Kind/name, or Kind/name for what has no namespace".to_owned());
    }
    Ok(text.to_owned())
}

fn json_object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("it must be a JSON object, such as '{\"jobTemplateName\": \"x\"}'".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn go_duration(text: &str) -> Result<String, String> {
    parse_duration_above_zero(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
