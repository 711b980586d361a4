//! What the services ask of the API server: nothing that their roles refuse, and no more writes
//! than an execution needs.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_api::{Dependencies, NameRef, WorkflowExecution};
use evenkeel_proto::execution::v1::{CancelExecutionRequest, ReleaseExecutionRequest};
use evenkeel_test_kit::{Environment, Repository, Request, Service, run, wait};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::{LIMIT, Stage, options, owner, spec, start};

/// Everything that can become of an execution.
async fn whole_life(environment: &Environment) {
    let apply = async |name: &str, target: &str, parameters: &[(&str, &str)]| {
        environment.apply(&environment.execution(name, target, parameters)).await.unwrap();
    };
    apply("succeeds", "shop/Deployment/a", &[("SLEEP_SECONDS", "1")]).await;
    apply("waits", "shop/Deployment/a", &[]).await;
    apply("fails", "shop/Deployment/b", &[("EXIT_CODE", "7")]).await;
    apply("is-wrong", "not-a-target", &[]).await;
    apply("is-deleted", "shop/Deployment/c", &[("SLEEP_SECONDS", "600")]).await;
    environment.apply(&needy(environment).await).await.unwrap();
    environment.phase("is-deleted", "Running", LIMIT).await.unwrap();
    environment.executions().delete("is-deleted", &DeleteParams::default()).await.unwrap();
    wait::until_gone(&environment.executions(), "is-deleted", LIMIT).await.unwrap();
    for name in ["succeeds", "waits", "fails", "is-wrong", "needs"] {
        environment.settled(name, LIMIT).await.unwrap();
        environment.executions().delete(name, &DeleteParams::default()).await.unwrap();
        wait::until_gone(&environment.executions(), name, LIMIT).await.unwrap();
    }
}

/// An execution with all that it may need.
async fn needy(environment: &Environment) -> WorkflowExecution {
    let (client, namespace) = (environment.client(), environment.execution_namespace());
    let named = json!({"metadata": {"name": "needed"}, "data": {"key": "dmFsdWU="}});
    let parameters = PostParams::default();
    let secret: Secret = serde_json::from_value(named.clone()).unwrap();
    Api::namespaced(client.clone(), namespace).create(&parameters, &secret).await.unwrap();
    let map: ConfigMap = serde_json::from_value(named.clone()).unwrap();
    Api::namespaced(client.clone(), namespace).create(&parameters, &map).await.unwrap();
    let account: ServiceAccount = serde_json::from_value(named).unwrap();
    Api::namespaced(client, namespace).create(&parameters, &account).await.unwrap();
    let needed = || vec![NameRef { name: "needed".to_owned() }];
    let mut execution = environment.execution("needs", "shop/Deployment/d", &[]);
    execution.spec.workflow_ref.dependencies =
        Some(Dependencies { secrets: needed(), config_maps: needed() });
    execution.spec.workflow_ref.service_account_name = Some("needed".to_owned());
    execution
}

/// Asked for by a policy of the API server with every write of a status, and by no request.
const ASKED_BY_POLICY: &str = "control";

