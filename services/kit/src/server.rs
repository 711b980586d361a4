//! A gRPC server with identity, tracing, health, reflection and an orderly end.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::net::TcpListener;
use tonic::{
    server::NamedService,
    service::Routes,
    transport::{Certificate, Identity, ServerTlsConfig, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    auth::{AuthLayer, Policy},
    readiness::Readiness,
    reason::ReasonLayer,
    shutdown::CancellationToken,
    tls::Material,
    trace::TraceLayer,
};

const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long calls under way may take at shutdown. Streams that somebody keeps open never end by
/// themselves.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// A bound, not yet serving gRPC server.
pub struct Server {
    name: &'static str,
    incoming: TcpIncoming,
    address: SocketAddr,
    tls: Option<ServerTlsConfig>,
    policy: Policy,
}

impl Server {
    /// Binds `address`. Without `material` the server speaks plaintext, which is refused for any
    /// address but loopback.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        material: Option<Material>,
        policy: Policy,
    ) -> anyhow::Result<Self> {
        let tls = if let Some(material) = material {
            let pair = material.pair.context("a server needs EVENKEEL_CERT and EVENKEEL_KEY")?;
            Some(
                ServerTlsConfig::new()
                    .identity(Identity::from_pem(pair.cert, pair.key))
                    .client_ca_root(Certificate::from_pem(material.ca))
                    // A client may do with a token; who brings neither is refused by the policy.
                    .client_auth_optional(true),
            )
        } else {
            ensure!(address.ip().is_loopback(), "refusing plaintext on {address}: it is not loopback");
            None
        };
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let policy = Policy { plaintext: tls.is_none(), ..policy };
        Ok(Self { name, incoming, address, tls, policy })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `service` with health and reflection until shutdown, then drains.
    pub async fn serve<S>(
        self,
        service: S,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()>
    where
        S: tower::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let (reporter, health) = tonic_health::server::health_reporter();
        // tonic-health says SERVING from the start, which is not known yet.
        report(&reporter, S::NAME, false).await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(evenkeel_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that generic clients can show what an error carries.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(S::NAME)
            .with_service_name("grpc.health.v1.Health")
            .build_v1()
            .context("build reflection")?;
        let routes = Routes::new(service).add_service(health).add_service(reflection);
        let mut server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_adaptive_window(Some(true));
        if let Some(tls) = self.tls {
            server = server.tls_config(tls).context("set up TLS")?;
        }
        let follow = tokio::spawn(follow(reporter, S::NAME, readiness, shutdown.clone()));
        tracing::info!(service = self.name, address = %self.address, "serving");
        let served = server
            .layer(TraceLayer)
            .layer(AuthLayer::new(self.name, self.policy))
            .layer(ReasonLayer::new(self.name))
            .add_routes(routes)
            .serve_with_incoming_shutdown(self.incoming, shutdown.clone().cancelled_owned());
        let drained = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_LIMIT).await;
        };
        let served = tokio::select! {
            served = served => served,
            () = drained => Ok(()),
        };
        follow.abort();
        served.with_context(|| format!("serve {}", self.name))
    }
}

/// Keeps gRPC health equal to readiness, and NOT_SERVING as soon as shutdown begins.
async fn follow(
    reporter: HealthReporter,
    name: &'static str,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let mut changes = readiness.subscribe();
    loop {
        let ready = changes.borrow_and_update().is_ready();
        report(&reporter, name, ready).await;
        tokio::select! {
            () = shutdown.cancelled() => return report(&reporter, name, false).await,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

async fn report(reporter: &HealthReporter, name: &str, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status(name, status).await;
    reporter.set_service_status("", status).await;
}
