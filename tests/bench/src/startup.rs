//! The start of a controller where much is there already.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use evenkeel_test_kit::{Request, Service, ServiceProcess, http};

use crate::{
    load::burst,
    report::{Figure, Table},
    resources::{highest_memory, mib, processor_time},
    sections::writes::kinds,
    site::Site,
    stats::as_float,
    timeline::Stage,
};

const LIMIT: Duration = Duration::from_secs(180);
const BETWEEN: Duration = Duration::from_millis(20);
/// How long it is looked at on, so that what comes a little later counts as well.
const AFTERWARDS: Duration = Duration::from_secs(8);
/// 1 where the leader is.
const LEADER: &str = "evenkeel_controller_leader";

/// What a start took.
pub struct Startup {
    ready: Duration,
    leads: Duration,
    live: Duration,
    processor: Duration,
    memory: u64,
    highest: u64,
    requests: Vec<Request>,
}

/// Starts the controller, which does not run, and looks on until it has done what there was to do.
/// One execution waits for it, under this name.
pub async fn start(site: &Site, waiting: &str) -> anyhow::Result<Startup> {
    let controller = site.environment.service(Service::Controller);
    let (live, settled) = (site.timeline.count(Stage::Live), site.timeline.count(Stage::Settled));
    burst(&site.maker, &site.timeline, waiting, 1).await?;
    let before = site.environment.requests()?.len();
    let begun = Instant::now();
    controller.start(&[])?;
    let watched = watch(controller, begun);
    let goes_live = async {
        site.timeline.reach(Stage::Live, live + 1, LIMIT).await?;
        anyhow::Ok(begun.elapsed())
    };
    let ((ready, leads), live) = tokio::try_join!(watched, goes_live)?;
    let pid = controller.pid().context("the controller runs")?;
    let processor = processor_time(pid)?;
    site.timeline.reach(Stage::Settled, settled + 1, LIMIT).await?;
    tokio::time::sleep(AFTERWARDS).await;
    Ok(Startup {
        ready,
        leads,
        live,
        processor,
        memory: controller.resident_memory()?,
        highest: highest_memory(pid)?,
        requests: site.environment.requests()?.split_off(before),
    })
}

/// How long it takes until the controller is ready, and until it leads.
async fn watch(controller: &ServiceProcess, begun: Instant) -> anyhow::Result<(Duration, Duration)> {
    let url = format!("{}/readyz", controller.admin());
    let (mut ready, mut leads) = (None, None);
    loop {
        if ready.is_none() && http::get(&url).await.is_ok_and(|(code, _)| code == 200) {
            ready = Some(begun.elapsed());
        }
        if leads.is_none() {
            let metrics = controller.metrics().await.unwrap_or_default();
            leads = (metrics.get(LEADER) == Some(&1.0)).then(|| begun.elapsed());
        }
        if let (Some(ready), Some(leads)) = (ready, leads) {
            return Ok((ready, leads));
        }
        ensure!(controller.pid().is_some(), "the controller ended:\n{}", controller.log_tail());
        let waited = begun.elapsed();
        ensure!(waited < LIMIT, "not ready and leading after {waited:?}:\n{}", controller.log_tail());
        tokio::time::sleep(BETWEEN).await;
    }
}

impl Startup {
    /// Adds the figures to a table.
    pub fn tell(&self, table: &mut Table) {
        let mut add = |name: &str, value, unit| table.figure(Figure::new(name, value, unit));
        add("started -> leads", self.leads.as_secs_f64(), "s");
        add("started -> ready", self.ready.as_secs_f64(), "s");
        add("started -> run of one that waited is live", self.live.as_secs_f64(), "s");
        add("processor time of the controller until then", self.processor.as_secs_f64(), "s");
        add("memory of the controller, then", mib(self.memory), "MiB");
        add("memory of the controller, highest", mib(self.highest), "MiB");
        for (kind, number) in kinds(&self.requests) {
            add(&kind, as_float(number), "requests");
        }
        add("most requests in one second", as_float(busiest_second(&self.requests)), "");
    }
}

/// The most requests that were answered within one second: what comes all at once shows in no total.
fn busiest_second(requests: &[Request]) -> usize {
    let mut counts = BTreeMap::<i64, usize>::new();
    for request in requests {
        *counts.entry(request.at.as_second()).or_default() += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_second_is_the_one_with_most_requests() {
        let request = |at: &str| Request {
            account: "controller".to_owned(),
            verb: "get".to_owned(),
            resource: "jobs".to_owned(),
            name: String::new(),
            code: 200,
            at: at.parse().unwrap(),
        };
        let requests =
            ["2026-01-01T00:00:06.9Z", "2026-01-01T00:00:07.1Z", "2026-01-01T00:00:07.9Z"].map(request);
        assert_eq!((busiest_second(&requests), busiest_second(&[])), (2, 0));
    }
}
