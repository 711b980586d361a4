//! `evenkeel up`: all services in one process, on an embedded audit log, against the cluster of the
//! kubeconfig. They speak to each other as they do anywhere else: gRPC over TLS, on loopback ports.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser};
use evenkeel_kit::{readiness::Readiness, shutdown, telemetry, tokens::TokenReviewer};

use crate::{
    cluster::{Cluster, ClusterArgs},
    error::{Error, Result},
    output,
};

mod install;
mod parts;
mod state;

use parts::Parts;
use state::{State, text};

/// How long to wait in silence for a service to become ready.
const PATIENCE: Duration = Duration::from_secs(10);
const CONTROLLER: &str = "evenkeel-controller";
const EXECUTOR: &str = "evenkeel-executor";
const AUDIT: &str = "evenkeel-audit";
const CLI: &str = "evenkeel-cli";

/// Settings.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Namespace in which workflows run.
    #[arg(long, env = "EVENKEEL_EXECUTION_NAMESPACE", default_value = "kubernaut-workflows")]
    execution_namespace: String,
    /// Directory for certificates and the audit log, instead of $XDG_STATE_HOME/evenkeel/up.
    #[arg(long, value_name = "DIR")]
    state: Option<std::path::PathBuf>,
    /// Take free ports, instead of the usual ones or those of the environment.
    #[arg(long)]
    free_ports: bool,
}

/// Settings of a service that its own variables give, as they would give them to its own process.
#[derive(Parser)]
struct Environment<C: Args> {
    #[command(flatten)]
    config: C,
}

