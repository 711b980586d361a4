//! How fast it is while many executions run.

use evenkeel_test_kit::Service;

use crate::{
    probe::{BURST, Probe, Rest, hold, probe, rest},
    report::{Figure, Table},
    resources::mib,
    site::Site,
};

/// Measures services and raw client beside ever more that is live already: as many as these numbers
/// say, each larger than the one before.
pub async fn measure(services: &Site, raw: &Site, numbers: &[usize]) -> anyhow::Result<Table> {
    let mut table = Table::new("with so many executions running");
    let mut already = 0;
    for &active in numbers {
        let (plain, _) = beside(raw, already, active).await?;
        let (ours, rest) = beside(services, already, active).await?;
        let state = format!("{active}: ");
        ours.tell(&mut table, &state, Some(&plain));
        if let Some(rest) = rest {
            rest.tell(&mut table, &state);
        }
        let memory = services.environment.service(Service::Controller).resident_memory()?;
        let name = format!("{state}memory of the controller");
        table.figure(Figure::new(name, mib(memory), "MiB"));
        already = active;
    }
    table.remark("each on a target of its own, its Job live; raw: as many Jobs of its own are live");
    table.remark(format!("processor time: of all services, for the steady load and {BURST} at once"));
    table.remark("at rest: nothing is created and nothing ends");
    Ok(table)
}

async fn beside(site: &Site, already: usize, active: usize) -> anyhow::Result<(Probe, Option<Rest>)> {
    hold(site, &format!("{active}-"), active.saturating_sub(already)).await?;
    let probed = probe(site, &format!("beside-{active}-")).await?;
    let rested = if site.processor_times().is_ok() { Some(rest(site).await?) } else { None };
    Ok((probed, rested))
}
