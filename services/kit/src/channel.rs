//! The client side of a gRPC hop: TLS, identity, a deadline and one client span per call.

use std::{
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use http::{HeaderValue, header::AUTHORIZATION};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    body::Body,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tower::Service;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    config::Security,
    tls,
    trace::{inject, is_plumbing, method_of, record_code},
};

/// Deadline of a call that names none: ten seconds, in the notation of gRPC over HTTP/2.
const DEFAULT_DEADLINE_HEADER: HeaderValue = HeaderValue::from_static("10S");
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Kubernetes rotates projected tokens well before they expire, so a minute old is fresh enough.
const TOKEN_FRESH: Duration = Duration::from_secs(60);

/// A connection that the generated clients can use; cheap to clone. It connects when first used
/// and again whenever it is lost, so services may start in any order.
#[derive(Clone)]
pub struct Connection {
    channel: Channel,
    token: Option<Arc<Token>>,
    address: Arc<str>,
}

/// Prepares a connection to `host:port`.
pub fn connect(address: &str, security: &Security) -> anyhow::Result<Connection> {
    let material = tls::load(security)?;
    let scheme = if material.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .with_context(|| format!("'{address}' is not host:port"))?
        .connect_timeout(CONNECT_LIMIT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true);
    if let Some(material) = material {
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(material.ca));
        if let Some(pair) = material.pair {
            config = config.identity(Identity::from_pem(pair.cert, pair.key));
        }
        endpoint = endpoint.tls_config(config).context("set up TLS")?;
    } else {
        let host = endpoint.uri().host().unwrap_or_default().trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        ensure!(loopback, "refusing plaintext to {address}: it is not loopback");
    }
    let token = match (&security.token, &security.token_file) {
        (Some(token), _) => Some(Token::Fixed(token.clone())),
        (None, Some(path)) => Some(Token::File { path: path.clone(), read: Mutex::new(None) }),
        (None, None) => None,
    };
    Ok(Connection { channel: endpoint.connect_lazy(), token: token.map(Arc::new), address: address.into() })
}

enum Token {
    Fixed(SecretString),
    File { path: PathBuf, read: Mutex<Option<(Instant, SecretString)>> },
}

impl Token {
    fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.current()?.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn current(&self) -> Option<SecretString> {
        let (path, read) = match self {
            Self::Fixed(token) => return Some(token.clone()),
            Self::File { path, read } => (path, read),
        };
        let mut cached = read.lock();
        if let Some((since, token)) = &*cached
            && since.elapsed() < TOKEN_FRESH
        {
            return Some(token.clone());
        }
        match std::fs::read_to_string(path) {
            Ok(text) => *cached = Some((Instant::now(), SecretString::from(text.trim()))),
            Err(error) => tracing::warn!(path = %path.display(), "could not read the token: {error}"),
        }
        cached.as_ref().map(|(_, token)| token.clone())
    }
}

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(header) = self.token.as_ref().and_then(|token| token.header()) {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        // Bounds the wait for the response's headers, so a stream may go on for ever.
        request.headers_mut().entry("grpc-timeout").or_insert(DEFAULT_DEADLINE_HEADER);
        if is_plumbing(request.uri().path()) {
            return Box::pin(self.channel.call(request));
        }
        let span = client_span(request.uri().path(), &self.address);
        inject(&span, request.headers_mut());
        let call = span.in_scope(|| self.channel.call(request));
        Box::pin(
            async move {
                let response = call.await;
                match &response {
                    Ok(response) => record_code(&Span::current(), response.headers()),
                    Err(_) => _ = Span::current().record("otel.status_code", "ERROR"),
                }
                response
            }
            .instrument(span),
        )
    }
}

fn client_span(path: &str, address: &str) -> Span {
    let (service, method) = method_of(path);
    tracing::info_span!(
        "rpc",
        otel.name = format!("{service}/{method}"),
        otel.kind = "client",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        server.address = address,
        rpc.grpc.status_code = Empty,
        otel.status_code = Empty,
    )
}
