//! The whole path of a reconcile, against an API server and an executor that are scripted.

use clap::Parser as _;
use evenkeel_core::plan::Settings;
use evenkeel_kit::{config::Security, rpc::Class};
use evenkeel_proto::execution::v1::{self as proto, ExecutionState};
use fakes::{Log, Refuses, Server};
use kube::runtime::watcher;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::*;
use crate::{audit, config::Arguments, events};

mod executors;
mod fakes;
mod gates;

/// A controller between its two fakes.
struct Stage {
    server: Server,
    executor: fakes::Executor,
    context: Arc<Context>,
    log: Log,
    registry: Registry,
}

/// The settings of a controller that nobody gave any.
fn defaults() -> Settings {
    Arguments::try_parse_from(["evenkeel-controller"]).unwrap().config.settings()
}

impl Stage {
    async fn new(object: Value, cooldown: Duration) -> Self {
        let log = Log::default();
        let (server, executor) = (Server::new(object, &log), fakes::Executor::new(&log));
        let security = Security { plaintext: true, ..Security::default() };
        let addresses = [executor.serve().await];
        let (index, runs) = (known(), Arc::<Runs>::default());
        let executors =
            Executors::connect(&addresses, &security, (index.clone(), runs.clone()), Duration::from_secs(30))
                .unwrap();
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let wake = Wake::default();
        let (events, publisher) = events::events(server.client(), "ops", metrics.clone());
        tokio::spawn(publisher.run());
        let context = Arc::new(Context {
            objects: Objects::new(server.client(), "ops", metrics.clone()),
            executors,
            catalogue: Catalogue::new(server.client(), "ops", None),
            audit: audit::deliveries(None, wake.clone()).0,
            events,
            index,
            runs,
            latest: Arc::default(),
            failures: Failures::default(),
            metrics,
            live: Live::of(Settings { cooldown, ..defaults() }),
            wake,
            leadership: Leadership::always(),
        });
        Self { server, executor, context, log, registry }
    }

    /// A free target and the usual cooldown.
    async fn usual(object: Value) -> Self {
        Self::new(object, Duration::from_secs(300)).await
    }

    /// Looks at the object as the watch would show it; gives what was asked meanwhile.
    async fn look(&self) -> Vec<String> {
        let object = self.stored();
        self.look_at(object).await
    }

    /// Looks at the object as somebody saw it some time.
    async fn look_at(&self, seen: Value) -> Vec<String> {
        self.log.lock().clear();
        let object = Arc::new(serde_json::from_value(seen).unwrap());
        reconcile(object, self.context.clone()).await.unwrap();
        self.log.lock().clone()
    }

    fn stored(&self) -> Value {
        self.server.object.lock().clone().unwrap()
    }

    fn phase(&self) -> String {
        self.stored()["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    fn condition(&self, kind: &str) -> String {
        let conditions = self.stored()["status"]["conditions"].clone();
        let found = conditions.as_array().into_iter().flatten().find(|one| one["type"] == kind).cloned();
        found.map_or_else(String::new, |one| format!("{}/{}", one["status"], one["reason"]).replace('"', ""))
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// An index that has seen everything there is.
fn known() -> Arc<Index> {
    let index = Index::default();
    index.apply(&watcher::Event::Init);
    index.apply(&watcher::Event::InitDone);
    Arc::new(index)
}

fn object() -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "namespace": "ops", "name": "we-1", "uid": "u-1", "generation": 1, "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/keep"],
        },
        "spec": {
            "remediationRequestRef": { "name": "rr-1" },
            "workflowRef": {
                "workflowId": "restart", "version": "1", "executionBundle": "image", "executionEngine": "job",
                "fieldOfALaterRelease": true,
            },
            "targetResource": "ns/Deployment/api",
        },
    })
}

/// An object that was accepted.
fn accepted() -> Value {
    let mut object = object();
    object["metadata"]["finalizers"] = json!([record::FINALIZER]);
    object
}

