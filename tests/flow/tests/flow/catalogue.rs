//! Executions that leave it to a catalogue what runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use evenkeel_api::{RemediationWorkflow, WorkflowExecution};
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Environment,
    evidence::{COMPLETED, FAILED, SELECTED, STARTED, condition},
    run, wait,
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Namespace, Secret},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{LIMIT, Stage, options};

const PINNED: &str = "local/restart@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ID: &str = "11111111-2222-4333-8444-555555555555";

/// A workflow of the catalogue, with a name of its own.
fn workflow(name: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationWorkflow",
        "metadata": { "name": name },
        "spec": {
            "version": "1.0.0", "actionType": "RestartPod",
            "description": { "what": "restarts", "whenToUse": "when stuck" },
            "labels": { "severity": ["*"], "environment": ["*"], "component": "*", "priority": "*" },
            "execution": { "engine": "job", "bundle": PINNED },
            "dependencies": { "secrets": [{ "name": "catalogue-needs" }] },
            "parameters": [
                { "name": "REPLICAS", "type": "integer", "required": true, "description": "r", "maximum": 9 },
                { "name": "MODE", "type": "string", "required": false, "description": "m", "default": "safe" },
            ],
        },
    })
}

async fn publish(environment: &Environment, namespace: &str, name: &str) {
    let api: Api<RemediationWorkflow> = Api::namespaced(environment.client(), namespace);
    let workflow = serde_json::from_value(workflow(name)).unwrap();
    api.create(&PostParams::default(), &workflow).await.unwrap();
}

/// An execution of which only a catalogue knows how it runs.
fn execution(
    environment: &Environment,
    name: &str,
    id: &str,
    parameters: &[(&str, &str)],
) -> WorkflowExecution {
    let mut execution = environment.execution(name, &format!("shop/Deployment/{name}"), parameters);
    id.clone_into(&mut execution.spec.workflow_ref.workflow_id);
    execution.spec.workflow_ref.execution_engine = None;
    execution
}

fn variables(job: &Job) -> BTreeMap<String, String> {
    let container = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
    let variables = container.env.iter().flatten();
    variables.map(|one| (one.name.clone(), one.value.clone().unwrap_or_default())).collect()
}

async fn check_failed(environment: &Environment, execution: WorkflowExecution, words: &[&str]) {
    let name = execution.metadata.name.clone().unwrap();
    environment.apply(&execution).await.unwrap();
    let ended = environment.settled(&name, LIMIT).await.unwrap();
    let details = ended.status.as_ref().unwrap().failure_details.clone().unwrap();
    assert_eq!((details.reason.as_str(), details.was_execution_failure), ("ConfigurationError", false));
    for word in words {
        assert!(details.message.contains(word), "'{word}' is not in {:?}", details.message);
    }
    environment.told(&ended, &["WorkflowValidationFailed", "WorkflowFailed"], LIMIT).await.unwrap();
    let recorded = environment.recorded(&name).await.unwrap();
    assert_eq!(recorded.last().map(String::as_str), Some(FAILED));
}

#[test]
fn what_the_catalogue_has_is_what_runs_and_what_goes_on_record() {
    run(async {
        let stage = Stage::start(options()).await;
        let secrets: Api<Secret> = Api::namespaced(stage.client(), stage.execution_namespace());
        let secret = json!({ "metadata": { "name": "catalogue-needs" }, "stringData": { "key": "value" } });
        let secret = secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await;
        secret.unwrap();
        publish(&stage, stage.namespace(), "restart").await;
        let given = [("REPLICAS", "3"), ("UNDECLARED", "x")];
        stage.apply(&execution(&stage, "selected", "restart", &given)).await.unwrap();
        let running = stage.phase("selected", "Running", LIMIT).await.unwrap();
        let job = stage.jobs().get(&run_name("shop/Deployment/selected")).await.unwrap();
        let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        assert_eq!(pod.containers[0].image.as_deref(), Some(PINNED));
        let mounted =
            pod.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()?.secret_name.clone());
        assert_eq!(mounted.collect::<Vec<_>>(), ["catalogue-needs"]);
        let variables = variables(&job);
        assert_eq!((variables["REPLICAS"].as_str(), variables["MODE"].as_str()), ("3", "safe"));
        assert!(!variables.contains_key("UNDECLARED"), "{variables:?}");
        assert_eq!(
            running.spec.workflow_ref.execution_bundle,
            evenkeel_cluster::DEMO_IMAGE,
            "the spec stays"
        );
        let status = running.status.as_ref().unwrap();
        let selected = status.workflow.as_ref().unwrap();
        assert_eq!((selected.source.as_str(), selected.name.as_str()), ("RemediationWorkflow", "restart"));
        assert_eq!(
            (selected.execution_bundle.as_str(), status.execution_engine.as_deref()),
            (PINNED, Some("job"))
        );
        stage.executions().delete("selected", &DeleteParams::default()).await.unwrap();
        wait::until_gone(&stage.executions(), "selected", LIMIT).await.unwrap();
        let recorded = stage.audit_events("selected").await.unwrap();
        let data = &recorded.iter().find(|event| event.kind() == STARTED).unwrap().body["event_data"];
        assert_eq!(data["container_image"], PINNED);
        let names: Vec<_> = data["parameters"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["MODE", "REPLICAS"]);

        secrets.delete("catalogue-needs", &DeleteParams::default()).await.unwrap();
        let lacking = execution(&stage, "lacking", "restart", &given);
        check_failed(&stage, lacking, &["Secret", "catalogue-needs", stage.execution_namespace()]).await;
    });
}

