use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::{
    super::{
        ENGINE, TektonEngine,
        fixtures::{exit, read, task_run},
        follow::{self, Seen},
        spans::tests::{exported, span_context},
    },
    *,
};
use crate::{engine::Engine as _, marks::OWNER_UID, runs::Runs};

const LIMIT: Duration = Duration::from_secs(20);

/// A run that failed by the second step of its task.
fn failed(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "runs", "uid": format!("p-{name}"), "annotations": {OWNER_UID: "u-1"},
        },
        "status": {
            "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed"}],
            "childReferences": [{"kind": "TaskRun", "name": format!("{name}-a")}],
        },
    })
}

fn task(name: &str) -> Value {
    let steps = json!([exit("fetch", 0, "Completed", ""), exit("act", 3, "Error", "")]);
    let mut task = task_run(&format!("{name}-a"), &format!("p-{name}"), ("False", "StepFailed"), steps);
    task["metadata"]["labels"] = json!({"tekton.dev/pipelineRun": name});
    task["status"]["podName"] = format!("{name}-a-pod").into();
    task
}

/// What is asked for a run and its task.
fn asked(run: Value, task: Value) -> Option<Question> {
    let (run, task): (PipelineRun, TaskRun) = (read(run), read(task));
    question(&run, &[&task], &observe::facts(&run, &[&task]))
}

/// How an API server answers for a log; what is not ready never is.
type Log = Option<(u16, &'static [u8])>;

/// An API server that has these runs, sends the first one once more, and answers for the log of a pod;
/// with all that was asked for logs.
fn server(names: &'static [&str], log: fn(&str) -> Log) -> (Client, Arc<Mutex<Vec<String>>>) {
    let pod = json!({"metadata": {"name": "a-a-pod"}, "spec": {"containers": [{"name": "step-act"}]}});
    server_with(names, json!([pod]), log)
}

/// The same, with what is found of a pod.
fn server_with(
    names: &'static [&str],
    pods: Value,
    log: fn(&str) -> Log,
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let logs = Arc::new(Mutex::new(Vec::new()));
    let noted = logs.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri().to_string();
        let pod = uri.strip_prefix("/api/v1/namespaces/runs/pods/").map(str::to_owned);
        noted.lock().unwrap().extend(pod.clone());
        let pods = pods.clone();
        async move {
            let items = |item: fn(&str) -> Value| names.iter().map(|name| item(name)).collect::<Vec<_>>();
            let list = |items| {
                let list = json!({"metadata": {"resourceVersion": "1"}, "items": items});
                (200, list.to_string().into_bytes())
            };
            let (code, body) = match pod {
                None if uri.contains("/pipelineruns?") && uri.ends_with("resourceVersion=1") => {
                    let mut run = failed("a");
                    run["metadata"]["resourceVersion"] = "2".into();
                    (200, json!({"type": "MODIFIED", "object": run}).to_string().into_bytes())
                }
                None if uri.contains("watch=true") => std::future::pending().await,
                Some(pod) => match log(&pod) {
                    Some((code, body)) => (code, body.to_vec()),
                    None => std::future::pending().await,
                },
                None if uri.contains("/pods?") => {
                    assert!(uri.contains("fieldSelector=metadata.name%3D"), "{uri}");
                    list(pods.as_array().unwrap().clone())
                }
                None if uri.contains("/taskruns?") => list(items(task)),
                None if uri.contains("/pipelineruns?") => list(items(failed)),
                None => (200, failed("a").to_string().into_bytes()),
            };
            let mut answer = Response::new(Body::from(body));
            *answer.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, Infallible>(answer)
        }
    });
    (Client::new(service, "runs"), logs)
}

fn last_lines(facts: Option<Execution>) -> Vec<String> {
    facts.unwrap().failed_task.unwrap().last_lines
}

#[test]
fn the_words_of_a_failure_are_in_the_log_of_its_step() {
    let question = asked(failed("a"), task("a")).unwrap();
    assert_eq!((question.pod.as_str(), question.container.as_str()), ("a-a-pod", "step-act"));
    let mut running = failed("a");
    running["status"]["conditions"][0]["status"] = "Unknown".into();
    assert_eq!(asked(running, task("a")), None, "it may say more");
    let mut unbegun = task("a");
    unbegun["status"]["conditions"][0]["reason"] = "TaskRunImagePullFailed".into();
    assert_eq!(asked(failed("a"), unbegun), None, "it has no log");
    let mut lost = task("a");
    lost["status"]["podName"] = "".into();
    assert_eq!(asked(failed("a"), lost), None);
}

