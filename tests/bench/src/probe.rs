//! A small load, to see what becomes of it beside much else.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use evenkeel_test_kit::Request;

use crate::{
    backend::HELD,
    load::{Maker, burst, pace},
    report::{Figure, Table},
    resources::costs,
    site::Site,
    stats::{Sample, as_float},
    timeline::Stage,
};

/// Executions a second, and for how many seconds.
pub const PACE: (u32, u32) = (5, 10);
/// Executions at once, after that.
pub const BURST: usize = 50;
/// How long nothing is done, to see what it costs that so much is there: longer than the controller
/// waits until it asks for a run that it hears nothing of.
const REST: Duration = Duration::from_secs(15);
/// Before that, so that what was done before is told to the end.
const QUIET: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(120);
const HOLD_LIMIT: Duration = Duration::from_secs(600);

/// What became of the load.
pub struct Probe {
    /// From due to live, at the steady pace.
    pub live: Sample,
    /// Executions a second that ended, of those that came at once.
    pub per_second: f64,
    /// Milliseconds of processor time that all services together used per execution.
    pub processor: f64,
    /// What the services asked of the API server meanwhile.
    pub requests: Vec<Request>,
    executions: usize,
}

/// Makes the load, under names that begin so.
pub async fn probe(site: &Site, prefix: &str) -> anyhow::Result<Probe> {
    let requests = site.environment.requests()?.len();
    // The raw client's environment has no services.
    let times = || site.processor_times().unwrap_or_default();
    let (began, before) = (times(), site.timeline.count(Stage::Settled));
    let (steady, sudden) = (format!("{prefix}steady-"), format!("{prefix}sudden-"));
    let paced = pace(&site.maker, &site.timeline, &steady, PACE.0, PACE.1).await?;
    site.timeline.reach(Stage::Settled, before + paced, LIMIT).await?;
    burst(&site.maker, &site.timeline, &sudden, BURST).await?;
    let executions = paced + BURST;
    site.timeline.reach(Stage::Settled, before + executions, LIMIT).await?;
    let took = site.timeline.extent(&sudden, Stage::Asked, Stage::Ended).context("they ended")?;
    Ok(Probe {
        live: Sample::new(site.timeline.spans(&steady, Stage::Asked, Stage::Live)),
        per_second: as_float(BURST) / took.as_secs_f64(),
        processor: costs(&began, &times(), executions).values().sum(),
        requests: site.environment.requests()?.split_off(requests),
        executions,
    })
}

impl Probe {
    /// Adds the figures to a table, beside those of the raw client if it had the same load.
    pub fn tell(&self, table: &mut Table, state: &str, raw: Option<&Self>) {
        let mut add = |name: &str, unit, of: &dyn Fn(&Self) -> f64| {
            let figure = Figure::new(format!("{state}{name}"), of(self), unit);
            table.figure(match raw {
                Some(raw) => figure.beside(of(raw)),
                None => figure,
            });
        };
        for percent in [50, 95, 99] {
            let name = format!("created -> run live, {}/s, p{percent}", PACE.0);
            add(&name, "ms", &|probe| probe.live.percentile(percent));
        }
        add(&format!("throughput of {BURST} at once"), "/s", &|probe| probe.per_second);
        let mut own = |name: &str, value, unit| {
            table.figure(Figure::new(format!("{state}{name}"), value, unit));
        };
        own("processor time per execution", self.processor, "ms");
        let each = as_float(self.requests.len()) / as_float(self.executions);
        own("requests per execution", each, "");
        let lists = self.requests.iter().filter(|request| request.verb == "list").count();
        own("of them lists, all together", as_float(lists), "");
    }
}

/// Makes so many executions whose runs stay live, and waits until they are.
pub async fn hold(site: &Site, prefix: &str, count: usize) -> anyhow::Result<()> {
    let stage = match site.maker {
        Maker::Executions(_) => Stage::Running,
        Maker::Raw(_) => Stage::Live,
    };
    let before = site.timeline.count(stage);
    burst(&site.maker, &site.timeline, &format!("{HELD}{prefix}"), count).await?;
    site.timeline.reach(stage, before + count, HOLD_LIMIT).await
}

/// What it costs that so much is there while nothing happens.
pub struct Rest {
    /// Processor time of all services together, in percent of one processor.
    pub processor: f64,
    /// Requests to the API server a second.
    pub requests: f64,
}

/// Does nothing for a while, and looks at what that costs.
pub async fn rest(site: &Site) -> anyhow::Result<Rest> {
    tokio::time::sleep(QUIET).await;
    let requests = site.environment.requests()?.len();
    let (began, begun) = (site.processor_times()?, Instant::now());
    tokio::time::sleep(REST).await;
    let (ended, seconds) = (site.processor_times()?, begun.elapsed().as_secs_f64());
    let millis: f64 = costs(&began, &ended, 1).values().sum();
    let requests = site.environment.requests()?.len() - requests;
    Ok(Rest { processor: millis / seconds / 10.0, requests: as_float(requests) / seconds })
}

impl Rest {
    /// Adds the figures to a table.
    pub fn tell(&self, table: &mut Table, state: &str) {
        let name = format!("{state}at rest: processor time of all services");
        table.figure(Figure::new(name, self.processor, "% of one"));
        table.figure(Figure::new(format!("{state}at rest: requests"), self.requests, "/s"));
    }
}
