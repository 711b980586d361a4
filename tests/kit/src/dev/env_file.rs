//! What a client needs to know, as shell assignments.

use std::{fmt::Write as _, path::Path};

use evenkeel_cluster::DEMO_IMAGE;

use super::up::Up;
use crate::{
    identity,
    service::{Service, Variables},
};

/// Variables that this environment decides, whatever the person's own environment says: those of
/// the file, and the places that services listen at and keep their data in.
fn is_ours(name: &str) -> bool {
    const NAMES: [&str; 18] = [
        "EVENKEEL_NAMESPACE",
        "EVENKEEL_EXECUTION_NAMESPACE",
        "EVENKEEL_EXECUTOR",
        "EVENKEEL_AUDIT",
        "EVENKEEL_CONTROLLER_ADMIN",
        "EVENKEEL_EXECUTOR_ADMIN",
        "EVENKEEL_AUDIT_ADMIN",
        "EVENKEEL_CA",
        "EVENKEEL_CERT",
        "EVENKEEL_KEY",
        "EVENKEEL_TOKEN",
        "EVENKEEL_TOKEN_FILE",
        "EVENKEEL_PLAINTEXT",
        "EVENKEEL_DEMO_IMAGE",
        "EVENKEEL_DEMO_BUNDLE",
        "EVENKEEL_JAEGER",
        "EVENKEEL_CLI",
        "EVENKEEL_AUDIT_DATA",
    ];
    NAMES.contains(&name) || name.ends_with("_LISTEN") || name == "OTEL_EXPORTER_OTLP_ENDPOINT"
}

/// Arms places where a service kills or pauses itself: for one start, and not kept.
const FAILPOINTS: &str = "EVENKEEL_FAILPOINTS";

/// Takes over the settings of services in the person's environment, such as `EVENKEEL_COOLDOWN`.
/// They stay until they are set to something else; an empty one is forgotten.
pub(super) fn update(settings: &mut Variables) {
    let ours = |name: &str| name.starts_with("EVENKEEL_") || name.starts_with("OTEL_");
    for (name, value) in std::env::vars().filter(|(name, _)| ours(name) && !is_ours(name)) {
        if value.is_empty() {
            settings.remove(&name);
        } else if name != FAILPOINTS {
            settings.insert(name, value);
        }
    }
}

/// What is set for the next start of a service only.
pub(super) fn failpoints() -> Option<(&'static str, String)> {
    let value = std::env::var(FAILPOINTS).ok().filter(|value| !value.is_empty())?;
    Some((FAILPOINTS, value))
}

/// The assignments, in the order of the documentation.
pub(super) fn variables(up: &Up, token: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let environment = &up.environment;
    let security = environment.security()?;
    let file =
        |path: Option<std::path::PathBuf>| path.map_or_else(String::new, |path| path.display().to_string());
    let admin = |service| environment.service(service).admin().to_owned();
    let mut variables = vec![
        ("KUBECONFIG", environment.kubeconfig().display().to_string()),
        ("EVENKEEL_NAMESPACE", environment.namespace().to_owned()),
        ("EVENKEEL_EXECUTION_NAMESPACE", environment.execution_namespace().to_owned()),
        ("EVENKEEL_EXECUTOR", environment.executor_address()),
        ("EVENKEEL_AUDIT", environment.audit_address()),
        ("EVENKEEL_CONTROLLER_ADMIN", admin(Service::Controller)),
        ("EVENKEEL_EXECUTOR_ADMIN", admin(Service::Executor)),
        ("EVENKEEL_AUDIT_ADMIN", admin(Service::Audit)),
        ("EVENKEEL_CA", file(security.ca)),
        ("EVENKEEL_CERT", file(security.cert)),
        ("EVENKEEL_KEY", file(security.key)),
        ("EVENKEEL_TOKEN", token.to_owned()),
        ("EVENKEEL_DEMO_IMAGE", DEMO_IMAGE.to_owned()),
        ("EVENKEEL_JAEGER", up.jaeger.clone()),
        ("EVENKEEL_CLI", std::env::current_exe()?.with_file_name("evenkeel").display().to_string()),
    ];
    variables.extend(up.bundle.clone().map(|bundle| ("EVENKEEL_DEMO_BUNDLE", bundle)));
    Ok(variables)
}

/// Writes them, readable by their owner alone.
pub(super) fn write(path: &Path, variables: &[(&'static str, String)]) -> anyhow::Result<()> {
    let mut text = String::new();
    for (name, value) in variables {
        writeln!(text, "{name}={}", quoted(value))?;
    }
    // In a line of its own, so that programs which know assignments only can read the rest.
    let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
    writeln!(text, "export {}", names.join(" "))?;
    identity::private(path, &text)
}

/// A value as a shell reads it; most need no quotes, so that simpler readers do too.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_only_when_a_shell_needs_it() {
        assert_eq!(quoted("127.0.0.1:26000"), "127.0.0.1:26000");
        assert_eq!(quoted("/home/a b/it's"), r"'/home/a b/it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn settings_of_services_pass_and_identities_do_not() {
        assert!(!is_ours("EVENKEEL_COOLDOWN") && !is_ours("EVENKEEL_LOG") && !is_ours("OTEL_TRACES_SAMPLER"));
        assert!(is_ours("EVENKEEL_TOKEN") && is_ours("EVENKEEL_AUDIT_LISTEN"));
    }
}