/// What runs, for people and for the env file.
#[derive(Default)]
struct Running {
    audit: String,
    audit_admin: String,
    verifier_key: String,
    executor: String,
    executor_admin: String,
    controller_admin: String,
    readiness: Vec<(&'static str, Readiness)>,
}

/// Runs the command.
pub async fn run(cluster_args: &ClusterArgs, args: UpArgs) -> Result<()> {
    let cluster = Cluster::open(cluster_args).await?;
    let Cluster { server, context, namespace, .. } = &cluster;
    output::note(&format!(
        "using the cluster at {server} (context {context}), executions in {namespace}, runs in {}",
        args.execution_namespace
    ));
    let telemetry = telemetry::init("evenkeel").map_err(failed)?;
    let shutdown =
        shutdown::on_signal().map_err(|error| Error::Up(format!("cannot await signals: {error}")))?;
    let state = State::open(args.state.clone())?;
    let mut parts = Parts::default();
    let started = tokio::select! {
        // Also while starting: a cluster that does not answer must not keep anybody.
        () = shutdown.cancelled() => Ok(Running::default()),
        started = start(&cluster, &args, &state, &mut parts) => started,
    };
    let served = match started {
        Ok(running) => {
            let announce = announce(&running, &state, cluster_args, &args.execution_namespace);
            tokio::select! {
                ended = parts.run(&shutdown) => ended,
                Err(error) = announce => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    let ended = parts.end().await;
    telemetry.shutdown().await;
    served.and(ended)
}

/// Starts the services in the order in which they need each other.
async fn start(cluster: &Cluster, args: &UpArgs, state: &State, parts: &mut Parts) -> Result<Running> {
    install::install(cluster, &[&cluster.namespace, &args.execution_namespace]).await?;
    let mut running = Running::default();

    let mut config: evenkeel_audit::Config = environment(&["--data", &text(Some(&state.path("audit")))])?;
    config.allowed_clients = vec![CONTROLLER.to_owned(), CLI.to_owned()];
    config.security = state.identity(AUDIT)?;
    args.place([&mut config.listen, &mut config.admin_listen]);
    let tokens = TokenReviewer::new(cluster.client.clone());
    let audit = evenkeel_audit::App::bind(&config, Some(tokens)).await.map_err(failed)?;
    running.audit = reachable(audit.address());
    running.audit_admin = reachable(audit.admin_address());
    running.verifier_key = audit.verifier_key();
    running.readiness.push(("audit", audit.readiness()));
    parts.start("audit", |stop| audit.serve(stop));

    let mut config: evenkeel_executor::Config = environment(&[])?;
    config.namespace.clone_from(&args.execution_namespace);
    config.allowed_clients = vec![CONTROLLER.to_owned(), CLI.to_owned()];
    config.security = state.identity(EXECUTOR)?;
    args.place([&mut config.listen, &mut config.admin_listen]);
    let executor = evenkeel_executor::App::bind(&config, cluster.client.clone()).await.map_err(failed)?;
    running.executor = reachable(executor.address());
    running.executor_admin = reachable(executor.admin_address().map_err(failed)?);
    running.readiness.push(("executor", executor.readiness()));
    parts.start("executor", |stop| executor.serve(stop));

    let mut config: evenkeel_controller::Config = environment(&[])?;
    config.namespace.clone_from(&cluster.namespace);
    config.executors = vec![running.executor.clone()];
    config.audit = Some(running.audit.clone());
    config.security = state.identity(CONTROLLER)?;
    args.place([&mut config.admin_listen]);
    let controller = evenkeel_controller::App::bind(&config, cluster.client.clone()).await.map_err(failed)?;
    running.controller_admin = reachable(controller.admin_address());
    running.readiness.push(("controller", controller.readiness()));
    parts.start("controller", |stop| controller.serve(stop));
    Ok(running)
}

/// Says where everything is, and when it works. Does not end unless that fails.
async fn announce(running: &Running, state: &State, cluster: &ClusterArgs, runs: &str) -> Result<()> {
    let cli = state.identity(CLI)?;
    let mut variables = vec![
        ("EVENKEEL_NAMESPACE", cluster.namespace.clone()),
        ("EVENKEEL_EXECUTION_NAMESPACE", runs.to_owned()),
        ("EVENKEEL_EXECUTOR", running.executor.clone()),
        ("EVENKEEL_AUDIT", running.audit.clone()),
        ("EVENKEEL_CONTROLLER_ADMIN", format!("http://{}", running.controller_admin)),
        ("EVENKEEL_EXECUTOR_ADMIN", format!("http://{}", running.executor_admin)),
        ("EVENKEEL_AUDIT_ADMIN", format!("http://{}", running.audit_admin)),
        ("EVENKEEL_CA", text(cli.ca.as_deref())),
        ("EVENKEEL_CERT", text(cli.cert.as_deref())),
        ("EVENKEEL_KEY", text(cli.key.as_deref())),
        ("EVENKEEL_VERIFIER_KEY", running.verifier_key.clone()),
    ];
    if let Some(path) = cluster.kubeconfig.as_ref().and_then(|path| path.canonicalize().ok()) {
        variables.push(("KUBECONFIG", text(Some(&path))));
    }
    let env = state.write_env(&variables)?;
    output::print(&format!(
        "controller                       admin http://{}\n\
         executor    {:<20} admin http://{}\n\
         audit       {:<20} admin http://{}\n\
         variables   . {}\n",
        running.controller_admin,
        running.executor,
        running.executor_admin,
        running.audit,
        running.audit_admin,
        env.display()
    ))?;
    all_ready(&running.readiness).await;
    output::print("ready; end with Ctrl-C\n")?;
    std::future::pending().await
}

/// Waits until every service can work, and says now and then what is missing.
async fn all_ready(readiness: &[(&'static str, Readiness)]) {
    for (name, readiness) in readiness {
        while tokio::time::timeout(PATIENCE, readiness.ready()).await.is_err() {
            output::note(&format!("the {name} is not ready yet: {}", readiness.missing().join(", ")));
        }
    }
}

impl UpArgs {
    /// Makes addresses ask for free ports, if that is wanted.
    fn place<const N: usize>(&self, addresses: [&mut SocketAddr; N]) {
        for address in addresses.into_iter().filter(|_| self.free_ports) {
            address.set_port(0);
        }
    }
}

fn environment<C: Args>(arguments: &[&str]) -> Result<C> {
    let line = std::iter::once(&"evenkeel up").chain(arguments);
    Environment::try_parse_from(line).map(|parsed| parsed.config).map_err(|error| {
        let text = error.to_string();
        Error::Usage(text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
    })
}

/// Where this machine finds what listens at an address.
fn reachable(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => format!("127.0.0.1:{}", address.port()),
        _ => address.to_string(),
    }
}

fn failed(error: anyhow::Error) -> Error {
    Error::Up(format!("{error:#}"))
}
