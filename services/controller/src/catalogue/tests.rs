use std::{convert::Infallible, sync::Arc};

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use evenkeel_core::workflow::{Kind, Source};
use http_body_util::Full;
use kube::{client::Body, runtime::watcher::Event};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    http::tests::{Server, body},
    objects::Object,
    *,
};

const ID: &str = "5f0c1c70-0f0e-4e0c-9d2a-3c6a4f1b7d10";

/// An API server that lists what it has, and counts how often it is asked.
#[derive(Clone, Default)]
struct Cluster {
    objects: Arc<Mutex<Vec<Value>>>,
    refuses: Arc<Mutex<Option<u16>>>,
    lists: Arc<Mutex<usize>>,
}

impl Cluster {
    fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                *cluster.lists.lock() += 1;
                let (code, answer) = match *cluster.refuses.lock() {
                    Some(code) => (
                        code,
                        json!({ "kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "", "code": code }),
                    ),
                    None => {
                        (200, json!({ "kind": "List", "metadata": {}, "items": *cluster.objects.lock() }))
                    }
                };
                let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "ops")
    }

    /// A catalogue whose watch has shown `seen`.
    fn catalogue(&self, seen: &[Value], data_storage: Option<DataStorage>) -> Catalogue {
        let catalogue = Catalogue::new(self.client(), "ops", data_storage);
        catalogue.workflows.apply(Event::Init);
        for one in seen {
            catalogue.workflows.apply(Event::InitApply(parsed(one)));
        }
        catalogue.workflows.apply(Event::InitDone);
        catalogue
    }
}

fn parsed(object: &Value) -> Object {
    serde_json::from_value(object.clone()).unwrap()
}

fn object(name: &str, id: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationWorkflow",
        "metadata": { "name": name, "namespace": "ops" },
        "spec": {
            "version": "1.0.0", "actionType": "RestartPod",
            "description": { "what": "restarts", "whenToUse": "when stuck" },
            "labels": { "severity": ["*"], "environment": ["*"], "component": "*", "priority": "*" },
            "execution": {
                "engine": "job", "bundle": "image", "bundleDigest": "d", "serviceAccountName": "runner",
                "engineConfig": { "depth": 1 },
            },
            "dependencies": { "secrets": [{ "name": "db" }], "configMaps": [{ "name": "app" }] },
            "parameters": [{
                "name": "A", "type": "integer", "required": true, "description": "a", "enum": ["1", "2"],
                "pattern": "^[0-9]$", "minimum": 1, "maximum": 2, "default": 1, "dependsOn": ["B"],
            }],
        },
        "status": { "workflowId": id },
    })
}

fn spec(id: &str) -> Spec {
    Spec { workflow_id: id.to_owned(), workflow_version: "1.0.0".to_owned(), ..Spec::default() }
}

fn found(reading: Reading<Entry>) -> Workflow {
    match reading {
        Reading::Found(Ok(workflow)) => *workflow,
        other => panic!("{other:?}"),
    }
}

