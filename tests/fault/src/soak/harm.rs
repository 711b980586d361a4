//! Services killed and paused at random moments.

use std::{
    fmt,
    ops::Range,
    time::{Duration, Instant as Clock},
};

use anyhow::Context as _;
use evenkeel_test_kit::ServiceProcess;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until};

use super::scene::Scene;

/// Between two strikes, so that things go on in between.
const GAP_MILLIS: Range<u64> = 2_000..9_000;
/// How long a killed process stays away.
const AWAY_MILLIS: Range<u64> = 0..3_000;
/// How long a process stands still: shorter and longer than the start timeout.
const PAUSE_MILLIS: Range<u64> = 300..5_000;
/// The same of a controller: shorter and longer than a leader's Lease lasts.
const LEADER_PAUSE_MILLIS: Range<u64> = 300..16_000;

/// How often services were struck.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Harms {
    kills: u32,
    pauses: u32,
    together: u32,
    longest_start: Duration,
}

impl Harms {
    fn and(self, other: Self) -> Self {
        Self {
            kills: self.kills + other.kills,
            pauses: self.pauses + other.pauses,
            together: self.together + other.together,
            longest_start: self.longest_start.max(other.longest_start),
        }
    }
}

impl fmt::Display for Harms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, together, longest_start } = self;
        write!(
            f,
            "{kills} kills and {pauses} pauses, {together} times two were killed together; \
             ready again after at most {longest_start:.1?}"
        )
    }
}

/// One of a pair of processes is struck at a time, and sometimes both together.
struct Striker<'a> {
    pair: [&'a ServiceProcess; 2],
    pause: Range<u64>,
    random: StdRng,
    harms: Harms,
}

/// Strikes from one moment to another; afterwards everything runs. The controllers are struck at
/// other times than the executor and the audit log, so often while one of these is away.
pub(super) async fn harm(
    scene: &Scene,
    mut random: StdRng,
    span: (Instant, Instant),
) -> anyhow::Result<Harms> {
    let [(_, first), (_, second), (_, executor), (_, audit)] = scene.processes();
    let mut striker = |pair, pause| {
        let random = StdRng::seed_from_u64(random.random());
        Striker { pair, pause, random, harms: Harms::default() }
    };
    let leaders = striker([first, second], LEADER_PAUSE_MILLIS);
    let others = striker([executor, audit], PAUSE_MILLIS);
    let (leaders, others) = tokio::try_join!(leaders.strike(span), others.strike(span))?;
    Ok(leaders.and(others))
}

impl Striker<'_> {
    async fn strike(mut self, (from, to): (Instant, Instant)) -> anyhow::Result<Harms> {
        sleep_until(from).await;
        while Instant::now() < to {
            self.once().await?;
            // The moments themselves.
            sleep(self.some(GAP_MILLIS)).await;
        }
        Ok(self.harms)
    }

    fn some(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
    }

    async fn once(&mut self) -> anyhow::Result<()> {
        let (away, pause) = (self.some(AWAY_MILLIS), self.some(self.pause.clone()));
        let process = self.pair[usize::from(self.random.random_ratio(1, 2))];
        match self.random.random_range(0..10) {
            0 => {
                self.harms.together += 1;
                self.pair.iter().for_each(|one| one.kill());
                sleep(away).await;
                for one in self.pair {
                    self.start(one).await?;
                }
            }
            1..6 => {
                self.harms.kills += 1;
                process.kill();
                sleep(away).await;
                self.start(process).await?;
            }
            _ => {
                self.harms.pauses += 1;
                process.pause();
                sleep(pause).await;
                process.resume();
            }
        }
        Ok(())
    }

    async fn start(&mut self, process: &ServiceProcess) -> anyhow::Result<()> {
        let begun = Clock::now();
        process.start(&[])?;
        process.ready().await.with_context(|| format!("start the {} again", process.service()))?;
        self.harms.longest_start = self.harms.longest_start.max(begun.elapsed());
        Ok(())
    }
}
