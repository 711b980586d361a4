//! A long time of many executions on real pods, with services killed and paused at random moments:
//! whether anything is lost, done twice or left over, and whether memory, files or watches grow.
//!
//! Nothing is struck at first, then much is, and at last nothing again: processes that live through
//! the last part show what they need and whether it grows. The same seed yields the same choices;
//! what they meet depends on the machine.

use std::{sync::Arc, time::Duration};

use evenkeel_cluster::{Cluster, Tier};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::Mutex,
    time::{Instant, interval},
};

use crate::{seed, verdict};

mod book;
mod harm;
mod report;
mod sample;
mod scene;
mod work;

use report::Report;
use sample::Sample;
use scene::Scene;

/// How long everything may take to come to rest at the end.
const REST_LIMIT: Duration = Duration::from_secs(300);

/// How long the parts of a soak are.
#[derive(Clone, Copy, Debug)]
struct Parts {
    /// When the services begin to be struck.
    harm: Duration,
    /// When that ends.
    calm: Duration,
    /// When no execution is applied any more.
    end: Duration,
    /// How often everything is looked at.
    look: Duration,
}

impl Parts {
    fn of(minutes: u64) -> Self {
        let end = Duration::from_secs(60 * minutes.max(1));
        let look = (end / 20).clamp(Duration::from_secs(5), Duration::from_secs(30));
        Self { harm: end / 10, calm: end * 6 / 10, end, look }
    }
}

/// Soaks for this many minutes and shows what became of everything. Whether it is as it must be.
pub async fn run(minutes: u64, seed: u64) -> anyhow::Result<bool> {
    let (tier, why) = Tier::best();
    println!("seed {seed}, repeat it with {}={seed}; {why}", seed::VARIABLE);
    let start = move || Cluster::options().tier(tier).progress(true).start();
    let cluster = Arc::new(tokio::task::spawn_blocking(start).await??);
    let scene = Arc::new(Scene::open(cluster).await?);
    let soaked = Box::pin(soak(&scene, Parts::of(minutes), seed)).await;
    let is_good = matches!(&soaked, Ok(report) if report.problems().is_empty());
    match &soaked {
        Ok(report) => println!("{report}"),
        Err(error) => println!("\nNOT AS IT MUST BE: {error:#}"),
    }
    if !is_good {
        println!("seed {seed}, repeat it with {}={seed}", seed::VARIABLE);
        println!("logs: {}", scene.keep_logs()?.display());
    }
    Ok(is_good)
}

async fn soak(scene: &Arc<Scene>, parts: Parts, seed: u64) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let random = |nth: u64| StdRng::seed_from_u64(seed.wrapping_add(nth));
    let samples = Mutex::new(Vec::new());
    let worked = async {
        let endings = work::trickle(scene, random(0), begun + parts.end).await?;
        scene.rest(REST_LIMIT).await?;
        anyhow::Ok(endings)
    };
    let harmed = harm::harm(scene, random(1), (begun + parts.harm, begun + parts.calm));
    // Whoever fails ends it all, so that what is there then can be looked at.
    let (endings, harms) = tokio::select! {
        done = async { tokio::try_join!(worked, harmed) } => done?,
        error = look(scene, parts, &samples) => return Err(error),
    };
    let mut samples = samples.into_inner();
    samples.push(Sample::take(scene, begun.elapsed()).await?);
    let verdicts = verdict::judge(&scene.environment, &scene.launches, &endings).await?;
    let locks = scene.locks().await?;
    let lags = scene.book.lags(begun + parts.calm);
    Ok(Report { parts, endings, verdicts, samples, harms, locks, lags })
}

/// Takes samples and shows them, until one cannot be taken.
async fn look(scene: &Scene, parts: Parts, samples: &Mutex<Vec<Sample>>) -> anyhow::Error {
    println!("{}", Sample::heading());
    let begun = Instant::now();
    let mut looks = interval(parts.look);
    loop {
        looks.tick().await;
        match Sample::take(scene, begun.elapsed()).await {
            Ok(sample) => {
                let mut all = samples.lock().await;
                println!("{}", sample.show(all.last()));
                all.push(sample);
            }
            Err(error) => return error,
        }
    }
}
