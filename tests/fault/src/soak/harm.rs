//! Services killed and paused at random moments.

use std::{
    fmt,
    time::{Duration, Instant as Clock},
};

use anyhow::Context as _;
use evenkeel_test_kit::{Service, ServiceProcess};
use rand::{RngExt as _, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until};

use super::scene::Scene;

/// Between two strikes, so that things go on in between.
const GAP_MILLIS: std::ops::Range<u64> = 2_000..9_000;
/// How long a killed process stays away.
const AWAY_MILLIS: std::ops::Range<u64> = 0..3_000;
/// How long a process stands still: shorter and longer than the start timeout.
const PAUSE_MILLIS: std::ops::Range<u64> = 300..5_000;
/// The same of a controller: shorter and longer than a leader's Lease lasts.
const LEADER_PAUSE_MILLIS: std::ops::Range<u64> = 300..16_000;

/// How often services were struck.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Harms {
    kills: u32,
    pauses: u32,
    both: u32,
    longest_start: Duration,
}

impl fmt::Display for Harms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, both, longest_start } = self;
        write!(
            f,
            "{kills} kills and {pauses} pauses, {both} times both controllers were killed; \
             ready again after at most {longest_start:.1?}"
        )
    }
}

/// Strikes from one moment to another; afterwards everything runs.
pub(super) async fn harm(
    scene: &Scene,
    mut random: StdRng,
    (from, to): (Instant, Instant),
) -> anyhow::Result<Harms> {
    let mut harms = Harms::default();
    sleep_until(from).await;
    while Instant::now() < to {
        strike(scene, &mut random, &mut harms).await?;
        // The moments themselves.
        sleep(Duration::from_millis(random.random_range(GAP_MILLIS))).await;
    }
    Ok(harms)
}

async fn strike(scene: &Scene, random: &mut StdRng, harms: &mut Harms) -> anyhow::Result<()> {
    let mut millis = |range| Duration::from_millis(random.random_range(range));
    let (away, pause, leader_pause) =
        (millis(AWAY_MILLIS), millis(PAUSE_MILLIS), millis(LEADER_PAUSE_MILLIS));
    let processes = scene.processes();
    let (name, process) = processes[random.random_range(0..processes.len())];
    match random.random_range(0..10) {
        0 => {
            harms.both += 1;
            let [(_, first), (_, second), ..] = processes;
            first.kill();
            second.kill();
            sleep(away).await;
            for one in [first, second] {
                start(one, harms).await.context("both controllers")?;
            }
        }
        1..6 => {
            harms.kills += 1;
            process.kill();
            sleep(away).await;
            start(process, harms).await.context(name)?;
        }
        _ => {
            harms.pauses += 1;
            process.pause();
            sleep(if process.service() == Service::Controller { leader_pause } else { pause }).await;
            process.resume();
        }
    }
    Ok(())
}

async fn start(process: &ServiceProcess, harms: &mut Harms) -> anyhow::Result<()> {
    let begun = Clock::now();
    process.start(&[])?;
    process.ready().await?;
    harms.longest_start = harms.longest_start.max(begun.elapsed());
    Ok(())
}
