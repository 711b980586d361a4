//! Tekton is installed, replaced by an older one and removed while the services run. Only its
//! definitions are needed for that, in a cluster of its own: this test plays its controller.

use std::time::Duration;

use evenkeel_api::WorkflowExecution;
use evenkeel_cluster::{Cluster, Tier, tekton_definitions};
use evenkeel_core::target::run_name;
use evenkeel_proto::execution::v1::{Engine, ListEnginesRequest};
use evenkeel_test_kit::{
    Environment, Service, StandIn,
    evidence::{COMPLETED, FAILED, SELECTED, STARTED, condition, holds},
    run, wait,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::task::{block_in_place, spawn_blocking};

use crate::support::{LIMIT, options};

/// Many times what the executor takes to look again.
const SECONDS: Duration = Duration::from_secs(60);
/// The kinds that the executor uses.
const DEFINITIONS: [&str; 2] = ["pipelineruns.tekton.dev", "taskruns.tekton.dev"];

#[test]
fn tekton_comes_changes_and_goes_while_the_services_run() {
    run(async {
        let cluster = spawn_blocking(|| Cluster::options().start()).await.unwrap().unwrap();
        // That nothing can be seen of a run tells no watch: it has to be asked for.
        let options = options().setting("EVENKEEL_POLL_INTERVAL", "1s");
        let options = options.tier(Tier::ControlPlane).cluster(&cluster.kubeconfig_path());
        let environment = Environment::start(options).await.unwrap();
        let stand_in = StandIn::begin(environment.pods());
        let processes = || Service::ALL.map(|service| environment.service(service).pid());
        let before = processes();

        engine(&environment, "install Tekton Pipelines").await;
        refuses(&environment, "too-early", "install Tekton Pipelines").await;
        runs_jobs(&environment, "without").await;

        block_in_place(|| install(&cluster));
        forget_conversion(&environment).await;
        engine(&environment, "").await;
        let [patient, doomed] = ["patient", "doomed"].map(|name| pipeline(&environment, name));
        for execution in [&patient, &doomed] {
            environment.apply(execution).await.unwrap();
        }
        for name in ["patient", "doomed"] {
            environment.phase(name, "Running", LIMIT).await.unwrap();
        }
        waits_for_its_version(&environment).await;
        ends(&environment, &patient).await;

        remove(&environment).await;
        engine(&environment, "install Tekton Pipelines").await;
        let ended = environment.settled("doomed", LIMIT).await.unwrap();
        let details = ended.status.unwrap().failure_details.unwrap();
        assert!(details.message.contains("deleted"), "{details:?}");
        assert_eq!(environment.recorded("doomed").await.unwrap(), [SELECTED, STARTED, FAILED]);
        refuses(&environment, "too-late", "install Tekton Pipelines").await;
        runs_jobs(&environment, "without-again").await;
        assert_eq!(processes(), before, "nothing was started again");
        drop((stand_in, environment));
        spawn_blocking(move || drop(cluster)).await.unwrap();
    });
}

/// Waits until the executor says this of pipelines; nothing where they can run. It tells nobody when
/// that changes.
async fn engine(environment: &Environment, problem: &str) {
    let mut executor = environment.executor().unwrap();
    let mut last = Vec::new();
    let found = tokio::time::timeout(SECONDS, async {
        loop {
            last = executor.list_engines(ListEnginesRequest {}).await.unwrap().into_inner().engines;
            let is_so = |engine: &Engine| {
                let why = &engine.unavailable_reason;
                let is_told = if problem.is_empty() { why.is_empty() } else { why.contains(problem) };
                engine.name == "tekton" && engine.available == problem.is_empty() && is_told
            };
            if last.iter().any(is_so) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let is_told = found.await.is_ok();
    assert!(is_told, "waited for '{problem}' of pipelines; last were {last:?}");
    assert!(last.iter().any(|engine| engine.name == "job" && engine.available), "{last:?}");
}

fn pipeline(environment: &Environment, name: &str) -> WorkflowExecution {
    let mut execution = environment.execution(name, &target(name), &[]);
    execution.spec.workflow_ref.execution_engine = Some("tekton".to_owned());
    execution
}

fn target(name: &str) -> String {
    format!("shop/Deployment/{name}")
}

/// A pipeline that is applied now fails with what to do.
async fn refuses(environment: &Environment, name: &str, advice: &str) {
    environment.apply(&pipeline(environment, name)).await.unwrap();
    let ended = environment.settled(name, LIMIT).await.unwrap();
    let details = ended.status.as_ref().unwrap().failure_details.as_ref().unwrap();
    assert_eq!((details.reason.as_str(), details.was_execution_failure), ("UnsupportedEngine", false));
    assert!(details.message.contains(advice), "{details:?}");
    assert_eq!(environment.recorded(name).await.unwrap(), [SELECTED, FAILED]);
}

async fn runs_jobs(environment: &Environment, name: &str) {
    environment.apply(&environment.execution(name, &target(name), &[])).await.unwrap();
    environment.phase(name, "Completed", LIMIT).await.unwrap();
}

fn install(cluster: &Cluster) {
    let definitions = tekton_definitions().unwrap();
    cluster.kubectl_with(&["apply", "--server-side", "-f", "-"], &definitions).unwrap();
}

fn definitions(environment: &Environment) -> Api<CustomResourceDefinition> {
    Api::all(environment.client())
}

/// Objects of one version are read as those of another without anybody who would convert them.
async fn forget_conversion(environment: &Environment) {
    let none = json!({"spec": {"conversion": {"strategy": "None", "webhook": null}}});
    change(environment, &Patch::Merge(none)).await;
}

/// Has the version that the executor uses served, or only the older one.
async fn serve(environment: &Environment, served: bool) {
    // The older one comes first.
    let path = "/spec/versions/1";
    let operations = json!([
        {"op": "test", "path": format!("{path}/name"), "value": "v1"},
        {"op": "replace", "path": format!("{path}/served"), "value": served},
    ]);
    change(environment, &Patch::Json(serde_json::from_value(operations).unwrap())).await;
}

async fn change(environment: &Environment, patch: &Patch<Value>) {
    for name in DEFINITIONS {
        definitions(environment).patch(name, &PatchParams::default(), patch).await.unwrap();
    }
}

async fn remove(environment: &Environment) {
    for name in DEFINITIONS {
        definitions(environment).delete(name, &DeleteParams::default()).await.unwrap();
        wait::until_gone(&definitions(environment), name, LIMIT).await.unwrap();
    }
}

/// A run that cannot be read for a while.
async fn waits_for_its_version(environment: &Environment) {
    serve(environment, false).await;
    engine(environment, "tekton.dev/v1beta1").await;
    let says_so = |it: &WorkflowExecution| {
        let blocked = condition(it, "Blocked").filter(|blocked| blocked.status == "True");
        blocked.is_some_and(|blocked| blocked.message.contains("v1beta1"))
    };
    let executions = environment.executions();
    let waiting = wait::until(&executions, "patient", "saying what is wrong", LIMIT, says_so).await.unwrap();
    assert_eq!(waiting.status.unwrap().phase.as_deref(), Some("Running"));
    refuses(environment, "untimely", "upgrade").await;
    runs_jobs(environment, "meanwhile").await;
    let still = executions.get("patient").await.unwrap();
    assert!(says_so(&still) && still.status.unwrap().phase.as_deref() == Some("Running"));

    serve(environment, true).await;
    engine(environment, "").await;
    let is_free = |it: &WorkflowExecution| !holds(it, "Blocked");
    let goes_on = wait::until(&executions, "patient", "going on", LIMIT, is_free).await.unwrap();
    assert_eq!(goes_on.status.unwrap().phase.as_deref(), Some("Running"));
}

/// The run of an execution was live all the time, and is what its end depends on.
async fn ends(environment: &Environment, execution: &WorkflowExecution) {
    let run = run_name(&execution.spec.target_resource);
    let live: DynamicObject = environment.pipeline_runs().get(&run).await.unwrap();
    assert!(live.data["spec"].get("status").is_none(), "it is pending: {live:?}");
    let now = jiff::Timestamp::now().to_string();
    let succeeded = json!({
        "type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "done", "lastTransitionTime": now,
    });
    let status = json!({"status": {"conditions": [succeeded], "completionTime": now}});
    let runs = environment.pipeline_runs();
    runs.patch_status(&run, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let name = execution.metadata.name.as_deref().unwrap();
    environment.phase(name, "Completed", LIMIT).await.unwrap();
    environment.settled(name, LIMIT).await.unwrap();
    assert_eq!(environment.recorded(name).await.unwrap(), [SELECTED, STARTED, COMPLETED]);
}
