//! Several executions on few targets, and faults at random moments, two replicas of everything but
//! the audit log. The same seed yields the same schedule.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_test_kit::{Replica, Service, ServiceProcess, wait};
use futures::future::try_join_all;
use kube::api::DeleteParams;
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    cluster::Ground,
    ending::{Ending, Outcome},
    lane::Lane,
    verdict::{Verdict, judge},
};

const EXECUTIONS: usize = 10;
const TARGETS: usize = 3;
const FAULTS: usize = 14;
/// Everything in a schedule begins within this time.
const SPAN_MILLIS: u64 = 9_000;
/// Pauses are shorter and longer than the start timeout.
const LONGEST_MILLIS: u64 = 2_500;
const LIMIT: Duration = Duration::from_secs(120);

/// What happens, and when.
#[derive(Clone, Debug)]
pub struct Schedule {
    seed: u64,
    executions: Vec<Execution>,
    faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
struct Execution {
    at: Duration,
    target: usize,
    exit_code: u8,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    at: Duration,
    strike: Strike,
    /// How long it lasts.
    lasts: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Strike {
    Kill {
        service: Service,
        second: bool,
    },
    Pause {
        service: Service,
        second: bool,
    },
    /// The network turns to the other executor.
    Turn {
        second: bool,
    },
}

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut moment = |longest: u64| Duration::from_millis(random.random_range(0..longest));
        let moments: Vec<_> = (0..EXECUTIONS + FAULTS).map(|_| moment(SPAN_MILLIS)).collect();
        let lengths: Vec<_> = (0..FAULTS).map(|_| moment(LONGEST_MILLIS)).collect();
        let (early, late) = moments.split_at(EXECUTIONS);
        let executions = early.iter().map(|at| Execution {
            at: *at / 2,
            target: random.random_range(0..TARGETS),
            exit_code: if random.random_ratio(1, 4) { 7 } else { 0 },
        });
        let executions = executions.collect();
        let faults = late.iter().zip(lengths).map(|(at, lasts)| {
            let strike = strike(&mut random);
            Fault { at: *at, strike, lasts }
        });
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by_key(|fault| fault.at);
        Self { seed, executions, faults }
    }

    /// Plays it in a lane of its own and judges every execution.
    pub async fn play(&self, ground: &Ground) -> anyhow::Result<Vec<Verdict>> {
        let lane = Lane::open(ground).await?;
        let seconds =
            [Service::Executor, Service::Controller].map(|service| lane.start_replica(service, &[]));
        let seconds = try_join_all(seconds).await?;
        let begun = Instant::now();
        let told = try_join_all((0..EXECUTIONS).map(|which| self.tell(&lane, which, begun)));
        let (endings, ()) = tokio::try_join!(told, self.strike(&lane, &seconds, begun))?;
        for second in seconds {
            second.stop().await?;
        }
        judge(&lane.environment, &lane.launches, &endings).await
    }

    async fn tell(&self, lane: &Lane, which: usize, begun: Instant) -> anyhow::Result<Ending> {
        let Execution { at, target, exit_code } = self.executions[which];
        let environment = &lane.environment;
        let name = format!("seed-{}-{which}", self.seed);
        let code = exit_code.to_string();
        sleep_until(begun + at).await;
        let target = format!("shop/Deployment/target-{target}");
        environment.apply(&environment.execution(&name, &target, &[("EXIT_CODE", &code)])).await?;
        let settled = environment.settled(&name, LIMIT).await?;
        environment.executions().delete(&name, &DeleteParams::default()).await?;
        wait::until_gone(&environment.executions(), &name, LIMIT).await?;
        Ok(Ending::of(&settled, if exit_code == 0 { Outcome::Completed } else { Outcome::Failed }))
    }

    async fn strike(&self, lane: &Lane, seconds: &[Replica], begun: Instant) -> anyhow::Result<()> {
        for fault in &self.faults {
            sleep_until(begun + fault.at).await;
            self.strike_once(lane, seconds, fault).await.with_context(|| format!("{fault:?}"))?;
        }
        Ok(())
    }

    async fn strike_once(&self, lane: &Lane, seconds: &[Replica], fault: &Fault) -> anyhow::Result<()> {
        let process = |service: Service, second: bool| -> &ServiceProcess {
            let other = seconds.iter().find(|replica| second && replica.service() == service);
            match other {
                Some(replica) => replica,
                None => lane.environment.service(service),
            }
        };
        match fault.strike {
            Strike::Kill { service, second } => {
                let process = process(service, second);
                process.kill();
                sleep(fault.lasts / 4).await;
                lane.start_process(process, "", &[]).await?;
            }
            Strike::Pause { service, second } => {
                let process = process(service, second);
                process.pause();
                sleep(fault.lasts).await;
                process.resume();
            }
            Strike::Turn { second } => {
                let other = seconds.iter().find(|replica| second && replica.service() == Service::Executor);
                let address = other.map_or_else(
                    || lane.environment.executor_address(),
                    |replica| replica.address().to_owned(),
                );
                lane.switch.turn(&address);
            }
        }
        Ok(())
    }
}

fn strike(random: &mut impl Rng) -> Strike {
    let service = Service::ALL[random.random_range(0..Service::ALL.len())];
    let second = random.random_ratio(1, 2);
    match random.random_range(0..10) {
        0..5 => Strike::Kill { service, second },
        5..8 => Strike::Pause { service, second },
        _ => Strike::Turn { second },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_yields_the_same_schedule() {
        let shown = |seed| format!("{:?}", Schedule::of(seed));
        assert_eq!(shown(7), shown(7));
        assert_ne!(shown(7), shown(8));
    }
}
