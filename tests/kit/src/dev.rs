//! The commands behind `make up`, `down`, `restart`, `status` and `demo`.

use std::{process::ExitCode, time::Instant};

use clap::{Parser, Subcommand};

mod audit;
mod demo;
mod env_file;
mod findings;
mod pipeline;
mod pod_logs;
mod render;
mod scene;
mod status;
mod up;

use crate::{place::Repository, service::Service};

/// Everything on one machine: a real Kubernetes, the services as processes, a Jaeger.
#[derive(Parser)]
#[command(name = "evenkeel-dev", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything and leave it running. Starts again only what is missing or has changed.
    Up {
        /// Only the cluster that tests share.
        #[arg(long)]
        tests: bool,
        /// Tekton and an image registry too, which needs root as pods do.
        #[arg(long, conflicts_with = "tests")]
        tekton: bool,
    },
    /// End everything, also what tests left behind, and remove all of it.
    Down {
        /// Only the cluster that tests share.
        #[arg(long)]
        tests: bool,
    },
    /// Stop one service and start it again at the same address.
    Restart {
        /// The service.
        service: Service,
    },
    /// Show what runs. Fails unless all of it does.
    Status,
    /// Show one story from executions to proofs, and check that all of it is true.
    Demo {
        /// With a pipeline on Tekton, which needs root as pods do.
        #[arg(long)]
        tekton: bool,
    },
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let begun = Instant::now();
    match run(Cli::parse().command, begun) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, begun: Instant) -> anyhow::Result<ExitCode> {
    let repository = Repository::find()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Up { tests: true, .. } => up::up_tests(&repository).await?,
            Command::Up { tests: false, tekton } => {
                let up = up::up(&repository, tekton).await?;
                print!("{}", render::welcome(&up, begun.elapsed()));
            }
            Command::Down { tests } => up::down(&repository, tests)?,
            Command::Restart { service } => up::restart(&repository, service).await?,
            Command::Status => return status::show(&repository).await,
            Command::Demo { tekton } => return Box::pin(demo::run(&repository, tekton, begun)).await,
        }
        Ok(ExitCode::SUCCESS)
    })
}
