//! Executions that want one target at the same time.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use evenkeel_api::WorkflowExecution;
use futures::future::try_join_all;
use kube::ResourceExt as _;

use crate::{
    environment::Environment,
    evidence::{COMPLETED, SELECTED, STARTED, condition},
    wait,
};

const TARGET: &str = "shop/Deployment/wanted";

/// Lets so many executions race for one target, and checks that one runs at a time, each once and
/// to its end, and that those who wait name who they wait for.
pub async fn race(environment: &Environment, count: usize, limit: Duration) -> anyhow::Result<()> {
    let launches = environment.launches().await?;
    let names: Vec<String> = (1..=count).map(|number| format!("racer-{number}")).collect();
    let racers: Vec<WorkflowExecution> =
        names.iter().map(|name| environment.execution(name, TARGET, &[("SLEEP_SECONDS", "1")])).collect();
    let applied = try_join_all(racers.iter().map(|racer| environment.apply(racer))).await?;
    let executions = environment.executions();
    let decided = |it: &WorkflowExecution| waits_for(it).is_some() || phase(it) == "Running";
    let what = "running or waiting";
    let seen =
        try_join_all(names.iter().map(|name| wait::until(&executions, name, what, limit, decided))).await?;
    let waiting: Vec<_> = seen.iter().filter_map(|it| Some((it.name_any(), waits_for(it)?))).collect();
    ensure!(waiting.len() + 1 >= count, "only these of {count} wait: {waiting:?}");
    for (own, message) in &waiting {
        let named = names.iter().any(|name| name != own && message.contains(name));
        ensure!(named, "{own} names nobody that it waits for: {message}");
    }
    let mut ended = try_join_all(names.iter().map(|name| environment.settled(name, limit))).await?;
    for (before, after) in applied.iter().zip(&ended) {
        let name = after.name_any();
        ensure!(phase(after) == "Completed", "{name} ended otherwise: {:?}", after.status);
        let runs = launches.of(&before.uid().context("what was created has a uid")?)?;
        ensure!(runs == 1, "{name} ran {runs} times");
        let recorded = environment.recorded(&name).await?;
        ensure!(recorded == [SELECTED, STARTED, COMPLETED], "the log has {recorded:?} of {name}");
    }
    ended.sort_by_key(|one| times(one).map(|(start, _)| start));
    for pair in ended.windows(2) {
        let (before, after) = (times(&pair[0]).context("no times")?, times(&pair[1]).context("no times")?);
        ensure!(before.1 <= after.0, "{} and {} overlap", pair[0].name_any(), pair[1].name_any());
    }
    Ok(())
}

fn phase(execution: &WorkflowExecution) -> &str {
    execution.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// What an execution says of whom it waits for.
fn waits_for(execution: &WorkflowExecution) -> Option<&str> {
    let blocked = condition(execution, "Blocked").filter(|blocked| blocked.status == "True")?;
    ["TargetBusy", "CooldownActive", "Queued"]
        .contains(&blocked.reason.as_str())
        .then_some(blocked.message.as_str())
}

/// When its run started and ended.
fn times(execution: &WorkflowExecution) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
    let status = execution.status.as_ref()?;
    Some((status.start_time.as_ref()?.0, status.completion_time.as_ref()?.0))
}