#[tokio::test]
async fn an_undisturbed_execution_takes_three_status_writes() {
    let stage = Stage::new(object(), Duration::from_millis(1)).await;
    assert_eq!(stage.look().await, ["GetTarget", "PATCH object", "Start 0", "PATCH status"]);
    assert_eq!(stage.phase(), "Running");
    assert_eq!(stage.stored()["metadata"]["finalizers"], json!(["example.com/keep", record::FINALIZER]));
    assert_eq!(stage.stored()["spec"]["workflowRef"]["fieldOfALaterRelease"], true);
    assert_eq!(stage.look().await, [""; 0], "what the start said is fresh");
    stage.executor.set_state(ExecutionState::Succeeded);
    stage.context.runs.forget("u-1");
    assert_eq!(stage.look().await, ["GetExecution", "PATCH status", "Release", "PATCH status"]);
    assert_eq!(
        (stage.phase().as_str(), stage.condition("Released").as_str()),
        ("Completed", "True/LockReleased")
    );
    assert_eq!(stage.look().await, [""; 0], "released once");
    for line in ["reconciler_total{outcome=\"Completed\"} 1", "status_writes_total 3"] {
        assert!(stage.metrics().contains(line), "{line}");
    }
}

#[tokio::test]
async fn a_cache_that_lags_starts_nothing_twice() {
    let stage = Stage::usual(accepted()).await;
    stage.look().await;
    let asked = stage.look_at(accepted()).await;
    assert_eq!(asked, [""; 0], "our own write is known without asking");
    stage.context.latest.forget("u-1");
    assert_eq!(stage.look_at(accepted()).await, ["GetTarget", "GET object"], "and otherwise it is read");
}

#[tokio::test]
async fn an_object_deleted_after_it_was_seen_is_not_started() {
    let mut deleted = accepted();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    deleted["metadata"]["resourceVersion"] = json!("2");
    let stage = Stage::usual(deleted).await;
    let asked = stage.look_at(accepted()).await;
    assert_eq!(asked, ["GetTarget", "GET object", "Release", "PATCH object"]);
    assert_eq!(stage.stored()["metadata"]["finalizers"], json!([]));
}

#[tokio::test]
async fn an_object_that_went_meanwhile_is_let_go() {
    let stage = Stage::usual(accepted()).await;
    *stage.server.object.lock() = None;
    assert_eq!(stage.look_at(accepted()).await, ["GetTarget", "GET object"]);
}

#[tokio::test]
async fn a_conflict_is_planned_again_and_not_started_again() {
    let stage = Stage::usual(accepted()).await;
    let others = json!({ "metadata": { "labels": { "touched": "by somebody" } } });
    stage.server.interference.lock().push_back(others);
    let asked = stage.look().await;
    assert_eq!(asked, ["GetTarget", "GET object", "Start 0", "PATCH status", "GET object", "PATCH status"]);
    assert_eq!(stage.phase(), "Running");
    assert_eq!(stage.stored()["metadata"]["labels"]["touched"], "by somebody");
}

#[tokio::test]
async fn an_execution_that_ended_does_not_end_again() {
    let stage = Stage::usual(accepted()).await;
    stage.look().await;
    let running = stage.stored();
    stage.executor.set_state(ExecutionState::Succeeded);
    stage.context.runs.forget("u-1");
    stage.look().await;
    let ended = stage.stored();
    stage.context.latest.forget("u-1");
    let asked = stage.look_at(running).await;
    assert_eq!(
        asked.iter().filter(|what| *what == "PATCH status").count(),
        1,
        "one refused attempt: {asked:?}"
    );
    assert_eq!(stage.stored()["status"]["completionTime"], ended["status"]["completionTime"]);
    assert!(stage.metrics().contains("reconciler_total{outcome=\"Completed\"} 1"));
}

#[tokio::test]
async fn an_end_written_by_hand_is_put_back_and_the_run_goes_on() {
    let stage = Stage::new(accepted(), Duration::from_millis(1)).await;
    stage.look().await;
    for phase in ["Completed", "Failed"] {
        let mut edited = stage.stored();
        edited["status"]["phase"] = json!(phase);
        *stage.server.object.lock() = Some(edited);
        stage.context.latest.forget("u-1");
        stage.context.runs.forget("u-1");
        assert_eq!(stage.look().await, ["GetExecution", "PATCH status"], "looked at, and not released");
        assert_eq!((stage.phase().as_str(), stage.condition("Released").as_str()), ("Running", ""));
        assert!(stage.executor.target.lock().execution.is_some());
    }
    stage.executor.set_state(ExecutionState::Succeeded);
    stage.context.runs.forget("u-1");
    stage.look().await;
    assert_eq!(
        (stage.phase().as_str(), stage.condition("Released").as_str()),
        ("Completed", "True/LockReleased")
    );
}

