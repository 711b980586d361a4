//! The command line of Evenkeel: `evenkeel`, also `kubectl evenkeel`.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

pub mod args;
pub mod audit;
pub mod cancel;
pub mod clear;
pub mod cluster;
pub mod describe;
pub mod error;
pub mod execution;
pub mod get;
pub mod output;
pub mod progress;
pub mod run;
pub mod up;
pub mod watch;
pub mod why;

use args::{Cli, Command};
use error::{Error, Result};

/// Reads the command line, runs the command, and says in one line what went wrong.
pub fn main() -> ExitCode {
    evenkeel_kit::tls::install_provider();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Error::Up(format!("cannot start: {error}"))),
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

async fn dispatch(cli: Cli) -> Result<()> {
    let cluster = cli.cluster;
    match cli.command {
        Command::Get(args) => get::run(&cluster, args).await,
        Command::Describe(args) => describe::run(&cluster, args).await,
        Command::Why(args) => why::run(&cluster, args).await,
        Command::Watch(args) => watch::run(&cluster, args).await,
        Command::Clear(args) => clear::run(&cluster, args).await,
        Command::Cancel(args) => cancel::run(&cluster, args).await,
        Command::Run(args) => run::run(&cluster, *args).await,
        Command::Audit(args) => audit::run(&cluster, args).await,
        Command::Up(args) => up::run(&cluster, *args).await,
        Command::Completion { shell } => completion(shell),
        Command::Version => output::print(concat!("evenkeel ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

/// Completes the name that the program was called by.
fn completion(shell: clap_complete::Shell) -> Result<()> {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or("evenkeel");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), name, &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

fn report(error: &Error) -> ExitCode {
    if !matches!(error, Error::OutputClosed) {
        output::error(&error.to_string());
    }
    ExitCode::from(error.exit_code())
}
