//! Requests into values that cannot be wrong any more.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_core::target::{self, Target};
use evenkeel_proto::execution::v1 as proto;

use crate::{
    attempt::{Attempt, Owner},
    error::{Error, Result},
};

const LONGEST_UID: usize = 128;
const LONGEST_BUNDLE: usize = 1024;
const LARGEST_PARAMETERS: usize = 256 * 1024;
const LONGEST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);
const LONGEST_REASON: usize = 1024;
/// Set by the executor; a parameter of this name has no effect.
pub(crate) const TARGET_VARIABLE: &str = "TARGET_RESOURCE";

fn invalid(reason: &'static str, field: &str, message: impl Into<String>) -> Error {
    Error::Invalid { reason, field: field.to_owned(), message: message.into() }
}

/// Whom a request is for.
pub(crate) fn owner(owner: Option<proto::Owner>) -> Result<Owner> {
    let proto::Owner { namespace, name, uid } =
        owner.ok_or_else(|| invalid("INVALID_OWNER", "owner", "is required"))?;
    if !target::is_dns_label(&namespace) {
        return Err(invalid("INVALID_OWNER", "owner.namespace", "must be a DNS label of 1 to 63 characters"));
    }
    if !target::is_dns_subdomain(&name) {
        return Err(invalid("INVALID_OWNER", "owner.name", "must be a DNS name of 1 to 253 characters"));
    }
    let is_plain = uid.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if uid.is_empty() || uid.len() > LONGEST_UID || !is_plain {
        let message = "must be 1 to 128 characters of A-Z, a-z, 0-9, '-', '_' and '.', never used before";
        return Err(invalid("INVALID_OWNER", "owner.uid", message));
    }
    Ok(Owner { namespace, name, uid })
}

/// What a request is about.
pub(crate) fn target(raw: &str) -> Result<Target> {
    Target::parse(raw).map_err(|error| invalid("INVALID_TARGET", "target", error.to_string()))
}

/// Why a run is cancelled.
pub(crate) fn reason(text: String) -> Result<String> {
    if text.len() > LONGEST_REASON {
        return Err(invalid("INVALID_REASON", "reason", format!("is longer than {LONGEST_REASON} bytes")));
    }
    Ok(text)
}

/// All that is to be run.
pub(crate) fn attempt(spec: Option<proto::ExecutionSpec>, default_timeout: Duration) -> Result<Attempt> {
    let spec = spec.ok_or_else(|| invalid("MISSING_SPEC", "spec", "is required"))?;
    engine_config(&spec.engine, spec.engine_config.as_ref())?;
    let pipeline = pipeline(spec.engine_config)?;
    let proto::Dependencies { secrets, config_maps } = spec.dependencies.unwrap_or_default();
    Ok(Attempt {
        owner: owner(spec.owner)?,
        target: target(&spec.target)?,
        engine: spec.engine,
        workflow_id: spec.workflow_id,
        bundle: bundle(&spec.bundle, &spec.bundle_digest)?,
        pipeline,
        parameters: parameters(spec.parameters)?,
        service_account: service_account(spec.service_account_name)?,
        secrets: object_names(secrets, "dependencies.secrets")?,
        config_maps: object_names(config_maps, "dependencies.config_maps")?,
        timeout: timeout(spec.timeout, default_timeout)?,
    })
}

/// What is meant for one engine must not be given to another, which would leave it out silently.
fn engine_config(engine: &str, config: Option<&proto::execution_spec::EngineConfig>) -> Result<()> {
    use proto::execution_spec::EngineConfig;
    let meant_for = match config {
        None => return Ok(()),
        Some(EngineConfig::Job(_)) => "job",
        Some(EngineConfig::Tekton(_)) => "tekton",
        Some(EngineConfig::Ansible(_)) => "ansible",
        Some(EngineConfig::Other(_)) => "other",
    };
    if meant_for == engine {
        return Ok(());
    }
    let message =
        format!("'{meant_for}' was given for the engine '{engine}'; leave it out or name its engine");
    Err(invalid("INVALID_ENGINE_CONFIG", "engine_config", message))
}

