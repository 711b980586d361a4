//! An API server with one object and an executor with one run, both scripted, and a log of what
//! was asked of them in which order.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use evenkeel_kit::rpc::{self, Class, Coded};
use evenkeel_proto::execution::v1::{
    self as proto,
    execution_service_server::{ExecutionService, ExecutionServiceServer},
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::Status;

/// What was asked, in order.
pub(super) type Log = Arc<Mutex<Vec<String>>>;

/// The one object, as the API server has it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) object: Arc<Mutex<Option<Value>>>,
    /// Patches of other clients that arrive just before ours do.
    pub(super) interference: Arc<Mutex<VecDeque<Value>>>,
    pub(super) log: Log,
}

impl Server {
    pub(super) fn new(object: Value, log: &Log) -> Self {
        Self { object: Arc::new(Mutex::new(Some(object))), interference: Arc::default(), log: log.clone() }
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (code, answer) = server.answer(&parts.method, parts.uri.path(), &body);
                let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
                *response.status_mut() = code;
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        Client::new(service, "ops")
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        if path.ends_with("/events") {
            let event: Value = serde_json::from_slice(body).unwrap();
            return (StatusCode::CREATED, event);
        }
        let is_status = path.ends_with("/status");
        let what = if is_status { "status" } else { "object" };
        self.log.lock().push(format!("{method} {what}"));
        let mut stored = self.object.lock();
        let Some(object) = stored.as_mut() else { return failure(StatusCode::NOT_FOUND) };
        if method == Method::PATCH {
            if let Some(patch) = self.interference.lock().pop_front() {
                merge(object, &patch);
                bump(object);
            }
            let patch: Value = serde_json::from_slice(body).unwrap();
            assert!(patch.get("spec").is_none(), "the spec is never written: {patch}");
            let expected = &patch["metadata"]["resourceVersion"];
            assert!(expected.is_string(), "every write carries its version: {patch}");
            if *expected != object["metadata"]["resourceVersion"] {
                return failure(StatusCode::CONFLICT);
            }
            let part = if is_status { json!({ "status": patch["status"] }) } else { patch };
            merge(object, &part);
            bump(object);
        }
        (StatusCode::OK, object.clone())
    }
}

fn failure(code: StatusCode) -> (StatusCode, Value) {
    (
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "", "reason": "", "code": code.as_u16() }),
    )
}

fn bump(object: &mut Value) {
    let version: u64 = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
}

fn merge(into: &mut Value, patch: &Value) {
    let (Value::Object(into), Value::Object(patch)) = (&mut *into, patch) else {
        return *into = patch.clone();
    };
    for (key, value) in patch {
        match value {
            Value::Null => _ = into.remove(key),
            value => merge(into.entry(key).or_insert(Value::Null), value),
        }
    }
}

/// An error as the executor sends it.
#[derive(Clone, Debug)]
pub(super) struct Refuses(pub(super) Class, pub(super) &'static str);

impl std::fmt::Display for Refuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("words for people")
    }
}

impl Coded for Refuses {
    fn class(&self) -> Class {
        self.0
    }
    fn reason(&self) -> &'static str {
        self.1
    }
}

/// The one run, as the executor has it.
#[derive(Clone)]
pub(super) struct Executor {
    name: &'static str,
    pub(super) engines: Arc<Mutex<Vec<&'static str>>>,
    /// Whether its engines can be used now.
    pub(super) available: Arc<Mutex<bool>>,
    /// Who gets the target in the moment before the next release.
    pub(super) rival: Arc<Mutex<Option<proto::Owner>>>,
    pub(super) target: Arc<Mutex<proto::Target>>,
    pub(super) refuses: Arc<Mutex<VecDeque<Refuses>>>,
    pub(super) log: Log,
}

impl Executor {
    pub(super) fn new(log: &Log) -> Self {
        Self::named("", "job", log)
    }

    /// One more, that has this engine and notes what it was asked under its name.
    pub(super) fn named(name: &'static str, engine: &'static str, log: &Log) -> Self {
        Self {
            name,
            engines: Arc::new(Mutex::new(vec![engine])),
            available: Arc::new(Mutex::new(true)),
            rival: Arc::default(),
            target: Arc::default(),
            refuses: Arc::default(),
            log: log.clone(),
        }
    }

