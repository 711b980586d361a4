//! Start, memory and speed where very many executions have finished, and many run.

use std::time::{Duration, Instant};

use evenkeel_test_kit::Service;

use crate::{
    probe::{hold, probe, rest},
    report::{Figure, Table},
    resources::mib,
    site::{Ground, Site},
    startup::start,
    stats::as_float,
    stock::{Stock, TARGETS},
    timeline::Stage,
};

/// How many have finished where the figures to compare with come from.
const FEW: usize = 1000;
const LIMIT: Duration = Duration::from_secs(120);

/// Measures with few finished executions, with so many, and with some that run besides. What is done
/// is handed on as soon as it is there, since all of it takes minutes.
pub async fn measure(
    ground: &Ground,
    finished: usize,
    running: usize,
    mut show: impl FnMut(Table),
) -> anyhow::Result<()> {
    let site = ground.services(None).await?;
    let stock = Stock::after_a_real_one(&site.environment).await?;
    let mut counts = vec![FEW.min(finished), finished];
    counts.dedup();
    let mut there = 0;
    for count in counts {
        site.environment.service(Service::Controller).stop().await?;
        let rate = fill(&site, &stock, there, count).await?;
        there = count;
        let mut table = state(&site, &format!("{count} finished executions")).await?;
        let size = stock.size()?;
        table.remark(format!("{size} bytes each as JSON, on {TARGETS} targets, written at {rate:.0}/s"));
        show(table);
    }
    hold(&site, "", running).await?;
    let rested = rest(&site).await?;
    let grown = site.resident_memory()?;
    site.environment.service(Service::Controller).stop().await?;
    let mut table = state(&site, &format!("{finished} finished, {running} running")).await?;
    rested.tell(&mut table, "before: ");
    for (service, bytes) in grown {
        table.figure(Figure::new(format!("before: memory of {service}"), mib(bytes), "MiB"));
    }
    table.remark("before: in the process that brought all of them to run, which was then started again");
    show(table);
    Ok(())
}

/// Writes what is missing up to so many, and waits until the watch of this very bench has seen it, so
/// that it is quiet afterwards. How many a second.
async fn fill(site: &Site, stock: &Stock, there: usize, count: usize) -> anyhow::Result<f64> {
    let (begun, before) = (Instant::now(), site.timeline.count(Stage::Settled));
    stock.write(there..count).await?;
    let rate = as_float(count - there) / begun.elapsed().as_secs_f64();
    site.timeline.reach(Stage::Settled, before + count - there, LIMIT).await?;
    Ok(rate)
}

/// Starts the controller on what is there, and has it do a little.
async fn state(site: &Site, what: &str) -> anyhow::Result<Table> {
    let prefix = what.replace([' ', ','], "-");
    let mut table = Table::new(what);
    start(site, &format!("waiting-{prefix}-")).await?.tell(&mut table);
    probe(site, &format!("{prefix}-")).await?.tell(&mut table, "then: ", None);
    let controller = site.environment.service(Service::Controller);
    table.figure(Figure::new("then: memory of the controller", mib(controller.resident_memory()?), "MiB"));
    table.remark("requests: from the start until 8 s after the one that waited had its end");
    Ok(table)
}
