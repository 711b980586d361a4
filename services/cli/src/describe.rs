//! `evenkeel describe`: all that is known of one execution.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, ResourceExt as _, api::ListParams};

use crate::{
    cluster::{Cluster, ClusterArgs},
    error::Result,
    execution::{self, Execution},
    output::{self, Cell, Screen, Table, Tone},
};

/// Which execution.
#[derive(Args, Debug)]
pub struct DescribeArgs {
    /// Name of the execution.
    pub name: String,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: DescribeArgs) -> Result<()> {
    let cluster = Cluster::open(cluster).await?;
    let one = execution::get(&cluster, &args.name).await?;
    let (screen, now) = (Screen::detect(), Timestamp::now());
    let mut text = sheet(&one, screen, now);
    // The object is worth showing even when its events may not be read.
    match events(&cluster, &one).await {
        Ok(events) if events.is_empty() => text.push_str("\nEvents: none recently\n"),
        Ok(events) => {
            text.push_str("\nEvents:\n");
            text.push_str(&indent(&event_table(&events, now).render(uncut(screen))));
        }
        Err(error) => output::note(&format!("no events: {error}")),
    }
    output::print(&text)
}

async fn events(cluster: &Cluster, one: &Execution) -> Result<Vec<Event>> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let uid = one.typed.uid().unwrap_or_default();
    let list = api.list(&ListParams::default().fields(&format!("involvedObject.uid={uid}"))).await;
    let mut events = list.map_err(|error| cluster.explain(error))?.items;
    events.sort_by_key(seen);
    Ok(events)
}

/// When an event was seen last, whichever of the two event APIs wrote it.
fn seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = series.or(event.event_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    micro.max(last).or_else(|| event.creation_timestamp().map(|time| time.0))
}

fn event_table(events: &[Event], now: Timestamp) -> Table {
    let mut table = Table::new(&["AGE", "TYPE", "REASON", "COUNT", "MESSAGE"]);
    for event in events {
        let kind = event.type_.clone().unwrap_or_default();
        let tone = if kind == "Warning" { Tone::Busy } else { Tone::Plain };
        let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
        table.row(vec![
            seen(event).map(|seen| output::since(seen, now)).unwrap_or_default().into(),
            Cell::toned(kind, tone),
            event.reason.clone().unwrap_or_default().into(),
            count.max(1).to_string().into(),
            event.message.clone().unwrap_or_default().into(),
        ]);
    }
    table
}

/// Everything but the events.
fn sheet(one: &Execution, screen: Screen, now: Timestamp) -> String {
    let mut text = fields(&head(one, screen, now), 0);
    if let Some(gate) = one.waiting() {
        let since = output::since(gate.last_transition_time.0, now);
        let _ = writeln!(text, "\nWaiting for {since}: {}\n  {}", gate.reason, gate.message);
    }
    let parameters = &one.typed.spec.parameters;
    if !parameters.is_empty() {
        text.push_str("\nParameters:\n");
        let pairs: Vec<(&str, String)> = parameters.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        text.push_str(&fields(&pairs, 2));
    }
    if let Some(failure) = failure(one) {
        text.push_str("\nFailure:\n");
        text.push_str(&fields(&failure, 2));
    }
    let conditions = one.status().map(|status| status.conditions.as_slice()).unwrap_or_default();
    if !conditions.is_empty() {
        let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
        for condition in conditions {
            table.row(vec![
                condition.type_.as_str().into(),
                condition.status.as_str().into(),
                condition.reason.as_str().into(),
                output::since(condition.last_transition_time.0, now).into(),
                condition.message.as_str().into(),
            ]);
        }
        text.push_str("\nConditions:\n");
        text.push_str(&indent(&table.render(uncut(screen))));
    }
    text
}