/// The pipeline that is named, if one is.
fn pipeline(config: Option<proto::execution_spec::EngineConfig>) -> Result<Option<String>> {
    let Some(proto::execution_spec::EngineConfig::Tekton(proto::TektonConfig { pipeline })) = config else {
        return Ok(None);
    };
    if !pipeline.is_empty() && !target::is_dns_subdomain(&pipeline) {
        return Err(invalid("INVALID_ENGINE_CONFIG", "tekton.pipeline", "must be the name of a pipeline"));
    }
    Ok(Some(pipeline).filter(|name| !name.is_empty()))
}

/// The bundle, pinned by its digest when one is given.
fn bundle(bundle: &str, digest: &str) -> Result<String> {
    if bundle.is_empty() {
        return Err(invalid("EMPTY_BUNDLE", "bundle", "is required: name the image or bundle to run"));
    }
    let is_plain = bundle.chars().all(|c| c.is_ascii_graphic());
    if bundle.len() > LONGEST_BUNDLE || !is_plain {
        return Err(invalid("INVALID_BUNDLE", "bundle", "must be an image or bundle reference"));
    }
    if digest.is_empty() {
        return Ok(bundle.to_owned());
    }
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
        return Err(invalid(
            "INVALID_DIGEST",
            "bundle_digest",
            "must be 'sha256:' and 64 lower-case hex digits",
        ));
    }
    match bundle.split_once('@') {
        None => Ok(format!("{bundle}@{digest}")),
        Some((_, pinned)) if pinned == digest => Ok(bundle.to_owned()),
        Some((_, pinned)) => {
            let message = format!("is {digest}, but bundle is pinned to {pinned}");
            Err(invalid("DIGEST_MISMATCH", "bundle_digest", message))
        }
    }
}

fn parameters(given: impl IntoIterator<Item = (String, String)>) -> Result<BTreeMap<String, String>> {
    let parameters: BTreeMap<String, String> = given.into_iter().collect();
    if let Some(name) = parameters.keys().find(|name| !target::is_env_name(name)) {
        let field = format!("parameters[{name:?}]");
        let message = "the name must be a valid environment name: [A-Za-z_][A-Za-z0-9_]*";
        return Err(invalid("INVALID_PARAMETER_NAME", &field, message));
    }
    if let Some((name, _)) = parameters.iter().find(|(_, value)| value.contains('\0')) {
        let field = format!("parameters[{name:?}]");
        return Err(invalid("INVALID_PARAMETER_VALUE", &field, "must not hold a NUL character"));
    }
    let size: usize = parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > LARGEST_PARAMETERS {
        let message = format!("are {size} bytes in all, of at most {LARGEST_PARAMETERS}");
        return Err(invalid("PARAMETERS_TOO_LARGE", "parameters", message));
    }
    Ok(parameters)
}

fn service_account(name: String) -> Result<String> {
    if !name.is_empty() && !target::is_dns_subdomain(&name) {
        return Err(invalid("INVALID_SERVICE_ACCOUNT", "service_account_name", "must be a DNS name"));
    }
    Ok(name)
}

/// Names of objects, each once, in the order given.
fn object_names(names: Vec<String>, field: &str) -> Result<Vec<String>> {
    let mut distinct = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        if !target::is_dns_subdomain(&name) {
            let field = format!("{field}[{index}]");
            return Err(invalid("INVALID_DEPENDENCY", &field, "must be the name of an object"));
        }
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    Ok(distinct)
}

fn timeout(given: Option<prost_types::Duration>, default: Duration) -> Result<Duration> {
    let Some(given) = given else { return Ok(default) };
    let timeout = Duration::try_from(given).unwrap_or_default();
    if timeout < Duration::from_secs(1) || timeout > LONGEST_TIMEOUT {
        return Err(invalid("INVALID_TIMEOUT", "timeout", "must be from one second to seven days"));
    }
    Ok(timeout)
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;
