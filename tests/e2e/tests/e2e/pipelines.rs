//! What the tests of pipelines share: an environment with Tekton, and pipelines made for them.

use std::{net::SocketAddr, panic::AssertUnwindSafe, time::Duration};

use evenkeel_api::WorkflowExecution;
use evenkeel_cluster::{Bundle, DEMO_STEP};
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{Environment, Shared, wait};
use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, LogParams},
    core::GroupVersionKind,
    runtime::conditions::is_pod_running,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::support::options;

/// Longest that a pipeline may take: many of them run at once, and each has several pods.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// For pipelines whose targets are their own.
pub(crate) static TEKTON: Shared = Shared::new(|| options().tekton());

/// Runs cases at the same time, each to its end, and fails if any of them did.
pub(crate) async fn together(cases: Vec<BoxFuture<'_, ()>>) {
    let ended =
        futures::future::join_all(cases.into_iter().map(|case| AssertUnwindSafe(case).catch_unwind()));
    let failed = ended.await.iter().filter(|ended| ended.is_err()).count();
    assert_eq!(failed, 0, "that many cases failed, as told above");
}

/// A task whose only step, `act`, is the demo workflow with these variables.
pub(crate) fn task(environment: &Environment, name: &str, variables: &[(&str, &str)]) -> Value {
    let image = environment.registry().unwrap().reference(DEMO_STEP);
    json!({"name": name, "taskSpec": {"steps": [step("act", &image, variables)]}})
}

/// A step. It says what it runs, so that nobody has to read that from the image.
pub(crate) fn step(name: &str, image: &str, variables: &[(&str, &str)]) -> Value {
    let set = |(name, value): &(&str, &str)| json!({"name": name, "value": value});
    let variables: Vec<Value> = variables.iter().map(set).collect();
    json!({"name": name, "image": image, "command": ["/demo", "workflow"], "env": variables})
}

/// Pushes a bundle with a pipeline, and gives its reference.
pub(crate) fn push(environment: &Environment, pipeline: &str, spec: Value) -> String {
    let object = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": pipeline},
        "spec": spec,
    });
    let registry = environment.registry().unwrap();
    // By its digest, so that all may have one tag.
    registry.push_bundle("evenkeel/e2e:1", &Bundle::new().object(object)).unwrap()
}

/// Pushes the pipeline `workflow` with these tasks, and gives the reference of its bundle.
pub(crate) fn workflow(environment: &Environment, tasks: &[Value]) -> String {
    push(environment, "workflow", json!({"tasks": tasks}))
}

/// An execution of a bundle, on a target named like it.
pub(crate) fn execution(
    environment: &Environment,
    name: &str,
    bundle: &str,
    parameters: &[(&str, &str)],
) -> WorkflowExecution {
    let mut execution = environment.execution(name, &format!("shop/Deployment/{name}"), parameters);
    bundle.clone_into(&mut execution.spec.workflow_ref.execution_bundle);
    execution.spec.workflow_ref.execution_engine = Some("tekton".to_owned());
    execution
}

/// Applies an execution, and waits until the pod of this task runs.
pub(crate) async fn running(
    environment: &Environment,
    execution: &WorkflowExecution,
    task: &str,
) -> WorkflowExecution {
    environment.apply(execution).await.unwrap();
    let execution = environment.phase(&execution.name_any(), "Running", LIMIT).await.unwrap();
    let pod = format!("{}-{task}-pod", run_of(&execution));
    let condition = is_pod_running();
    let runs = |pod: &Pod| kube::runtime::wait::Condition::matches_object(&condition, Some(pod));
    wait::until(&environment.pods(), &pod, "running", LIMIT, runs).await.unwrap();
    execution
}

/// Name of the run of an execution.
pub(crate) fn run_of(execution: &WorkflowExecution) -> String {
    run_name(&execution.spec.target_resource)
}

/// The tasks that pipelines became.
pub(crate) fn task_runs(environment: &Environment) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "TaskRun"));
    Api::namespaced_with(environment.client(), environment.execution_namespace(), &resource)
}

/// What belongs to the pipeline of an execution.
pub(crate) fn of(execution: &WorkflowExecution) -> ListParams {
    ListParams::default().labels(&format!("tekton.dev/pipelineRun={}", run_of(execution)))
}

/// Status of the condition of something of Tekton.
pub(crate) fn succeeded(object: &DynamicObject) -> &str {
    object.data["status"]["conditions"][0]["status"].as_str().unwrap_or_default()
}

/// What a step of a task of an execution printed.
pub(crate) async fn log(
    environment: &Environment,
    execution: &WorkflowExecution,
    task: &str,
    step: &str,
) -> String {
    let of_step = LogParams { container: Some(format!("step-{step}")), ..LogParams::default() };
    let pod = format!("{}-{task}-pod", run_of(execution));
    environment.pods().logs(&pod, &of_step).await.unwrap()
}

/// How often services asked this of the API server about the run of an execution, and were not refused.
pub(crate) fn asked(
    environment: &Environment,
    verb: &str,
    resource: &str,
    execution: &WorkflowExecution,
) -> usize {
    let (run, requests) = (run_of(execution), environment.requests().unwrap());
    let of_run = requests.iter().filter(|request| request.name == run && request.code < 300);
    of_run.filter(|request| request.verb == verb && request.resource == resource).count()
}

/// Lets whoever connects here speak with somebody else, for as long as it is polled.
pub(crate) async fn pass_on(listener: TcpListener, to: SocketAddr) {
    while let Ok((mut here, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut there) = TcpStream::connect(to).await {
                // Whoever asked hears of a connection that broke.
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
}
