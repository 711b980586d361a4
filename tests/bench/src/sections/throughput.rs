//! How many executions a second, when runs take no time, and what each costs.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;

use crate::{
    load::{CONCURRENCY, burst},
    report::{Budget, Figure, Table},
    resources::{Costs, costs},
    site::{Ground, Site},
    stats::as_float,
    timeline::Stage,
};

const LEAST_PER_SECOND: f64 = 100.0;
const LIMIT: Duration = Duration::from_secs(120);

/// Measures both with so many executions.
pub async fn measure(ground: &Ground, services: &Site, raw: &Site, count: usize) -> anyhow::Result<Table> {
    let plain = run(ground, raw, "burst-", count).await?;
    let ours = run(ground, services, "burst-", count).await?;
    let mut table = Table::new("throughput");
    let budget = Budget::AtLeast(LEAST_PER_SECOND);
    let ended = Figure::new("executions, created -> end in status", ours.ended, "/s");
    table.figure(ended.beside(plain.ended).budget(budget));
    table.figure(Figure::new("executions, created -> released, recorded", ours.settled, "/s"));
    for (who, millis) in &ours.processor {
        let figure = Figure::new(format!("processor time per execution: {who}"), *millis, "ms");
        table.figure(match plain.processor.get(who) {
            Some(plain) => figure.beside(*plain),
            None => figure,
        });
    }
    table.remark(format!(
        "{count} executions on as many targets, {CONCURRENCY} creates under way at once, 1 ms of cooldown"
    ));
    table.remark("the bench makes, watches and completes everything on the same processors");
    Ok(table)
}

struct Rates {
    ended: f64,
    settled: f64,
    processor: Costs,
}

async fn run(ground: &Ground, site: &Site, prefix: &str, count: usize) -> anyhow::Result<Rates> {
    let before = site.timeline.count(Stage::Settled);
    let began = times(ground, site)?;
    burst(&site.maker, &site.timeline, prefix, count).await?;
    site.timeline.reach(Stage::Settled, before + count, LIMIT).await?;
    let ended = times(ground, site)?;
    let rate = |stage| {
        let took = site.timeline.extent(prefix, Stage::Asked, stage).context("it happened")?;
        anyhow::Ok(per(count, took.as_secs_f64()))
    };
    Ok(Rates {
        ended: rate(Stage::Ended)?,
        settled: rate(Stage::Settled)?,
        processor: costs(&began, &ended, count),
    })
}

fn times(ground: &Ground, site: &Site) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut times = ground.processor_times()?;
    // The raw client's environment has none.
    times.extend(site.processor_times().unwrap_or_default());
    Ok(times)
}

fn per(count: usize, seconds: f64) -> f64 {
    as_float(count) / seconds
}
