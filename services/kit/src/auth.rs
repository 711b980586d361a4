//! Who calls: a client certificate or a Kubernetes ServiceAccount token. Health and reflection
//! aside, nothing is anonymous, and whatever cannot be established is refused.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::{Layer, Service};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    rpc::{self, Class, Coded},
    tokens::TokenReviewer,
    trace::is_plumbing,
};

/// An authenticated caller, found in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Common name of the certificate, or user name of the token.
    pub name: String,
}

/// Whom a server lets in.
#[derive(Clone, Default)]
pub struct Policy {
    /// Common names of client certificates that may call everything.
    pub allowed_clients: Vec<String>,
    /// Checks bearer tokens; none when tokens are not accepted.
    pub tokens: Option<TokenReviewer>,
    /// Whether the server listens in plaintext on loopback, where no certificate can be asked for.
    pub plaintext: bool,
}

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Neither a certificate nor a token came with the call.
    #[error("no client certificate and no bearer token: present one of them")]
    NoCredentials,
    /// The certificate is good, but nobody told this service to trust its name.
    #[error("client certificate '{0}' is not among the allowed clients of this service")]
    UnknownClient(String),
    /// Tokens are not accepted here.
    #[error("this service accepts client certificates only")]
    TokensNotAccepted,
    /// The API server does not know the token.
    #[error("the bearer token is not valid or has expired; get a new one")]
    InvalidToken,
    /// The API server knows the user, and does not allow the call.
    #[error("user '{user}' may not post to {path}: grant it that nonResourceURL")]
    NotAllowed {
        /// Who asked.
        user: String,
        /// gRPC path that was asked for.
        path: String,
    },
    /// The API server could not be asked, so nobody is let in.
    #[error("the token could not be checked now; try again")]
    ReviewUnavailable,
}

impl Coded for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::NoCredentials | Self::TokensNotAccepted | Self::InvalidToken => Class::Unauthenticated,
            Self::UnknownClient(_) | Self::NotAllowed { .. } => Class::Denied,
            Self::ReviewUnavailable => Class::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoCredentials => "NO_CREDENTIALS",
            Self::UnknownClient(_) => "UNKNOWN_CLIENT",
            Self::TokensNotAccepted => "TOKENS_NOT_ACCEPTED",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::NotAllowed { .. } => "NOT_ALLOWED",
            Self::ReviewUnavailable => "REVIEW_UNAVAILABLE",
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::NotAllowed { user, path } => {
                [("user".to_owned(), user.clone()), ("path".to_owned(), path.clone())].into()
            }
            Self::UnknownClient(name) => [("client".to_owned(), name.clone())].into(),
            _ => HashMap::new(),
        }
    }
}

impl Policy {
    /// Establishes who calls `path`. A bearer token wins over a certificate, so that a client
    /// which must present some certificate can still act as somebody else. Where tokens are not
    /// accepted, one that comes along with a certificate is left alone.
    async fn authenticate(&self, credentials: Credentials, path: &str) -> Result<Caller, Refusal> {
        if let (Some(token), Some(reviewer)) = (&credentials.token, &self.tokens) {
            return reviewer.review(token, path).await.map(|name| Caller { name });
        }
        match (credentials.token, credentials.common_name) {
            (Some(_), None) => Err(Refusal::TokensNotAccepted),
            (_, Some(name)) if self.allowed_clients.contains(&name) => Ok(Caller { name }),
            (_, Some(name)) => Err(Refusal::UnknownClient(name)),
            (None, None) if self.plaintext => Ok(Caller { name: "loopback".to_owned() }),
            (None, None) => Err(Refusal::NoCredentials),
        }
    }
}

/// What a request brings along.
struct Credentials {
    token: Option<String>,
    common_name: Option<String>,
}

impl Credentials {
    fn of<B>(request: &http::Request<B>) -> Self {
        let token = request
            .headers()
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
            .map(|token| token.trim().to_owned());
        let common_name = request
            .extensions()
            .get::<TlsConnectInfo<TcpConnectInfo>>()
            .and_then(TlsConnectInfo::peer_certs)
            .and_then(|certs| certs.first().and_then(|cert| common_name(cert)));
        Self { token, common_name }
    }
}

fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

/// Lets in whom the policy allows.
#[derive(Clone)]
pub struct AuthLayer {
    service: &'static str,
    policy: Arc<Policy>,
}

impl AuthLayer {
    /// Refusals name `service` as their domain.
    pub fn new(service: &'static str, policy: Policy) -> Self {
        Self { service, policy: Arc::new(policy) }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        AuthService { inner, layer: self.clone() }
    }
}

/// See [`AuthLayer`].
#[derive(Clone)]
pub struct AuthService<S> {
    inner: S,
    layer: AuthLayer,
}

impl<S, B, R> Service<http::Request<B>> for AuthService<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        // The instance that was polled ready must be the one that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        if is_plumbing(request.uri().path()) {
            return Box::pin(inner.call(request));
        }
        let AuthLayer { service, policy } = self.layer.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            match policy.authenticate(Credentials::of(&request), &path).await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(refusal) => {
                    tracing::info!(path, reason = refusal.reason(), "call refused");
                    Ok(rpc::status(service, &refusal).into_http())
                }
            }
        })
    }
}
