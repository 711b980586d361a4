//! The record of an execution, verified by the command that auditors use.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, bail, ensure};
use evenkeel_proto::audit::v1::ListEventsRequest;

use super::up::Up;
use crate::service;

const LIMIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until the record of an execution has an event of this type. All types it has then.
pub(super) async fn until(up: &Up, execution: &str, wanted: &str) -> anyhow::Result<Vec<String>> {
    let environment = &up.environment;
    let mut client = environment.audit()?;
    let begun = std::time::Instant::now();
    loop {
        let request = ListEventsRequest {
            resource_id: execution.to_owned(),
            namespace: environment.namespace().to_owned(),
            ..ListEventsRequest::default()
        };
        let entries = client.list_events(request).await?.into_inner().entries;
        let types: Vec<String> = entries.iter().filter_map(|entry| event_type(&entry.body)).collect();
        if types.iter().any(|it| it == wanted) {
            return Ok(types);
        }
        ensure!(
            begun.elapsed() < LIMIT,
            "the log has no {wanted} of {execution} after {LIMIT:?}, only {types:?}"
        );
        // The log tells nobody of new entries.
        tokio::time::sleep(PAUSE).await;
    }
}

fn event_type(body: &[u8]) -> Option<String> {
    let event: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(event["event_type"].as_str()?.to_owned())
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
