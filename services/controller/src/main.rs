//! `evenkeel-controller`: drives WorkflowExecutions to their end.

use evenkeel_api::definitions;
use evenkeel_controller::{
    App,
    config::{Arguments, Command, Loaded},
};
use evenkeel_kit::{kubernetes, settings::Error, shutdown, telemetry, tls};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tls::install_provider();
    let Loaded { settings, source } = match Arguments::load(std::env::args_os()) {
        Err(Error::Usage(usage)) => usage.exit(),
        loaded => loaded?,
    };
    if let Some(Command::Crd { name }) = settings.arguments.command {
        let wanted = |given: &str| name.as_deref().is_none_or(|name| name == given);
        for definition in definitions::all().iter().filter(|it| wanted(definitions::name(it))) {
            print!("{}", definitions::yaml(definition));
        }
        return Ok(());
    }
    if settings.arguments.print_config {
        print!("{}", settings.print());
        return Ok(());
    }
    let telemetry = telemetry::init("controller")?;
    settings.notes.iter().for_each(|note| tracing::info!("{note}"));
    let client = kubernetes::client().await?;
    let app = App::bind(&settings.arguments.config, client).await?.following(source, settings);
    let served = app.serve(shutdown::on_signal()?).await;
    telemetry.shutdown().await;
    served
}