#[tokio::test]
async fn a_busy_target_is_waited_for_with_one_write() {
    let stage = Stage::usual(accepted()).await;
    stage.executor.target.lock().holder =
        Some(proto::Owner { namespace: "ops".to_owned(), name: "other".to_owned(), uid: "u-2".to_owned() });
    assert_eq!(stage.look().await, ["GetTarget", "GET object", "PATCH status"]);
    assert_eq!((stage.phase().as_str(), stage.condition("Blocked").as_str()), ("Pending", "True/TargetBusy"));
    assert_eq!(stage.look().await, ["GetTarget", "GET object"]);
}

#[tokio::test]
async fn a_lock_that_moved_is_read_again_before_the_object() {
    let stage = Stage::usual(accepted()).await;
    stage.executor.refuses.lock().push_back(Refuses(Class::Conflict, "TOKEN_MOVED"));
    assert_eq!(
        stage.look().await,
        ["GetTarget", "GET object", "Start 0", "GetTarget", "GET object", "Start 0", "PATCH status"]
    );
}

#[tokio::test]
async fn a_refusal_is_fenced_and_then_final() {
    let stage = Stage::usual(accepted()).await;
    stage.executor.refuses.lock().push_back(Refuses(Class::Invalid, "UNKNOWN_ENGINE"));
    // The last write tells that nothing is recorded, since this stage has no audit service.
    assert_eq!(
        stage.look().await,
        ["GetTarget", "GET object", "Start 0", "Release", "PATCH status", "PATCH status"]
    );
    let details = stage.stored()["status"]["failureDetails"].clone();
    assert_eq!(
        (details["reason"].as_str(), details["message"].as_str()),
        (Some("UnsupportedEngine"), Some("words for people"))
    );
    assert_eq!(stage.condition("AuditRecorded"), "False/AuditFailed");
    assert!(stage.metrics().contains("duration_seconds_sum{outcome=\"Failed\"} 0.0"));
}

#[tokio::test]
async fn an_executor_that_is_away_ends_nothing() {
    let stage = Stage::usual(accepted()).await;
    let unavailable = Refuses(Class::Unavailable, "KUBERNETES_UNAVAILABLE");
    for _ in 0..4 {
        stage.executor.refuses.lock().push_back(unavailable.clone());
        stage.look().await;
    }
    assert_eq!(stage.condition("Blocked"), "True/ExecutorUnavailable");
    stage.look().await;
    assert_eq!((stage.phase().as_str(), stage.condition("Blocked").as_str()), ("Running", "False/Unblocked"));
}

#[tokio::test]
async fn an_invalid_specification_asks_nobody() {
    let mut invalid = accepted();
    invalid["spec"]["workflowRef"]["executionBundle"] = json!("");
    let stage = Stage::usual(invalid).await;
    assert_eq!(stage.look().await, ["PATCH status", "PATCH status"]);
    assert_eq!(stage.phase(), "Failed");
}

#[tokio::test]
async fn a_run_deleted_by_somebody_fails_the_execution() {
    let stage = Stage::usual(accepted()).await;
    stage.look().await;
    stage.executor.target.lock().execution = None;
    stage.context.runs.forget("u-1");
    stage.look().await;
    let details = stage.stored()["status"]["failureDetails"].clone();
    assert!(details["message"].as_str().unwrap().contains("deleted"), "{details}");
}

#[tokio::test]
async fn a_replica_that_no_longer_leads_does_nothing() {
    let mut stage = Stage::usual(accepted()).await;
    Arc::get_mut(&mut stage.context).unwrap().leadership = Leadership::never();
    let object = Arc::new(serde_json::from_value(stage.stored()).unwrap());
    let error = reconcile(object, stage.context.clone()).await.unwrap_err();
    assert_eq!(error.reason(), "NOT_LEADING");
    assert_eq!(*stage.log.lock(), ["GetTarget", "GET object"], "it only looked");
}
