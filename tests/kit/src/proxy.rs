//! A proxy between one service and the API server, which a test tells what to do to what passes:
//! refuse it, lose its answer, keep it waiting, or break what a watch says. The service keeps its
//! own identity, for its token passes through.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use kube::{Client, client::Body, config::AuthInfo};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use crate::{environment, identity};

mod asked;
mod events;
mod rules;

pub use asked::Asked;
use rules::Rules;
pub use rules::{Fault, Fired, Gate, Rule};

/// Stands before the API server until it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What all connections work with.
struct Shared {
    client: Client,
    rules: Rules,
    asked: Mutex<Vec<(Asked, u16)>>,
}

/// The body of an answer.
type Answer = UnsyncBoxBody<Bytes, Broken>;

/// The connection breaks here.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was broken on purpose")
    }
}

impl std::error::Error for Broken {}

impl Proxy {
    /// Stands before the API server of a kubeconfig, which leads to the proxy from now on.
    pub(crate) async fn before(kubeconfig: &Path) -> anyhow::Result<Self> {
        let client = environment::connect(kubeconfig, |config| {
            config.auth_info = AuthInfo::default();
            // What the API server answers is the service's business.
            config.default_retry = false;
        })
        .await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen")?;
        lead_to(listener.local_addr()?, kubeconfig)?;
        let shared = Arc::new(Shared { client, rules: Rules::default(), asked: Mutex::default() });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { shared, task })
    }

    /// Does this from now on. Of several rules that are about one request, the first one counts.
    pub fn add(&self, rule: Rule) -> Fired {
        self.shared.rules.add(rule)
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.shared.rules.clear();
    }

    /// What decides on rules that apply by chance.
    pub fn seed(&self, seed: u64) {
        self.shared.rules.seed(seed);
    }

    /// What was asked so far and how it was answered; 0 where the connection broke.
    pub fn asked(&self) -> Vec<(Asked, u16)> {
        self.shared.asked.lock().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Has the kubeconfig of a service name this address, and keep its user.
fn lead_to(address: SocketAddr, kubeconfig: &Path) -> anyhow::Result<()> {
    let mut config: Value = serde_json::from_slice(&fs::read(kubeconfig)?)?;
    let cluster = config.pointer_mut("/clusters/0/cluster").context("a kubeconfig has a cluster")?;
    *cluster = json!({"server": format!("http://{address}")});
    identity::private(kubeconfig, &config.to_string())
}

/// Serves connections; all end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // An answer is written in several parts, and each is waited for.
        let _ = stream.set_nodelay(true);
        let front = TowerToHyperService::new(Front(shared.clone()));
        connections.spawn(async move {
            let server = Builder::new(TokioExecutor::new()).http1_only();
            // A connection that broke on purpose is no error.
            let _ = server.serve_connection(TokioIo::new(stream), front).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What a connection is served by.
#[derive(Clone)]
struct Front(Arc<Shared>);

impl<B> tower::Service<Request<B>> for Front
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    type Response = Response<Answer>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Response<Answer>, Broken>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Broken>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
            let asked = Asked::of(&head);
            let answer = shared.clone().pass(&asked, Request::from_parts(head, body)).await;
            let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
            shared.asked.lock().push((asked, code));
            answer
        })
    }
}

impl Shared {
    async fn pass(
        self: Arc<Self>,
        asked: &Asked,
        request: Request<Bytes>,
    ) -> Result<Response<Answer>, Broken> {
        match self.rules.take(asked, false) {
            Some(Fault::Answer(code)) => return Ok(refusal(code, None)),
            Some(Fault::Later(code, after)) => return Ok(refusal(code, Some(after))),
            Some(Fault::LoseRequest) => return Err(Broken),
            Some(Fault::LoseAnswer) => {
                self.forward(asked, request).await?;
                return Err(Broken);
            }
            Some(Fault::First(hook)) => hook(asked.clone()).await,
            Some(Fault::Then(hook)) => {
                let answer = self.forward(asked, request).await;
                hook(asked.clone()).await;
                return answer;
            }
            Some(Fault::Hold(gate)) => gate.opened().await,
            Some(Fault::Delay(pause)) => tokio::time::sleep(pause).await,
            Some(Fault::Cut | Fault::Expire) | None => {}
        }
        self.forward(asked, request).await
    }

    async fn forward(
        self: &Arc<Self>,
        asked: &Asked,
        request: Request<Bytes>,
    ) -> Result<Response<Answer>, Broken> {
        let (mut head, body) = request.into_parts();
        head.headers.remove(header::HOST);
        let request = Request::from_parts(head, Body::from(body));
        let (mut head, body) = self.client.send(request).await.map_err(|_| Broken)?.into_parts();
        for framing in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
            head.headers.remove(framing);
        }
        let body = if asked.verb == "watch" && head.status == StatusCode::OK {
            events::body(self.clone(), asked.clone(), body).boxed_unsync()
        } else {
            whole(body.collect().await.map_err(|_| Broken)?.to_bytes())
        };
        Ok(Response::from_parts(head, body))
    }
}

fn whole(bytes: Bytes) -> Answer {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// What an API server says that cannot do it.
fn refusal(code: u16, after: Option<Duration>) -> Response<Answer> {
    let mut response = Response::new(whole(status(code).into()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(after) = after {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(after.as_secs()));
    }
    response
}

fn status(code: u16) -> String {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "said on purpose", "reason": reason, "code": code,
    });
    status.to_string()
}