#[test]
fn an_execution_that_the_catalogue_cannot_serve_fails_and_says_why() {
    run(async {
        let stage = Stage::start(options()).await;
        let elsewhere = format!("{}-elsewhere", stage.namespace());
        let namespaces: Api<Namespace> = Api::all(stage.client());
        let namespace = serde_json::from_value(json!({ "metadata": { "name": elsewhere } })).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        publish(&stage, &elsewhere, "foreign").await;
        publish(&stage, stage.namespace(), "restart").await;
        let of = |name: &str, id: &str, parameters: &[(&str, &str)]| execution(&stage, name, id, parameters);
        check_failed(&stage, of("foreign", "foreign", &[]), &["'foreign' was not found", stage.namespace()])
            .await;
        check_failed(&stage, of("nameless", "", &[]), &["workflowId", "executionEngine"]).await;
        check_failed(&stage, of("unfit", "restart", &[]), &["restart", "REPLICAS is required"]).await;
        let words = ["REPLICAS must be at most 9"];
        check_failed(&stage, of("wrong", "restart", &[("REPLICAS", "10")]), &words).await;
        let mut other = of("other", "restart", &[("REPLICAS", "1")]);
        other.spec.workflow_ref.version = "2.0.0".into();
        check_failed(&stage, other, &["'1.0.0'", "'2.0.0'"]).await;
        let mut digest = of("digest", "restart", &[("REPLICAS", "1")]);
        digest.spec.workflow_ref.execution_bundle_digest = Some(format!("sha256:{}", "f".repeat(64)));
        check_failed(&stage, digest, &["digest", "0123456789abcdef", "ffff"]).await;
        assert!(stage.jobs().list(&ListParams::default()).await.unwrap().items.is_empty());
        namespaces.delete(&elsewhere, &DeleteParams::default()).await.unwrap();
    });
}

/// Answers for workflows by the end of their path; what it has no answer for, there is not.
type Answers = Arc<Mutex<HashMap<String, (u16, String)>>>;

async fn data_storage() -> (String, Answers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Answers::default();
    let given = answers.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let id = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
            let (code, body) = given.lock().unwrap().get(id).cloned().unwrap_or_else(|| (404, "{}".into()));
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {code} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, answers)
}

#[test]
fn an_outage_of_data_storage_is_waited_for_and_only_a_definite_answer_ends_an_execution() {
    run(async {
        let (url, answers) = data_storage().await;
        let stage = Stage::start(options().setting("EVENKEEL_DATASTORAGE_URL", &url)).await;
        let down = (500, "{}".to_owned());
        answers.lock().unwrap().insert(ID.into(), down);
        stage
            .apply(&execution(&stage, "patient", ID, &[("SLEEP_SECONDS", "0"), ("OTHER", "x")]))
            .await
            .unwrap();
        let waits = |it: &WorkflowExecution| {
            condition(it, "Blocked")
                .is_some_and(|it| it.status == "True" && it.reason == "CatalogueUnavailable")
        };
        let waiting = wait::until(&stage.executions(), "patient", "its wait", LIMIT, waits).await.unwrap();
        let message = &condition(&waiting, "Blocked").unwrap().message;
        assert!(message.contains("internal server error") && message.contains(ID), "{message}");
        assert_eq!(waiting.status.unwrap().phase.as_deref(), Some("Pending"));
        let missing = "99999999-2222-4333-8444-555555555555";
        let content = "{apiVersion: kubernaut.ai/v1alpha1, kind: RemediationWorkflow, metadata: {name: demo}, \
             spec: {parameters: [{name: SLEEP_SECONDS, type: integer, required: true}]}}";
        let body = json!({
            "workflowId": ID, "workflowName": "demo", "actionType": "Demo", "version": "1.0.0",
            "schemaVersion": "1.0", "name": "Demo", "description": {}, "labels": {}, "content": content,
            "contentHash": "0".repeat(64), "executionEngine": "job", "status": "Superseded",
            "executionBundle": evenkeel_cluster::DEMO_IMAGE,
        });
        answers.lock().unwrap().insert(ID.into(), (200, body.to_string()));
        let completed = stage.phase("patient", "Completed", LIMIT).await.unwrap();
        let selected = completed.status.unwrap().workflow.unwrap();
        assert_eq!((selected.source.as_str(), selected.name.as_str()), ("DataStorage", "demo"));
        assert_eq!(selected.parameter_names, Some(vec!["SLEEP_SECONDS".to_owned()]));
        stage.settled("patient", LIMIT).await.unwrap();
        assert_eq!(stage.recorded("patient").await.unwrap(), [SELECTED, STARTED, COMPLETED]);
        let words = ["was not found", "Data Storage has none"];
        check_failed(&stage, execution(&stage, "missing", missing, &[]), &words).await;
    });
}
