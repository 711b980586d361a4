//! An executor of somebody else: it keeps its locks in memory, and its workflows only take time.

use std::{collections::HashMap, net::TcpListener as Reserved, pin::Pin, sync::Arc, time::Duration};

use evenkeel_kit::{
    auth::Policy,
    readiness::Readiness,
    rpc::{self, Class, Coded},
    server::Server,
    shutdown::CancellationToken,
    tls::{self, Authority},
};
use evenkeel_proto::execution::v1::{
    self as proto, ExecutionState,
    execution_service_server::{ExecutionService, ExecutionServiceServer},
};
use futures::{Stream, StreamExt as _};
use tokio::{sync::watch, task::JoinHandle};
use tonic::{Request, Response, Status};

#[derive(Default, Clone)]
struct State {
    engines: Vec<String>,
    targets: HashMap<String, proto::Target>,
    started: Vec<String>,
}

#[derive(Clone)]
struct Executor {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug)]
struct Refused(Class, &'static str, HashMap<String, String>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.1)
    }
}

impl Coded for Refused {
    fn class(&self) -> Class {
        self.0
    }
    fn reason(&self) -> &'static str {
        self.1
    }
    fn metadata(&self) -> HashMap<String, String> {
        self.2.clone()
    }
}

fn refused(class: Class, reason: &'static str) -> Status {
    rpc::status("third-party", &Refused(class, reason, HashMap::new()))
}

/// The third party, at an address that it keeps.
pub(crate) struct ThirdParty {
    executor: Executor,
    port: u16,
    serving: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
}

impl ThirdParty {
    /// One that offers this engine, and does not serve yet.
    pub(crate) fn new(engine: &str) -> Self {
        let reserved = Reserved::bind("127.0.0.1:0").unwrap();
        let port = reserved.local_addr().unwrap().port();
        let state = State { engines: vec![engine.to_owned()], ..State::default() };
        let executor = Executor { state: Arc::new(watch::Sender::new(state)) };
        drop(reserved);
        Self { executor, port, serving: None }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Offers these engines from now on.
    pub(crate) fn offer(&self, engines: &[&str]) {
        let engines = engines.iter().map(|engine| (*engine).to_owned()).collect();
        self.executor.state.send_modify(|state| state.engines = engines);
    }

    /// Names of the executions that it started, in order.
    pub(crate) fn started(&self) -> Vec<String> {
        self.executor.state.borrow().started.clone()
    }

    pub(crate) async fn serve(&mut self, authority: &Authority) {
        let security = authority.identity("third-party").unwrap();
        let policy = Policy { allowed_clients: vec!["evenkeel-controller".to_owned()], ..Policy::default() };
        let address = self.address().parse().unwrap();
        let server =
            Server::bind("third-party", address, tls::load(&security).unwrap(), policy).await.unwrap();
        let stop = CancellationToken::new();
        let service = ExecutionServiceServer::new(self.executor.clone());
        let served = server.serve(service, Readiness::new(&[]), stop.clone());
        self.serving = Some((stop, tokio::spawn(served)));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((stop, task)) = self.serving.take() {
            stop.cancel();
            task.await.unwrap().unwrap();
        }
    }
}

impl Executor {
    /// The run ends after as long as its parameters say.
    fn play(&self, target: String, seconds: f64) {
        let state = self.state.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            state.send_modify(|state| {
                if let Some(run) = state.targets.get_mut(&target).and_then(|it| it.execution.as_mut()) {
                    run.state = ExecutionState::Succeeded.into();
                    run.completed_tasks = 1;
                    run.completion_time = Some(now());
                }
            });
        });
    }

    fn start(
        &self,
        spec: proto::ExecutionSpec,
        expected: i64,
    ) -> Result<proto::StartExecutionResponse, Status> {
        let mut answer = Err(refused(Class::Internal, "INTERNAL"));
        self.state.send_modify(|state| answer = begin(state, &spec, expected));
        let (execution, adopted) = answer?;
        if !adopted {
            let seconds = spec.parameters.get("SLEEP_SECONDS").and_then(|it| it.parse().ok()).unwrap_or(0.0);
            self.play(spec.target, seconds);
        }
        Ok(proto::StartExecutionResponse { execution: Some(execution), adopted })
    }
}

