//! `evenkeel-soak`: many executions for a long time, while services are killed and paused.

use std::process::ExitCode;

use clap::Parser;
use evenkeel_test_fault::{seed, soak};

/// Runs many executions on real pods while services are killed and paused at random moments.
#[derive(Parser)]
#[command(name = "evenkeel-soak")]
struct Cli {
    /// For how many minutes executions are applied.
    #[arg(env = "EVENKEEL_SOAK_MINUTES", default_value_t = 10)]
    minutes: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let soaked = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(async { soak::run(cli.minutes, seed::chosen()?).await }));
    match soaked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