    /// Serves on a free port.
    pub(super) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = ExecutionServiceServer::new(self.clone());
        let served = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    pub(super) fn set_state(&self, state: proto::ExecutionState) {
        self.target.lock().execution.as_mut().unwrap().state = state.into();
    }

    fn note(&self, what: &str) {
        self.log.lock().push(format!("{}{what}", self.name));
    }
}

type Answer<T> = Result<tonic::Response<T>, Status>;

#[tonic::async_trait]
impl ExecutionService for Executor {
    type WatchExecutionsStream = Empty<Result<proto::WatchExecutionsResponse, Status>>;

    async fn list_engines(
        &self,
        _: tonic::Request<proto::ListEnginesRequest>,
    ) -> Answer<proto::ListEnginesResponse> {
        let engines = self.engines.lock().iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let available = *self.available.lock();
        let engine = |name| proto::Engine { name, available, ..proto::Engine::default() };
        Ok(proto::ListEnginesResponse { engines: engines.into_iter().map(engine).collect() }.into())
    }

    async fn get_target(
        &self,
        _: tonic::Request<proto::GetTargetRequest>,
    ) -> Answer<proto::GetTargetResponse> {
        self.note("GetTarget");
        Ok(proto::GetTargetResponse { target: Some(self.target.lock().clone()) }.into())
    }

    async fn start_execution(
        &self,
        request: tonic::Request<proto::StartExecutionRequest>,
    ) -> Answer<proto::StartExecutionResponse> {
        let request = request.into_inner();
        self.note(&format!("Start {}", request.expected_token));
        if let Some(refuses) = self.refuses.lock().pop_front() {
            return Err(rpc::status("executor", &refuses));
        }
        let spec = request.spec.unwrap();
        let mut target = self.target.lock();
        if request.expected_token != target.token {
            return Err(rpc::status("executor", &Refuses(Class::Conflict, "TOKEN_MOVED")));
        }
        target.token += 1;
        target.holder.clone_from(&spec.owner);
        target.execution = Some(proto::Execution {
            owner: spec.owner,
            run_name: "wfe-1".to_owned(),
            state: proto::ExecutionState::Running.into(),
            workflow_started: true,
            ..Default::default()
        });
        Ok(proto::StartExecutionResponse { execution: target.execution.clone(), adopted: false }.into())
    }

    async fn get_execution(
        &self,
        _: tonic::Request<proto::GetExecutionRequest>,
    ) -> Answer<proto::GetExecutionResponse> {
        self.note("GetExecution");
        match &self.target.lock().execution {
            Some(execution) => Ok(proto::GetExecutionResponse { execution: Some(execution.clone()) }.into()),
            None => Err(rpc::status("executor", &Refuses(Class::NotFound, "EXECUTION_NOT_FOUND"))),
        }
    }

    async fn watch_executions(
        &self,
        _: tonic::Request<proto::WatchExecutionsRequest>,
    ) -> Answer<Self::WatchExecutionsStream> {
        Ok(tokio_stream::empty().into())
    }

    async fn cancel_execution(
        &self,
        _: tonic::Request<proto::CancelExecutionRequest>,
    ) -> Answer<proto::CancelExecutionResponse> {
        self.note("Cancel");
        Ok(proto::CancelExecutionResponse::default().into())
    }

    async fn release_execution(
        &self,
        request: tonic::Request<proto::ReleaseExecutionRequest>,
    ) -> Answer<proto::ReleaseExecutionResponse> {
        let owner = request.into_inner().owner.unwrap();
        self.note(if owner.uid.contains(".fence") { "Fence" } else { "Release" });
        let mut target = self.target.lock();
        target.token += 1;
        if let Some(rival) = self.rival.lock().take() {
            target.holder = Some(rival);
        } else if target.holder.as_ref().is_none_or(|holder| holder.uid == owner.uid) {
            *target = proto::Target { token: target.token, ..Default::default() };
        }
        Ok(proto::ReleaseExecutionResponse { state: proto::ReleaseState::Released.into() }.into())
    }

    async fn explain_execution(
        &self,
        _: tonic::Request<proto::ExplainExecutionRequest>,
    ) -> Answer<proto::ExplainExecutionResponse> {
        Err(Status::unimplemented(""))
    }
}
