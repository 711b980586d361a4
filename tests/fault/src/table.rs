//! All rows, side by side in several lanes, shown as they end.

use std::{collections::VecDeque, fs, path::PathBuf, time::Instant};

use anyhow::Context as _;
use evenkeel_test_kit::{Repository, Service};
use futures::future::join_all;
use tokio::sync::Mutex;

use crate::{cluster::Ground, fault::Fault, lane::Lane, scenario, verdict::Verdict};

/// Lanes per processor: most of the time a row waits for others.
const LANES: usize = 3;

/// Plays these faults and shows each as it ends. How many were not as they must be.
pub async fn play(ground: &Ground, faults: Vec<Fault>, seed: u64) -> anyhow::Result<usize> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let lanes = (processors * LANES).min(faults.len());
    let queue = Mutex::new(VecDeque::from(faults));
    println!("{}", Row::heading());
    let failed = join_all((0..lanes).map(|_| walk(ground, &queue, seed))).await;
    failed.into_iter().sum()
}

/// Plays faults off the queue until it is empty.
async fn walk(ground: &Ground, queue: &Mutex<VecDeque<Fault>>, seed: u64) -> anyhow::Result<usize> {
    let mut failed = 0;
    let mut lane = Lane::open(ground).await?;
    loop {
        let Some(fault) = queue.lock().await.pop_front() else { return Ok(failed) };
        let begun = Instant::now();
        let played = Box::pin(scenario::play(&lane, &fault, seed)).await;
        let row = Row { fault, played, seconds: begun.elapsed().as_secs_f32() };
        println!("{}", row.show());
        if row.is_good() {
            continue;
        }
        failed += 1;
        if matches!(fault.place, crate::fault::Place::Anywhere(_)) {
            println!("    repeat it with {}={seed}", crate::seed::VARIABLE);
        }
        println!("    logs: {}", keep_logs(&lane, &fault)?.display());
        // What went wrong here shall not disturb the next.
        lane = Lane::open(ground).await?;
    }
}

/// One line of the table.
struct Row {
    fault: Fault,
    played: anyhow::Result<Verdict>,
    seconds: f32,
}

impl Row {
    fn heading() -> String {
        format!(
            "{:<74} {:>8}  {:<11} {:<11} {:<9} {:>7}",
            "FAULT", "LAUNCHES", "AUDIT", "PHASE", "LEFTOVERS", "SECONDS"
        )
    }

    fn is_good(&self) -> bool {
        self.played.as_ref().is_ok_and(Verdict::is_good)
    }

    fn show(&self) -> String {
        let Self { fault, played, seconds } = self;
        match played {
            Ok(verdict) => {
                let audit = match verdict.audit.len() {
                    0 if fault.is_about_rivals() => "(none)",
                    0 => "exact",
                    _ => "WRONG",
                };
                let left = if verdict.leftovers.is_empty() { "none" } else { "SOME" };
                let Verdict { launches, phase, .. } = verdict;
                let line =
                    format!("{fault:<74} {launches:>8}  {audit:<11} {phase:<11} {left:<9} {seconds:>7.1}");
                if verdict.is_good() { line } else { format!("{line}\n    NOT AS IT MUST BE: {verdict}") }
            }
            Err(error) => format!("{fault:<74} {seconds:>50.1}\n    NOT AS IT MUST BE: {error:#}"),
        }
    }
}

/// Copies the logs of a lane to where they stay.
fn keep_logs(lane: &Lane, fault: &Fault) -> anyhow::Result<PathBuf> {
    let kept = Repository::find()?.file("target/fault").join(fault.slug());
    fs::create_dir_all(&kept).with_context(|| format!("create {}", kept.display()))?;
    for service in Service::ALL {
        let _ = fs::copy(lane.environment.service(service).log(), kept.join(format!("{service}.log")));
    }
    Ok(kept)
}
