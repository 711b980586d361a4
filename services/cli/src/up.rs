//! `evenkeel up`: all services in one process.

use clap::Args;

use crate::{cluster::ClusterArgs, error::Result};

/// Settings.
#[derive(Args, Debug)]
pub struct UpArgs {}

/// Runs the command.
#[allow(clippy::unused_async)]
pub async fn run(_cluster: &ClusterArgs, _args: UpArgs) -> Result<()> {
    Ok(())
}
