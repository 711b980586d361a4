//! `evenkeel up`: all services in one process, on an embedded audit log, against the cluster of the
//! kubeconfig. They speak to each other as they do anywhere else: gRPC over TLS, on loopback ports.

use std::net::SocketAddr;

use clap::Args;
use evenkeel_kit::{shutdown, telemetry, tokens::TokenReviewer};

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

const CONTROLLER: &str = "evenkeel-controller";
#[allow(dead_code)]
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
    /// Address of the audit service; port 0 takes a free one.
    #[arg(long, env = "EVENKEEL_AUDIT_LISTEN", default_value = "127.0.0.1:7403", value_name = "IP:PORT")]
    audit_listen: SocketAddr,
    /// Address of the audit service's health, readiness and metrics.
    #[arg(
        long,
        env = "EVENKEEL_AUDIT_ADMIN_LISTEN",
        default_value = "127.0.0.1:7413",
        value_name = "IP:PORT"
    )]
    audit_admin_listen: SocketAddr,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: UpArgs) -> Result<()> {
    let cluster = Cluster::open(cluster).await?;
    let Cluster { server, context, namespace, .. } = &cluster;
    output::note(&format!("using the cluster at {server} (context {context}), executions in {namespace}"));
    let telemetry = telemetry::init("evenkeel").map_err(failed)?;
    let shutdown =
        shutdown::on_signal().map_err(|error| Error::Up(format!("cannot await signals: {error}")))?;
    let state = State::open(args.state.clone())?;
    let mut parts = Parts::default();
    let served = tokio::select! {
        // Also while starting: a cluster that does not answer must not keep anybody.
        () = shutdown.cancelled() => Ok(()),
        started = start(&cluster, args, &state, &mut parts) => started,
    };
    let served = match served {
        Ok(()) => parts.run(&shutdown).await,
        Err(error) => Err(error),
    };
    let ended = parts.end().await;
    telemetry.shutdown().await;
    served.and(ended)
}

async fn start(cluster: &Cluster, args: UpArgs, state: &State, parts: &mut Parts) -> Result<()> {
    install::install(cluster, &[&cluster.namespace, &args.execution_namespace]).await?;
    let tokens = TokenReviewer::new(cluster.client.clone());

    let config = evenkeel_audit::Config {
        listen: args.audit_listen,
        admin_listen: args.audit_admin_listen,
        data: state.path("audit"),
        signing_key: None,
        origin: evenkeel_audit::config::DEFAULT_ORIGIN.to_owned(),
        allowed_clients: vec![CONTROLLER.to_owned(), CLI.to_owned()],
        security: state.identity(AUDIT)?,
    };
    let audit = evenkeel_audit::App::bind(&config, Some(tokens)).await.map_err(failed)?;
    let (audit_address, audit_admin) = (audit.address(), audit.admin_address());
    let (verifier_key, audit_ready) = (audit.verifier_key(), audit.readiness());
    parts.start("audit", |stop| audit.serve(stop));

    let cli = state.identity(CLI)?;
    let env = state.write_env(&[
        ("EVENKEEL_NAMESPACE", cluster.namespace.clone()),
        ("EVENKEEL_EXECUTION_NAMESPACE", args.execution_namespace),
        ("EVENKEEL_AUDIT", audit_address.to_string()),
        ("EVENKEEL_AUDIT_ADMIN", format!("http://{audit_admin}")),
        ("EVENKEEL_CA", text(cli.ca.as_deref())),
        ("EVENKEEL_CERT", text(cli.cert.as_deref())),
        ("EVENKEEL_KEY", text(cli.key.as_deref())),
        ("EVENKEEL_VERIFIER_KEY", verifier_key),
    ])?;
    audit_ready.ready().await;
    output::print(&format!(
        "audit       {audit_address}  admin http://{audit_admin}\n\
         variables   {}\n\
         ready; end with Ctrl-C\n",
        env.display()
    ))
}

fn failed(error: anyhow::Error) -> Error {
    Error::Up(format!("{error:#}"))
}