fn begin(
    state: &mut State,
    spec: &proto::ExecutionSpec,
    expected: i64,
) -> Result<(proto::Execution, bool), Status> {
    if !state.engines.contains(&spec.engine) {
        return Err(refused(Class::Invalid, "UNKNOWN_ENGINE"));
    }
    let owner = spec.owner.clone().unwrap_or_default();
    let target = state.targets.entry(spec.target.clone()).or_default();
    if let Some(holder) = &target.holder {
        return match &target.execution {
            Some(run) if holder.uid == owner.uid => Ok((run.clone(), true)),
            _ => {
                let named = [("holder".to_owned(), format!("{}/{}", holder.namespace, holder.name))].into();
                Err(rpc::status("third-party", &Refused(Class::Precondition, "TARGET_BUSY", named)))
            }
        };
    }
    if target.token != expected {
        return Err(refused(Class::Conflict, "TOKEN_MOVED"));
    }
    let run = proto::Execution {
        owner: Some(owner.clone()),
        target: spec.target.clone(),
        engine: spec.engine.clone(),
        run_name: format!("third-party-{}", owner.name),
        run_namespace: "elsewhere".to_owned(),
        state: ExecutionState::Running.into(),
        start_time: Some(now()),
        total_tasks: 1,
        workflow_started: true,
        ..proto::Execution::default()
    };
    *target = proto::Target {
        token: target.token + 1,
        held_since: Some(now()),
        holder: Some(owner.clone()),
        execution: Some(run.clone()),
        ..target.clone()
    };
    state.started.push(owner.name);
    Ok((run, false))
}

fn now() -> prost_types::Timestamp {
    std::time::SystemTime::now().into()
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ExecutionService for Executor {
    type WatchExecutionsStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchExecutionsResponse, Status>> + Send>>;

    async fn list_engines(&self, _: Request<proto::ListEnginesRequest>) -> Reply<proto::ListEnginesResponse> {
        let engine =
            |name: &String| proto::Engine { name: name.clone(), available: true, ..Default::default() };
        let engines = self.state.borrow().engines.iter().map(engine).collect();
        Ok(Response::new(proto::ListEnginesResponse { engines }))
    }

    async fn get_target(&self, request: Request<proto::GetTargetRequest>) -> Reply<proto::GetTargetResponse> {
        let target =
            self.state.borrow().targets.get(&request.into_inner().target).cloned().unwrap_or_default();
        Ok(Response::new(proto::GetTargetResponse { target: Some(target) }))
    }

    async fn start_execution(
        &self,
        request: Request<proto::StartExecutionRequest>,
    ) -> Reply<proto::StartExecutionResponse> {
        let proto::StartExecutionRequest { spec, expected_token } = request.into_inner();
        self.start(spec.unwrap_or_default(), expected_token).map(Response::new)
    }

    async fn get_execution(
        &self,
        request: Request<proto::GetExecutionRequest>,
    ) -> Reply<proto::GetExecutionResponse> {
        let request = request.into_inner();
        let run = self.state.borrow().targets.get(&request.target).and_then(|it| it.execution.clone());
        match run.filter(|run| run.owner == request.owner) {
            Some(run) => Ok(Response::new(proto::GetExecutionResponse { execution: Some(run) })),
            None => Err(refused(Class::NotFound, "EXECUTION_NOT_FOUND")),
        }
    }

    async fn watch_executions(
        &self,
        _: Request<proto::WatchExecutionsRequest>,
    ) -> Reply<Self::WatchExecutionsStream> {
        let changes = tokio_stream::wrappers::WatchStream::new(self.state.subscribe());
        let events = changes.flat_map(|state| {
            let runs = state.targets.into_values().filter_map(|target| target.execution);
            let runs = runs.map(proto::watch_executions_response::Event::Execution);
            let synced = proto::watch_executions_response::Event::Synced(proto::Synced {});
            let event =
                |event| Ok(proto::WatchExecutionsResponse { event: Some(event), ..Default::default() });
            futures::stream::iter(runs.chain([synced]).map(event).collect::<Vec<_>>())
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn cancel_execution(
        &self,
        _: Request<proto::CancelExecutionRequest>,
    ) -> Reply<proto::CancelExecutionResponse> {
        Ok(Response::new(proto::CancelExecutionResponse::default()))
    }

    async fn release_execution(
        &self,
        request: Request<proto::ReleaseExecutionRequest>,
    ) -> Reply<proto::ReleaseExecutionResponse> {
        let proto::ReleaseExecutionRequest { owner, target } = request.into_inner();
        let uid = owner.unwrap_or_default().uid;
        self.state.send_modify(|state| {
            let target = state.targets.entry(target).or_default();
            // At every release, whoever asks for it: that is what refuses the starts under way.
            target.token += 1;
            if target.holder.as_ref().is_some_and(|holder| holder.uid == uid) {
                *target = proto::Target { token: target.token, released_uid: uid, ..Default::default() };
            }
        });
        let state = proto::ReleaseState::Released.into();
        Ok(Response::new(proto::ReleaseExecutionResponse { state }))
    }

    async fn explain_execution(
        &self,
        _: Request<proto::ExplainExecutionRequest>,
    ) -> Reply<proto::ExplainExecutionResponse> {
        Err(Status::unimplemented(""))
    }
}