fn problem(reading: Reading<Entry>) -> String {
    match reading {
        Reading::Found(Err(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    }
}

fn unavailable(reading: Reading<Entry>) -> String {
    match reading {
        Reading::Unavailable(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_of_an_object_that_a_run_needs_is_taken_from_it() {
    let cluster = Cluster::default();
    let catalogue = cluster.catalogue(&[object("restart", ID)], None);
    for id in [ID, "restart"] {
        let workflow = found(catalogue.look_up(&spec(id)).await);
        assert_eq!(
            (workflow.source, workflow.name.as_str(), workflow.version.as_str()),
            (Source::Object, "restart", "1.0.0")
        );
        assert_eq!(
            (workflow.engine.as_str(), workflow.bundle.as_str(), workflow.digest.as_str()),
            ("job", "image", "d")
        );
        assert_eq!(
            (workflow.service_account.as_str(), workflow.engine_config),
            ("runner", Some(json!({ "depth": 1 })))
        );
        assert_eq!(
            (&workflow.dependencies.secrets[0], &workflow.dependencies.config_maps[0]),
            (&"db".to_owned(), &"app".to_owned())
        );
        let [a] = &workflow.parameters.unwrap()[..] else { panic!() };
        assert_eq!(
            (a.name.as_str(), a.kind, a.required, a.default.as_deref()),
            ("A", Kind::Integer, true, Some("1"))
        );
        assert_eq!((a.minimum, a.maximum, a.pattern.as_deref()), (Some(1.0), Some(2.0), Some("^[0-9]$")));
        assert_eq!(
            (&a.allowed[..], &a.needs[..]),
            (&["1".to_owned(), "2".to_owned()][..], &["B".to_owned()][..])
        );
    }
    assert_eq!(*cluster.lists.lock(), 0, "what the watch has shown is not asked for");
}

#[tokio::test]
async fn a_spec_that_has_it_all_is_not_looked_up() {
    let catalogue = Catalogue::new(Cluster::default().client(), "ops", None);
    let all = Spec { engine: Some("job".to_owned()), ..spec(ID) };
    assert_eq!(catalogue.look_up(&all).await, Reading::Unread);
    assert_eq!(catalogue.look_up(&spec("")).await, Reading::Unread);
}

#[tokio::test]
async fn nothing_is_said_before_the_workflows_are_listed() {
    let cluster = Cluster::default();
    let catalogue = Catalogue::new(cluster.client(), "ops", None);
    assert!(unavailable(catalogue.look_up(&spec(ID)).await).contains("not listed yet"));
    assert_eq!(*cluster.lists.lock(), 0);
}

#[tokio::test]
async fn a_workflow_that_the_watch_has_not_shown_yet_is_found() {
    let cluster = Cluster::default();
    let catalogue = cluster.catalogue(&[object("restart", ID)], None);
    let told = problem(catalogue.look_up(&spec("scale")).await);
    assert!(
        told.contains("not found") && told.contains("'ops'") && told.contains("executionEngine"),
        "{told}"
    );
    cluster.objects.lock().push(object("scale", ""));
    assert_eq!(found(catalogue.look_up(&spec("scale")).await).name, "scale");
    let mut newer = object("restart", ID);
    newer["spec"]["version"] = json!("2.0.0");
    let asked = Spec { workflow_version: "2.0.0".to_owned(), ..spec("restart") };
    assert!(problem(catalogue.look_up(&asked).await).contains("not found"), "it is gone by now");
    cluster.objects.lock().push(newer);
    assert_eq!(found(catalogue.look_up(&asked).await).version, "2.0.0");
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_an_outage() {
    let cluster = Cluster::default();
    let catalogue = cluster.catalogue(&[], None);
    *cluster.refuses.lock() = Some(403);
    assert!(unavailable(catalogue.look_up(&spec("scale")).await).contains("Forbidden"));
    *cluster.refuses.lock() = Some(404);
    assert!(
        problem(catalogue.look_up(&spec("scale")).await).contains("not found"),
        "there is no such definition"
    );
}

#[tokio::test]
async fn the_watch_adds_changes_and_forgets_workflows() {
    let cluster = Cluster::default();
    let catalogue = cluster.catalogue(&[object("restart", ""), object("gone", "")], None);
    catalogue.workflows.apply(Event::Apply(parsed(&object("restart", ID))));
    catalogue.workflows.apply(Event::Delete(parsed(&object("gone", ""))));
    assert_eq!(found(catalogue.look_up(&spec(ID)).await).name, "restart");
    assert!(problem(catalogue.look_up(&spec("gone")).await).contains("not found"));
    let mut leaving = object("restart", ID);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    catalogue.workflows.apply(Event::Apply(parsed(&leaving)));
    assert!(problem(catalogue.look_up(&spec(ID)).await).contains("not found"), "what goes is not begun with");
    catalogue.workflows.apply(Event::Init);
    catalogue.workflows.apply(Event::InitApply(parsed(&object("scale", ""))));
    catalogue.workflows.apply(Event::InitDone);
    assert_eq!(found(catalogue.look_up(&spec("scale")).await).name, "scale");
}

#[tokio::test]
async fn a_broken_object_hides_no_other() {
    let mut broken = object("broken", "");
    broken["spec"] = json!({ "version": 7 });
    let mut odd = object("odd", "");
    odd["spec"]["parameters"][0]["type"] = json!("colour");
    let cluster = Cluster::default();
    let seen = [broken, odd, object("restart", ID)];
    cluster.objects.lock().extend(seen.clone());
    let catalogue = cluster.catalogue(&seen, None);
    assert_eq!(found(catalogue.look_up(&spec(ID)).await).name, "restart");
    assert!(problem(catalogue.look_up(&spec("broken")).await).contains("'broken' cannot be used"));
    assert!(problem(catalogue.look_up(&spec("odd")).await).contains("'colour'"));
}

#[tokio::test]
async fn data_storage_is_asked_for_what_the_cluster_does_not_have() {
    let server = Server::start(&[(200, &body(|_| {})), (404, ""), (503, "")]).await;
    let catalogue = Cluster::default().catalogue(&[object("scale", "")], Some(server.storage()));
    assert_eq!(found(catalogue.look_up(&spec(ID)).await).source, Source::DataStorage);
    assert_eq!(found(catalogue.look_up(&spec("scale")).await).source, Source::Object);
    let other = "11111111-2222-4333-8444-555555555555";
    let told = problem(catalogue.look_up(&spec(other)).await);
    assert!(told.contains("not found") && told.contains("Data Storage has none"), "{told}");
    assert!(unavailable(catalogue.look_up(&spec(other)).await).contains("503"));
    assert_eq!(server.asked.lock().len(), 3);
}

#[tokio::test]
async fn what_is_no_uuid_is_never_asked_of_data_storage() {
    let server = Server::start(&[]).await;
    let catalogue = Cluster::default().catalogue(&[], Some(server.storage()));
    for id in ["not-a-uuid", "../../secrets", "5f0c1c70"] {
        let told = problem(catalogue.look_up(&spec(id)).await);
        assert!(told.contains("not found") && told.contains("no UUID"), "{told}");
    }
    assert_eq!(server.asked.lock().len(), 0);
}
