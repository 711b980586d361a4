//! `evenkeel-audit`: appends, keeps and proves the audit log.

use clap::Parser as _;
use evenkeel_audit::Config;
use evenkeel_kit::{shutdown, telemetry, tls};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tls::install_provider();
    let config = Config::parse();
    let telemetry = telemetry::init("audit")?;
    let served = evenkeel_audit::run(&config, None, shutdown::on_signal()?).await;
    telemetry.shutdown().await;
    served
}
