//! What the tests share.

use std::{collections::HashMap, ops::Deref, time::Duration};

use evenkeel_api::WorkflowExecution;
use evenkeel_kit::rpc;
use evenkeel_proto::execution::v1::{ExecutionSpec, GetTargetRequest, Owner, StartExecutionRequest, Target};
use evenkeel_test_kit::{Environment, Options, Service, Shared, StandIn, evidence};
use kube::api::ListParams;
use prost::Message as _;
use tonic::{Code, Status};

/// Longest that anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// An executor alone, whose callers must leave nothing behind.
pub(crate) static EXECUTOR: Shared =
    Shared::new(|| Options::default().without(Service::Controller).without(Service::Audit));

/// An environment, with a kubelet or somebody who plays it.
pub(crate) struct Stage {
    environment: Environment,
    _stand_in: Option<StandIn>,
}

impl Stage {
    pub(crate) async fn start(options: Options) -> Self {
        let environment = Environment::start(options).await.unwrap();
        let stand_in = (!environment.has_node()).then(|| StandIn::begin(environment.pods()));
        Self { environment, _stand_in: stand_in }
    }
}

impl Deref for Stage {
    type Target = Environment;
    fn deref(&self) -> &Environment {
        &self.environment
    }
}

/// A short rest of targets, little patience with what cannot start, and no poll to help out where
/// a watch should have.
pub(crate) fn options() -> Options {
    Options::default()
        .setting("EVENKEEL_COOLDOWN", "1s")
        .setting("EVENKEEL_STUCK_GRACE", "10s")
        .setting("EVENKEEL_POLL_INTERVAL", "5m")
}

/// Status and reason of a condition, as `True/Ready`.
pub(crate) fn condition_of(execution: &WorkflowExecution, kind: &str) -> String {
    let found = evidence::condition(execution, kind);
    found.map_or_else(String::new, |one| format!("{}/{}", one.status, one.reason))
}

/// An attempt that nobody made before.
pub(crate) fn owner(name: &str) -> Owner {
    Owner { namespace: "callers".to_owned(), name: name.to_owned(), uid: uuid::Uuid::new_v4().to_string() }
}

/// A request to run the demo.
pub(crate) fn spec(owner: Owner, target: &str, parameters: &[(&str, &str)]) -> ExecutionSpec {
    ExecutionSpec {
        owner: Some(owner),
        target: target.to_owned(),
        engine: "job".to_owned(),
        workflow_id: "demo".to_owned(),
        bundle: evenkeel_cluster::DEMO_IMAGE.to_owned(),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ExecutionSpec::default()
    }
}

pub(crate) fn start(spec: ExecutionSpec, expected_token: i64) -> StartExecutionRequest {
    StartExecutionRequest { spec: Some(spec), expected_token }
}

/// The lock of a target.
pub(crate) async fn target(environment: &Environment, target: &str) -> Target {
    let request = GetTargetRequest { target: target.to_owned() };
    environment.executor().unwrap().get_target(request).await.unwrap().into_inner().target.unwrap()
}

/// Checks that an error has this code and exactly one `ErrorInfo` with this reason, and gives its
/// metadata.
#[track_caller]
pub(crate) fn check_error(status: &Status, code: Code, reason: &str) -> HashMap<String, String> {
    assert_eq!((status.code(), rpc::reason(status).as_deref()), (code, Some(reason)), "{status:?}");
    let details = tonic_types::pb::Status::decode(status.details()).unwrap().details;
    let infos = details.iter().filter(|any| any.type_url.ends_with("google.rpc.ErrorInfo")).count();
    assert_eq!(infos, 1, "exactly one ErrorInfo: {details:?}");
    assert!(!status.message().is_empty());
    rpc::metadata(status)
}

/// Checks that no lock and no run was made.
pub(crate) async fn check_nothing_exists(environment: &Environment) {
    let leases = environment.leases().list(&ListParams::default()).await.unwrap().items;
    let jobs = environment.jobs().list(&ListParams::default()).await.unwrap().items;
    assert!(leases.is_empty() && jobs.is_empty(), "{leases:#?} {jobs:#?}");
}