/// What the roles of a service permit on objects: resource and verb.
fn granted(service: Service) -> BTreeSet<(String, String)> {
    let path = Repository::find().unwrap().file(&format!("deploy/rbac/{service}.yaml"));
    let text = std::fs::read_to_string(path).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let texts = |rule: &Value, key: &str| {
        rule[key]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| it.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let rules = objects.iter().filter_map(|object| object["rules"].as_array()).flatten();
    // There is no Tekton here, and only of its pods are logs read.
    let rules =
        rules.filter(|rule| rule["apiGroups"][0] != "tekton.dev" && rule["resources"] != json!(["pods/log"]));
    let pairs = rules.flat_map(|rule| {
        let (resources, verbs) = (texts(rule, "resources"), texts(rule, "verbs"));
        let pair =
            move |resource: String| verbs.clone().into_iter().map(move |verb| (resource.clone(), verb));
        resources.into_iter().flat_map(pair)
    });
    pairs.filter(|(_, verb)| verb != ASKED_BY_POLICY).collect()
}

/// The protocol in the hands of somebody with a token.
async fn by_hand(environment: &Environment) {
    let mut security = environment.security().unwrap();
    (security.cert, security.key) = (None, None);
    security.token = Some(environment.token().await.unwrap().into());
    let connection = evenkeel_kit::channel::connect(&environment.executor_address(), &security).unwrap();
    let mut executor =
        evenkeel_proto::execution::v1::execution_service_client::ExecutionServiceClient::new(connection);
    let (me, target) = (owner("hand"), "shop/Deployment/hand".to_owned());
    let spec = spec(me.clone(), &target, &[("SLEEP_SECONDS", "600")]);
    let explain = evenkeel_proto::execution::v1::ExplainExecutionRequest { spec: Some(spec.clone()) };
    executor.explain_execution(explain).await.unwrap();
    executor.start_execution(start(spec, 0)).await.unwrap();
    let cancel =
        CancelExecutionRequest { owner: Some(me.clone()), target: target.clone(), reason: "enough".into() };
    executor.cancel_execution(cancel).await.unwrap();
    executor.release_execution(ReleaseExecutionRequest { owner: Some(me), target }).await.unwrap();
}

/// A finished execution that is kept for a while and then deleted.
async fn retained(environment: &Environment) {
    environment.apply(&environment.execution("is-kept", "shop/Deployment/kept", &[])).await.unwrap();
    environment.settled("is-kept", LIMIT).await.unwrap();
    environment.service(Service::Controller).restart(&[("EVENKEEL_RETENTION", "1s")]).await.unwrap();
    wait::until_gone(&environment.executions(), "is-kept", LIMIT).await.unwrap();
}

#[test]
fn a_whole_life_needs_all_that_the_roles_give_and_nothing_else() {
    run(async {
        let stage = Stage::start(options()).await;
        whole_life(&stage).await;
        by_hand(&stage).await;
        retained(&stage).await;
        stage.service(Service::Controller).stop().await.unwrap();
        stage.service(Service::Executor).stop().await.unwrap();
        let Ok(requests) = stage.requests() else {
            println!("skipped: a cluster that somebody named does not record requests for tests");
            return;
        };
        assert!(requests.len() > 50, "the record is of these services: {requests:?}");
        assert_eq!(stage.forbidden().unwrap(), []);
        for service in [Service::Controller, Service::Executor] {
            let account = format!("evenkeel-{service}");
            let own = requests.iter().filter(|request| request.account == account);
            let used: BTreeSet<_> = own.map(|it| (it.resource.clone(), it.verb.clone())).collect();
            let granted = granted(service);
            assert!(granted.len() > 5, "{granted:?}");
            let unused: Vec<_> = granted.difference(&used).collect();
            assert!(unused.is_empty(), "granted and never used: {unused:?}");
        }
    });
}

#[test]
fn an_execution_costs_no_more_requests_than_it_needs() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "2s")).await;
        if stage.requests().is_err() {
            println!("skipped: a cluster that somebody named does not record requests for tests");
            return;
        }
        let execution = stage.execution("frugal", "shop/Deployment/frugal", &[("SLEEP_SECONDS", "1")]);
        stage.apply(&execution).await.unwrap();
        stage.phase("frugal", "Completed", LIMIT).await.unwrap();
        let before = writes(&stage.requests().unwrap(), "evenkeel-executor");
        assert!(total(&before) <= 4, "the executor wrote before the release: {before:?}");
        assert!(total(&before) >= 3, "a lock, a run, and its going live: {before:?}");
        stage.settled("frugal", LIMIT).await.unwrap();
        let controller = writes(&stage.requests().unwrap(), "evenkeel-controller");
        let status: usize = of(&controller, "workflowexecutions/status");
        assert!((1..=3).contains(&status), "status writes of the controller: {controller:?}");
        assert_eq!(of(&controller, "workflowexecutions"), 1, "the finalizer and the trace: {controller:?}");
        let others: Vec<_> = controller
            .iter()
            .filter(|((_, resource), _)| !resource.starts_with("workflowexecutions"))
            // Telling people, and leading, which costs the same whether there are executions or not.
            .filter(|((_, resource), _)| !["events", "leases"].contains(&resource.as_str()))
            .collect();
        assert!(others.is_empty(), "{others:?}");
        let asked: Vec<_> = stage.requests().unwrap().into_iter().filter(is_of_one_execution).collect();
        assert!(asked.len() <= 8, "the executor asks what it knows or is told anyway: {asked:?}");
    });
}

/// Whether a request is one that the executor makes for an execution, and not for all.
fn is_of_one_execution(request: &Request) -> bool {
    let is_about_it = matches!(request.resource.as_str(), "leases" | "jobs");
    request.account == "evenkeel-executor"
        && is_about_it
        && !matches!(request.verb.as_str(), "list" | "watch")
}

/// Writes of an account, by verb and resource.
fn writes(requests: &[Request], account: &str) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for request in requests.iter().filter(|request| request.account == account && request.is_write()) {
        *counts.entry((request.verb.clone(), request.resource.clone())).or_default() += 1;
    }
    counts
}

fn total(writes: &BTreeMap<(String, String), usize>) -> usize {
    writes.values().sum()
}

fn of(writes: &BTreeMap<(String, String), usize>, resource: &str) -> usize {
    writes.iter().filter(|((_, it), _)| it == resource).map(|(_, count)| count).sum()
}
