//! Puts the service together.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use evenkeel_kit::{
    admin, auth::Policy, readiness::Readiness, server::Server, shutdown::CancellationToken, tls,
    tokens::TokenReviewer,
};
use evenkeel_proto::execution::v1::execution_service_server::ExecutionServiceServer;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    config::Config, engine::Engines, job::JobEngine, lease::Leases, metrics::Metrics, runs::Runs,
    service::Service, start::Starter, tekton::TektonEngine,
};

/// What has to hold before the service is ready.
const WATCHES: &str = "watches";

/// A service that has its ports and does not serve yet.
pub struct App {
    server: Server,
    admin: TcpListener,
    registry: Arc<Registry>,
    readiness: Readiness,
    engines: Engines,
    runs: Runs,
    service: Service,
}

impl App {
    /// Binds the ports. Callers may present a certificate, or a token that the API server reviews.
    pub async fn bind(config: &Config, client: Client) -> anyhow::Result<Self> {
        let policy = Policy {
            allowed_clients: config.allowed_clients.clone(),
            tokens: Some(TokenReviewer::new(client.clone())),
            ..Policy::default()
        };
        let server = Server::bind("executor", config.listen, tls::load(&config.security)?, policy).await?;
        let admin = TcpListener::bind(config.admin_listen)
            .await
            .with_context(|| format!("listen on {}", config.admin_listen))?;
        let engines = engines(config, &client);
        let runs = Runs::new(uuid::Uuid::new_v4().to_string(), engines.iter().map(|engine| engine.name()));
        let mut registry = Registry::default();
        let service = Service {
            starter: Starter {
                leases: Leases::new(client, &config.namespace),
                engines: engines.clone(),
                start_timeout: config.start_timeout,
            },
            runs: runs.clone(),
            default_timeout: config.default_timeout,
            metrics: Metrics::new(&mut registry, runs.clone()),
            ending: CancellationToken::new(),
        };
        let readiness = Readiness::new(&[WATCHES]);
        Ok(Self { server, admin, registry: Arc::new(registry), readiness, engines, runs, service })
    }

    /// Address of the gRPC service.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Address of the admin port.
    pub fn admin_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.admin.local_addr()?)
    }

    /// Whether the service can do its work.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until shutdown.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(admin::serve(self.admin, self.registry, self.readiness.clone(), shutdown.clone()));
        for engine in self.engines.iter().cloned() {
            let (runs, shutdown) = (self.runs.clone(), shutdown.clone());
            tasks.spawn(async move {
                engine.follow(runs, shutdown).await;
                Ok(())
            });
        }
        let (ending, begin) = (self.service.ending.clone(), shutdown.clone().cancelled_owned());
        tasks.spawn(async move {
            begin.await;
            ending.cancel();
            Ok(())
        });
        let (runs, readiness) = (self.runs.clone(), self.readiness.clone());
        tasks.spawn(async move {
            runs.synced().await;
            readiness.set(WATCHES, true);
            Ok(())
        });
        let served =
            self.server.serve(ExecutionServiceServer::new(self.service), self.readiness, shutdown).await;
        tasks.shutdown().await;
        served
    }
}

fn engines(config: &Config, client: &Client) -> Engines {
    let job = JobEngine::new(client.clone(), &config.namespace, config.hardening);
    let tekton = TektonEngine::new(client.clone(), &config.namespace, config.tekton_run_as_non_root);
    Engines::new(vec![Arc::new(job), Arc::new(tekton)])
}

/// Binds and serves until shutdown.
pub async fn run(config: &Config, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    App::bind(config, client).await?.serve(shutdown).await
}