#[test]
fn of_a_run_that_was_given_secrets_no_words_are_told() {
    let mut given = failed("a");
    given["spec"]["workspaces"] = json!([{"name": "configmap-x", "configMap": {"name": "x"}}]);
    assert!(asked(given.clone(), task("a")).is_some());
    given["spec"]["workspaces"] = json!([{"name": "secret-db", "secret": {"secretName": "db"}}]);
    assert_eq!(asked(given, task("a")), None);
    let mut takes = task("a");
    takes["status"]["taskSpec"] =
        json!({"steps": [{"name": "act", "envFrom": [{"secretRef": {"name": "db"}}]}]});
    assert_eq!(asked(failed("a"), takes), None);
    let mut other = task("b");
    other["spec"]["workspaces"] = json!([{"name": "w", "secret": {"secretName": "db"}}]);
    let run: PipelineRun = read(failed("a"));
    let [first, other]: [TaskRun; 2] = [task("a"), other].map(read);
    let facts = observe::facts(&run, &[&first, &other]);
    assert_eq!(question(&run, &[&first, &other], &facts), None, "it may have handed one on");
}

#[tokio::test]
async fn of_a_pod_that_was_given_secrets_no_log_is_read() {
    let env = json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "db", "key": "k"}}}]);
    for (spec, words) in [
        (
            json!({"containers": [{"name": "step-act"}], "imagePullSecrets": [{"name": "r"}]}),
            &["no room"][..],
        ),
        (json!({"containers": [{"name": "step-act", "env": env}]}), &[]),
        // As Tekton gives to a pod what the ServiceAccount of its run has for git or a registry.
        (
            json!({"volumes": [{"name": "tekton-internal-secret-volume-git", "secret": {"secretName": "git"}}]}),
            &[],
        ),
    ] {
        let pods = json!([{"metadata": {"name": "a-a-pod"}, "spec": spec}]);
        let (client, logs) = server_with(&["a"], pods, |_| Some((200, b"no room")));
        let question = asked(failed("a"), task("a")).unwrap();
        assert_eq!(Logs::new(client).ask(&question).await, words, "{spec}");
        assert_eq!(logs.lock().unwrap().len(), words.len());
    }
    let (client, logs) = server_with(&["a"], json!([]), |_| Some((200, b"no room")));
    let question = asked(failed("a"), task("a")).unwrap();
    assert_eq!(Logs::new(client).ask(&question).await, [""; 0], "it is gone");
    assert!(logs.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_looked_for_comes_with_its_last_words() {
    for (log, words) in [
        (
            (|_| Some((200, b"\x1b[31mno\x1b[0m\xff room\n\nbye\n"))) as fn(&str) -> Log,
            &["no\u{fffd} room", "bye"][..],
        ),
        (|_| Some((404, b"{}")), &[]),
        (|_| Some((403, b"{}")), &[]),
        (|_| None, &[]),
    ] {
        let engine = TektonEngine::new(server(&["a"], log).0, "runs", true);
        let found = engine.look("a").await.unwrap().unwrap();
        let told = timeout(LIMIT, engine.tell(found)).await.unwrap();
        assert_eq!(last_lines(Some(told)), words);
    }
}

#[tokio::test(start_paused = true)]
async fn one_log_that_cannot_be_read_holds_up_its_own_run_only_and_not_for_long() {
    let (client, logs) = server(&["a", "b"], |pod| pod.starts_with("b-").then_some((200, b"no room")));
    let runs = Runs::new("i".into(), [ENGINE]);
    let (_, start) = runs.snapshot();
    let told = async {
        let (mut cursor, mut ends) = (start, Vec::new());
        while ends.len() < 2 {
            runs.changed(cursor).await;
            let (changes, now) = runs.since(cursor).unwrap();
            cursor = now;
            let ended = changes.into_iter().filter(|facts| facts.state() == ExecutionState::Failed);
            ends.extend(ended.map(|facts| facts.run_name));
        }
        ends
    };
    let reader = Logs::new(client.clone());
    let mut seen = Seen::default();
    let ends = tokio::select! {
        () = follow::publish(&client, "runs", &reader, &mut seen, &runs) => unreachable!(),
        ends = timeout(LIMIT, told) => ends.unwrap(),
    };
    assert_eq!(ends, ["b", "a"]);
    assert_eq!(last_lines(runs.get("b")), ["no room"]);
    assert_eq!(last_lines(runs.get("a")), [""; 0]);
    assert_eq!(logs.lock().unwrap().len(), 2, "once each");
}

#[tokio::test]
async fn the_tail_of_one_container_is_asked_for_in_the_trace_of_the_run() {
    let trace = "0af7651916cd43dd8448eb211c803106";
    assert!(exported(trace).is_empty());
    let (client, logs) = server(&["a"], |_| Some((200, b"no room")));
    let mut traced = failed("a");
    for (key, value) in span_context(trace, "01").as_object().unwrap() {
        traced["metadata"]["annotations"][key] = value.clone();
    }
    let question = asked(traced, task("a")).unwrap();
    assert_eq!(Logs::new(client).ask(&question).await, ["no room"]);
    let uri = logs.lock().unwrap().pop().unwrap();
    for part in ["a-a-pod/log?", "container=step-act", "tailLines=20", "limitBytes="] {
        assert!(uri.contains(part), "{uri}");
    }
    let names: Vec<_> = exported(trace).into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["k8s.pod.log.read"]);
}
