//! The environment itself, on a real cluster.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::time::Duration;

use evenkeel_proto::audit::v1::ListEventsRequest;
use evenkeel_test_kit::{Environment, Options, Service, StandIn, client_with_token, wait};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

async fn without_services() -> Environment {
    let options = Service::ALL.into_iter().fold(Options::default(), Options::without);
    Environment::start(options).await.unwrap()
}

fn job(name: &str, owner: &str, parameters: &[(&str, &str)]) -> Job {
    let env: Vec<_> = parameters.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {"evenkeel.dev/owner-uid": owner}},
        "spec": {"suspend": true, "backoffLimit": 0, "template": {"spec": {
            // No node takes it, so nobody but the stand-in gives it a status.
            "nodeSelector": {"evenkeel.dev/nowhere": "true"},
            "restartPolicy": "Never",
            "containers": [{"name": "workflow", "image": evenkeel_cluster::DEMO_IMAGE, "env": env}],
        }}},
    }))
    .unwrap()
}

async fn release(environment: &Environment, name: &str) {
    let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
    environment.jobs().patch(name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test]
async fn nothing_of_an_environment_stays() {
    let environment = without_services().await;
    let spaces = [environment.namespace().to_owned(), environment.execution_namespace().to_owned()];
    let execution = environment.execution("stays", "shop/Deployment/cart", &[]);
    let mut execution = environment.apply(&execution).await.unwrap();
    execution.finalizers_mut().push("kubernaut.ai/cleanup".into());
    environment.executions().replace("stays", &PostParams::default(), &execution).await.unwrap();
    let (directory, kubeconfig) = (environment.directory().to_owned(), environment.kubeconfig().to_owned());
    assert!(directory.join("environment.json").is_file());
    drop(environment);
    assert!(!directory.exists());
    let client = evenkeel_test_kit::client(&kubeconfig).await.unwrap();
    for name in spaces {
        wait::until_gone(&Api::<Namespace>::all(client.clone()), &name, LIMIT).await.unwrap();
    }
}

#[tokio::test]
async fn what_an_account_may_not_do_is_seen() {
    let environment = without_services().await;
    let token = environment.token().await.unwrap();
    let client = client_with_token(environment.kubeconfig(), &token).await.unwrap();
    let jobs: Api<Job> = Api::namespaced(client, environment.execution_namespace());
    let refused = jobs.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
    let forbidden = environment.forbidden().unwrap();
    assert_eq!(forbidden.len(), 1, "{forbidden:?}");
    assert_eq!((forbidden[0].verb.as_str(), forbidden[0].resource.as_str()), ("list", "jobs"));
    assert_eq!(forbidden[0].account, "evenkeel-client");
}

#[tokio::test]
async fn every_run_that_goes_live_is_counted_once() {
    let environment = without_services().await;
    let launches = environment.launches().await.unwrap();
    for name in ["one", "two", "never"] {
        environment.jobs().create(&PostParams::default(), &job(name, "owner", &[])).await.unwrap();
    }
    release(&environment, "one").await;
    launches.reach("owner", 1, LIMIT).await.unwrap();
    // Gone before anybody could list it.
    release(&environment, "two").await;
    environment.jobs().delete("two", &kube::api::DeleteParams::foreground()).await.unwrap();
    launches.reach("owner", 2, LIMIT).await.unwrap();
    wait::until_gone(&environment.jobs(), "two", LIMIT).await.unwrap();
    assert_eq!(launches.of("owner").unwrap(), 2);
    assert_eq!(launches.of("nobody").unwrap(), 0);
}

#[tokio::test]
async fn the_stand_in_ends_pods_as_their_workflow_would() {
    let environment = without_services().await;
    let pods: Api<Pod> = Api::namespaced(environment.client(), environment.execution_namespace());
    let _stand_in = StandIn::begin(pods.clone());
    let jobs = environment.jobs();
    for (name, parameters) in [("good", vec![("SLEEP_SECONDS", "0.2")]), ("bad", vec![("EXIT_CODE", "7")])] {
        jobs.create(&PostParams::default(), &job(name, name, &parameters)).await.unwrap();
        release(&environment, name).await;
    }
    let ended = |job: &Job, condition: &str| {
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|it| it.type_ == condition && it.status == "True")
    };
    wait::until(&jobs, "good", "its completion", LIMIT, |job| ended(job, "Complete")).await.unwrap();
    wait::until(&jobs, "bad", "its failure", LIMIT, |job| ended(job, "Failed")).await.unwrap();
    let selector = ListParams::default().labels("batch.kubernetes.io/job-name=bad");
    let pod = pods.list(&selector).await.unwrap().items.remove(0);
    let status = pod.status.unwrap().container_statuses.unwrap().remove(0);
    assert_eq!(status.state.unwrap().terminated.unwrap().exit_code, 7);
}

#[tokio::test]
async fn a_service_is_killed_paused_and_started_again_at_its_address() {
    let options = Options::default().without(Service::Executor).without(Service::Controller);
    let environment = Environment::start(options).await.unwrap();
    let audit = environment.service(Service::Audit);
    let list = async || {
        let call = environment.audit().unwrap().list_events(ListEventsRequest::default()).await;
        call.map(|answer| answer.into_inner().entries.len())
    };
    assert_eq!(list().await.unwrap(), 0);
    assert!(audit.metrics().await.unwrap().contains_key("audit_log_size"), "{:?}", audit.metrics().await);
    let first = audit.pid().unwrap();
    audit.kill();
    assert_eq!(audit.pid(), None);
    list().await.unwrap_err();
    audit.start(&[]).unwrap();
    audit.ready().await.unwrap();
    assert_eq!(list().await.unwrap(), 0);
    assert_ne!(audit.pid(), Some(first));
    audit.pause();
    audit.paused(LIMIT).await.unwrap();
    let slow = tokio::time::timeout(Duration::from_millis(300), list()).await;
    assert!(slow.is_err(), "a paused service does not answer: {slow:?}");
    audit.resume();
    assert_eq!(list().await.unwrap(), 0);
    audit.restart(&[("EVENKEEL_LOG", "debug")]).await.unwrap();
    audit.ready().await.unwrap();
}
