//! `evenkeel-fault`: plays every fault and shows what became of the executions.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use evenkeel_test_fault::{cluster::Ground, fault::Fault, schedule::Schedule, seed, table, verdict::Verdict};

/// Kills and pauses services around every effect they have, and shows what became of it.
#[derive(Parser)]
#[command(name = "evenkeel-fault")]
struct Cli {
    /// Only faults whose name contains this, such as `executor.create`, `paused` or `tekton`.
    #[arg(default_value = "")]
    only: String,
    /// How many random schedules to play as well; each has a seed of its own.
    #[arg(long, default_value_t = 3)]
    schedules: u64,
}

/// What the lines of random schedules begin with.
const SCHEDULE: &str = "random schedule";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let played = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(Cli::parse())));
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was as it must be.
async fn run(cli: Cli) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let seed = seed::chosen()?;
    let chosen = Fault::all().into_iter().filter(|fault| fault.to_string().contains(&cli.only));
    let (pipelines, jobs): (Vec<_>, Vec<_>) = chosen.partition(Fault::needs_tekton);
    let schedules = if SCHEDULE.contains(&cli.only) { cli.schedules } else { 0 };
    let (mut all, mut failed) = (jobs.len() + usize::try_from(schedules)?, 0);
    if all > 0 {
        let ground = Ground::without_pods().await?;
        failed += table::play(&ground, jobs, seed).await?;
        println!();
        for seed in (0..schedules).map(|nth| seed.wrapping_add(nth)) {
            failed += usize::from(!schedule(&ground, seed).await);
        }
        println!();
    }
    let hindrance = Ground::hindrance().filter(|_| !pipelines.is_empty());
    if let Some(why) = &hindrance {
        println!("{} rows with Tekton were left out: {why}", pipelines.len());
    } else if !pipelines.is_empty() {
        all += pipelines.len();
        failed += table::play(&Ground::with_tekton().await?, pipelines, seed).await?;
        println!();
    }
    println!("{} of {all} as they must be, in {:.0} s", all - failed, begun.elapsed().as_secs_f32());
    Ok(failed == 0)
}

/// Plays one random schedule and shows it. Whether all was as it must be.
async fn schedule(ground: &Ground, seed: u64) -> bool {
    let begun = Instant::now();
    let played = Schedule::of(seed).play(ground).await;
    let seconds = begun.elapsed().as_secs_f32();
    let name = format!("{SCHEDULE}, seed {seed}");
    match played {
        Ok(verdicts) if verdicts.iter().all(Verdict::is_good) => {
            println!("{name}: {} executions, all as they must be, {seconds:.1} s", verdicts.len());
            return true;
        }
        Ok(verdicts) => {
            println!("{name}: NOT AS IT MUST BE, {seconds:.1} s");
            for verdict in &verdicts {
                println!("    {verdict}");
            }
        }
        Err(error) => println!("{name}: NOT AS IT MUST BE, {seconds:.1} s\n    {error:#}"),
    }
    println!("    repeat it with {}={seed}", seed::VARIABLE);
    false
}
