//! `evenkeel-controller`: drives WorkflowExecutions to their end.

use clap::Parser as _;
use evenkeel_api::definitions;
use evenkeel_controller::config::{Arguments, Command};
use evenkeel_kit::{shutdown, telemetry, tls};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tls::install_provider();
    let arguments = Arguments::parse();
    if let Some(Command::Crd) = arguments.command {
        for definition in definitions::all() {
            print!("{}", definitions::yaml(&definition));
        }
        return Ok(());
    }
    let telemetry = telemetry::init("controller")?;
    let client = kube::Client::try_default().await?;
    let served = evenkeel_controller::run(&arguments.config, client, shutdown::on_signal()?).await;
    telemetry.shutdown().await;
    served
}
