//! Puts the service together.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use evenkeel_kit::{
    admin, auth::Policy, readiness::Readiness, server::Server, shutdown::CancellationToken, tls,
    tokens::TokenReviewer,
};
use evenkeel_proto::audit::v1::audit_service_server::AuditServiceServer;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::DropGuard;

use crate::{append::WriterState, config::Config, log::Log, metrics::Metrics, service::Service};

/// What has to hold before the service is ready.
const LOG: &str = "log";
/// Largest request: a thousand events of common size, or a hundred of the largest.
const LARGEST_REQUEST: usize = 32 * 1024 * 1024;

/// A service that has its ports and a verified log, and does not serve yet.
pub struct App {
    server: Server,
    log: Log,
    readiness: Readiness,
    admin: Admin,
}

struct Admin {
    address: SocketAddr,
    task: JoinHandle<anyhow::Result<()>>,
    stop: DropGuard,
}

impl App {
    /// Binds the ports and opens the log. Bearer tokens are accepted if `tokens` can review them.
    pub async fn bind(config: &Config, tokens: Option<TokenReviewer>) -> anyhow::Result<Self> {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let readiness = Readiness::new(&[LOG]);
        // Alive from now on, although verifying a long log takes a while.
        let admin = start_admin(config.admin_listen, registry, readiness.clone()).await?;
        let policy = Policy { allowed_clients: config.allowed_clients.clone(), tokens, ..Policy::default() };
        let material = tls::load(&config.security)?;
        let server = Server::bind("audit", config.listen, material, policy).await?;
        let options = config.log();
        let log = tokio::task::spawn_blocking(move || Log::open(&options, metrics))
            .await
            .context("open the log")??;
        tracing::info!(
            address = %server.address(),
            admin = %admin.address,
            verifier_key = %log.verifier_key(),
            size = log.opened_size(),
            "the log verifies"
        );
        Ok(Self { server, log, readiness, admin })
    }

    /// Address of the gRPC service.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Address of health, readiness and metrics.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// The key that verifies the log.
    pub fn verifier_key(&self) -> String {
        self.log.verifier_key().to_string()
    }

    /// Whether the service can do its work.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until shutdown; then takes no more requests, writes what is waiting, and returns.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { server, log, readiness, admin } = self;
        let follow = tokio::spawn(follow(log.appender().state(), readiness.clone()));
        let service = AuditServiceServer::new(Service::new(&log)).max_decoding_message_size(LARGEST_REQUEST);
        let served = server.serve(service, readiness, shutdown).await;
        follow.abort();
        tokio::task::spawn_blocking(|| log.close()).await.context("close the log")?;
        drop(admin.stop);
        admin.task.await.context("end the admin port")??;
        served
    }
}

/// Binds and serves until shutdown.
pub async fn run(
    config: &Config,
    tokens: Option<TokenReviewer>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    App::bind(config, tokens).await?.serve(shutdown).await
}

async fn start_admin(address: SocketAddr, registry: Registry, readiness: Readiness) -> anyhow::Result<Admin> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(admin::serve(listener, Arc::new(registry), readiness, stop.clone()));
    Ok(Admin { address, task, stop: stop.drop_guard() })
}

/// Ready while the writer runs.
async fn follow(mut state: watch::Receiver<WriterState>, readiness: Readiness) {
    loop {
        readiness.set(LOG, *state.borrow_and_update() == WriterState::Running);
        if state.changed().await.is_err() {
            return;
        }
    }
}
