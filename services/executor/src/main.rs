//! `evenkeel-executor`: the only service that may launch runs.

use clap::Parser as _;
use evenkeel_executor::Config;
use evenkeel_kit::{kubernetes, shutdown, telemetry, tls};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tls::install_provider();
    let config = Config::parse();
    let telemetry = telemetry::init("executor")?;
    let client = kubernetes::client().await?;
    let served = evenkeel_executor::run(&config, client, shutdown::on_signal()?).await;
    telemetry.shutdown().await;
    served
}
