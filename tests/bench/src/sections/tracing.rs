//! What tracing everything costs.

use std::time::Duration;

use evenkeel_cluster::Jaeger;

use crate::{
    load::burst,
    report::{Budget, Figure, Table},
    resources::costs,
    site::{Ground, Site},
    stats::as_float,
    timeline::Stage,
};

const MOST_PERCENT: f64 = 3.0;
const LIMIT: Duration = Duration::from_secs(120);
/// Taken in turns, so that what changes meanwhile touches both.
const TURNS: usize = 2;

/// Measures processor time of the services with and without export, with so many executions each.
pub async fn measure(ground: &Ground, off: &Site, count: usize) -> anyhow::Result<Table> {
    let jaeger = tokio::task::spawn_blocking(Jaeger::start).await??;
    let on = ground.services(Some(&jaeger.otlp_endpoint())).await?;
    // Caches fill and connections open.
    cost(&on, "warm-", count / 10).await?;
    let (mut with, mut without) = (0.0, 0.0);
    for turn in 0..TURNS {
        let prefix = format!("traced-{turn}-");
        without += cost(off, &prefix, count / TURNS).await?;
        with += cost(&on, &prefix, count / TURNS).await?;
    }
    drop(on);
    tokio::task::spawn_blocking(|| jaeger.stop()).await??;
    let turns = as_float(TURNS);
    let mut table = Table::new("tracing");
    table.figure(Figure::new("processor time per execution, not exported", without / turns, "ms"));
    table.figure(Figure::new("processor time per execution, all exported", with / turns, "ms"));
    let percent = (with / without - 1.0) * 100.0;
    table
        .figure(Figure::new("cost of tracing everything", percent, "%").budget(Budget::AtMost(MOST_PERCENT)));
    table.remark("processor time of the three services together; the collector's own is not counted");
    Ok(table)
}

/// Milliseconds of processor time that all services together use per execution.
async fn cost(site: &Site, prefix: &str, count: usize) -> anyhow::Result<f64> {
    let before = site.timeline.count(Stage::Settled);
    let began = site.processor_times()?;
    burst(&site.maker, &site.timeline, prefix, count).await?;
    site.timeline.reach(Stage::Settled, before + count, LIMIT).await?;
    Ok(costs(&began, &site.processor_times()?, count).values().sum())
}
