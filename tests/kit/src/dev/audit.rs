//! The record of an execution, verified by the command that auditors use.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::up::Up;
use crate::{evidence::AuditEvent, service};

const LIMIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until the record of an execution has an event of this type.
pub(super) async fn until(up: &Up, execution: &str, wanted: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let events = up.environment.audit_events(execution).await?;
        if events.iter().any(|event| event.kind() == wanted) {
            return Ok(());
        }
        let types: Vec<&str> = events.iter().map(AuditEvent::kind).collect();
        ensure!(begun.elapsed() < LIMIT, "after {LIMIT:?} the log has only {types:?}");
        // The log tells nobody of new entries.
        tokio::time::sleep(PAUSE).await;
    }
}

/// Runs `evenkeel audit verify` as a person would. What it printed, if everything is proved.
pub(super) async fn verify(
    up: &Up,
    variables: &[(&'static str, String)],
    execution: &str,
) -> anyhow::Result<String> {
    let program = service::program("evenkeel")?;
    let pin = up.environment.directory().join("audit.pin");
    let variables: Vec<(&str, String)> = variables.to_vec();
    let execution = execution.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(&program);
        command.env_clear().envs(variables).args(["audit", "verify", "--pin"]).arg(pin).arg(execution);
        command.output().with_context(|| format!("run {}", program.display()))
    })
    .await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}