fn head(one: &Execution, screen: Screen, now: Timestamp) -> Vec<(&'static str, String)> {
    let (spec, workflow) = (&one.typed.spec, &one.typed.spec.workflow_ref);
    let mut head = vec![
        ("Name", one.name()),
        ("Namespace", one.namespace()),
        ("Uid", one.typed.uid().unwrap_or_default()),
        ("Phase", screen.paint(Tone::of_phase(one.phase()), one.phase())),
        ("Target", spec.target_resource.clone()),
        ("Workflow", format!("{} {}", workflow.workflow_id, workflow.version)),
        ("Bundle", workflow.execution_bundle.clone()),
        ("Engine", one.engine().unwrap_or_default().to_owned()),
        ("Request", spec.remediation_request_ref.name.clone().unwrap_or_default()),
    ];
    if let Some(problem) = &one.unreadable {
        head.push(("Unreadable", problem.clone()));
    }
    head.extend(times(one, now));
    if let Some(status) = one.status() {
        head.push(("Run", status.execution_ref.clone().unwrap_or_default().name));
        head.push(("Account", status.service_account_name.clone().unwrap_or_default()));
        if let Some(run) = &status.execution_status {
            let said = [run.reason.clone(), run.message.clone()];
            head.push(("Backend", said.into_iter().flatten().collect::<Vec<_>>().join(": ")));
        }
        if let Some(cleared) = &status.block_clearance {
            head.push(("Cleared", format!("by {}: {}", cleared.cleared_by, cleared.clear_reason)));
        }
    }
    head.push(("Trace", one.trace_id().unwrap_or_default()));
    head
}

fn times(one: &Execution, now: Timestamp) -> Vec<(&'static str, String)> {
    let ago = |time: Timestamp| format!("{time:.0} ({} ago)", output::since(time, now));
    let mut times = vec![("Created", one.created().map(ago).unwrap_or_default())];
    if let Some(status) = one.status() {
        times.push(("Started", status.start_time.as_ref().map(|time| ago(time.0)).unwrap_or_default()));
        times
            .push(("Completed", status.completion_time.as_ref().map(|time| ago(time.0)).unwrap_or_default()));
        times.push(("Duration", one.duration(now).unwrap_or_default()));
    }
    times
}

fn failure(one: &Execution) -> Option<Vec<(&'static str, String)>> {
    let details = one.status()?.failure_details.as_ref()?;
    let step = details.failed_step_name.as_ref().map(|step| format!(", step {step}")).unwrap_or_default();
    let changed = if details.was_execution_failure {
        "the workflow had begun, so the target may have been changed"
    } else {
        "before the workflow began; the target was not touched"
    };
    Some(vec![
        ("Reason", details.reason.clone()),
        ("Task", format!("{}{step}", details.failed_task_name)),
        ("Exit code", details.exit_code.map(|code| code.to_string()).unwrap_or_default()),
        ("Message", details.message.clone()),
        ("When", changed.to_owned()),
        ("Summary", details.natural_language_summary.clone()),
    ])
}

/// Names and values, one a line; what is empty is left out, and further lines are aligned.
pub(crate) fn fields(pairs: &[(&str, String)], indent: usize) -> String {
    let shown = pairs.iter().filter(|(_, value)| !value.trim().is_empty());
    let width = shown.clone().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in shown {
        let value = value.trim_end().replace('\n', &format!("\n{}", " ".repeat(indent + width + 3)));
        let name = format!("{name}:");
        let _ = writeln!(text, "{:indent$}{name:<pad$}{value}", "", pad = width + 3);
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// Nothing is cut here: who asks for everything gets everything.
fn uncut(screen: Screen) -> Screen {
    Screen { width: None, ..screen }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Screen = Screen { live: false, colour: false, width: None };

    fn shown(status: serde_json::Value) -> String {
        let now = "2026-01-02T03:05:00Z".parse().unwrap();
        sheet(&execution::tests::execution(status), PLAIN, now)
    }

    #[test]
    fn a_failure_is_told_with_its_summary_and_what_it_means_for_the_target() {
        let text = shown(json!({
            "phase": "Failed", "startTime": "2026-01-02T03:00:00Z", "completionTime": "2026-01-02T03:00:12Z",
            "duration": "12s", "executionRef": {"name": "wfe-1"},
            "failureDetails": {
                "failedTaskIndex": 0, "failedTaskName": "pod-1", "reason": "OOMKilled", "message": "killed",
                "exitCode": 137, "failedAt": "2026-01-02T03:00:12Z", "naturalLanguageSummary": "first\nsecond",
                "wasExecutionFailure": true,
            },
        }));
        for part in [
            "Phase:      Failed\n",
            "Completed:  2026-01-02T03:00:12Z (4m48s ago)\n",
            "Run:        wfe-1\n",
            "Trace:      0af7651916cd43dd8448eb211c80319c\n",
            "  Exit code:  137\n",
            "  Summary:    first\n              second\n",
            "may have been changed",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let text = shown(json!(null));
        for part in ["Run:", "Started:", "Failure:", "Conditions:", "Waiting"] {
            assert!(!text.contains(part), "{part:?} is in\n{text}");
        }
    }
}
