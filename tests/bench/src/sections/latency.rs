//! How long an execution waits for us, at a steady pace.

use std::time::Duration;

use crate::{
    load::pace,
    report::{Budget, Figure, Table},
    site::Site,
    stats::Sample,
    timeline::Stage,
};

/// Executions a second, and for how many seconds.
const PACES: [(u32, u32); 2] = [(10, 15), (50, 12)];
/// The pace that the budgets speak of.
const BUDGETED: u32 = 50;
const LIVE_BUDGET_MS: f64 = 25.0;
const SEEN_BUDGET_MS: f64 = 50.0;
const LIMIT: Duration = Duration::from_secs(60);

/// Measures services and raw client at each pace.
pub async fn measure(services: &Site, raw: &Site) -> anyhow::Result<Table> {
    let mut table = Table::new("latency");
    for (per_second, seconds) in PACES {
        let plain = run(raw, per_second, seconds).await?;
        let ours = run(services, per_second, seconds).await?;
        let budget = |at_most| if per_second == BUDGETED { Budget::AtMost(at_most) } else { Budget::None };
        let pairs = [
            ("created -> run live", &ours.live, &plain.live, budget(LIVE_BUDGET_MS)),
            ("run complete -> end in status", &ours.seen, &plain.seen, budget(SEEN_BUDGET_MS)),
        ];
        for (what, ours, plain, budget) in pairs {
            for percent in [50, 95, 99] {
                let name = format!("{what}, {per_second}/s, p{percent}");
                let figure = Figure::new(name, ours.percentile(percent), "ms");
                let budget = if percent == 99 { budget } else { Budget::None };
                table.figure(figure.beside(plain.percentile(percent)).budget(budget));
            }
        }
    }
    table.remark(
        "from the moment the create was due until a watch shows the Job live; raw: Lease create, Job",
    );
    table.remark(
        "create and Job patch; completion: from before the status patch of the Job, raw: one patch later",
    );
    Ok(table)
}

struct Latencies {
    live: Sample,
    seen: Sample,
}

async fn run(site: &Site, per_second: u32, seconds: u32) -> anyhow::Result<Latencies> {
    let prefix = format!("at-{per_second}-");
    let before = site.timeline.count(Stage::Settled);
    let made = pace(&site.maker, &site.timeline, &prefix, per_second, seconds).await?;
    site.timeline.reach(Stage::Settled, before + made, LIMIT).await?;
    Ok(Latencies {
        live: Sample::new(site.timeline.spans(&prefix, Stage::Asked, Stage::Live)),
        seen: Sample::new(site.timeline.spans(&prefix, Stage::Done, Stage::Ended)),
    })
}
