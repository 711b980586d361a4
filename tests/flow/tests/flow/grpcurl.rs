//! A client with nothing but grpcurl, the authority's certificate and a token.

use std::{path::PathBuf, process::Stdio};

use evenkeel_cluster::tools::{self, Tool};
use evenkeel_test_kit::{Environment, Options, Service, run};
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::support::{LIMIT, Stage};

const SERVICE: &str = "evenkeel.execution.v1.ExecutionService";
const TARGET: &str = "shop/Deployment/by-hand";

struct Grpcurl {
    program: PathBuf,
    ca: PathBuf,
    address: String,
    token: Option<String>,
}

impl Grpcurl {
    async fn new(environment: &Environment, address: String, token: Option<String>) -> Self {
        let tools = tokio::task::spawn_blocking(|| tools::ensure(&[Tool::Grpcurl])).await.unwrap().unwrap();
        let program = tools.path(Tool::Grpcurl).unwrap().to_owned();
        Self { program, ca: environment.authority().cert_path(), address, token }
    }

    fn command(&self, data: Option<&Value>, rest: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().arg("-cacert").arg(&self.ca).kill_on_drop(true);
        if let Some(token) = &self.token {
            command.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        if let Some(data) = data {
            command.args(["-d", &data.to_string()]);
        }
        command.arg(&self.address).args(rest);
        command
    }

    /// What it printed, or what it said was wrong.
    async fn run(&self, data: Option<&Value>, rest: &[&str]) -> Result<String, String> {
        let output = self.command(data, rest).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Calls a method; the answer.
    async fn call(&self, method: &str, data: &Value) -> Value {
        let answer = self.run(Some(data), &[&format!("{SERVICE}/{method}")]).await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

#[test]
fn grpcurl_with_a_token_runs_cancels_and_releases_a_workflow() {
    run(async {
        let options = Options::default().without(Service::Controller).without(Service::Audit);
        let environment = Stage::start(options).await;
        let token = environment.token().await.unwrap();
        let grpcurl = Grpcurl::new(&environment, environment.executor_address(), Some(token)).await;

        let engines = grpcurl.call("ListEngines", &json!({})).await;
        assert_eq!(engines["engines"][0]["name"], "job", "{engines}");
        assert_eq!(engines["engines"][0]["available"], true, "{engines}");
        let owner = json!({"namespace": "hands", "name": "by-hand", "uid": "by-hand-1"});
        let spec = json!({
            "owner": owner, "target": TARGET, "engine": "job", "workflowId": "demo",
            "bundle": evenkeel_cluster::DEMO_IMAGE, "parameters": {"SLEEP_SECONDS": "600"},
        });
        let explained = grpcurl.call("ExplainExecution", &json!({"spec": spec})).await;
        let manifest: Value = serde_json::from_str(explained["manifests"][0].as_str().unwrap()).unwrap();
        assert_eq!((&manifest["kind"], &manifest["spec"]["suspend"]), (&json!("Job"), &json!(true)));
        assert_eq!(explained.get("problems"), None, "{explained}");
        assert!(environment.jobs().list(&ListParams::default()).await.unwrap().items.is_empty());

        let mut watch = Watch::begin(&grpcurl);
        watch.until(|answer| answer.get("synced").is_some()).await;
        let lock = grpcurl.call("GetTarget", &json!({"target": TARGET})).await;
        assert_eq!(lock["target"].get("token"), None, "never locked: {lock}");
        let started = grpcurl.call("StartExecution", &json!({"spec": spec, "expectedToken": "0"})).await;
        assert_eq!(started["execution"]["state"], "EXECUTION_STATE_RUNNING", "{started}");
        watch.until(|answer| answer["execution"]["state"] == "EXECUTION_STATE_RUNNING").await;
        let of = json!({"owner": owner, "target": TARGET, "reason": "somebody thought better of it"});
        grpcurl.call("CancelExecution", &of).await;
        let failed = watch.until(|answer| answer["execution"]["state"] == "EXECUTION_STATE_FAILED").await;
        assert_eq!(failed["execution"]["reason"], "Cancelled", "{failed}");
        let of = json!({"owner": owner, "target": TARGET});
        while grpcurl.call("ReleaseExecution", &of).await["state"] != "RELEASE_STATE_RELEASED" {}
        watch.until(|answer| answer["execution"]["state"] == "EXECUTION_STATE_GONE").await;
        let lock = grpcurl.call("GetTarget", &json!({"target": TARGET})).await["target"].clone();
        assert_eq!((lock.get("holder"), &lock["releasedUid"]), (None, &json!("by-hand-1")), "{lock}");
        assert!(environment.jobs().list(&ListParams::default()).await.unwrap().items.is_empty());
    });
}

/// A stream of answers.
struct Watch {
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    seen: Vec<Value>,
    _process: tokio::process::Child,
}

impl Watch {
    fn begin(grpcurl: &Grpcurl) -> Self {
        let method = format!("{SERVICE}/WatchExecutions");
        let mut command = grpcurl.command(Some(&json!({})), &[&method]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { lines, seen: Vec::new(), _process: process }
    }

    /// Reads on until an answer is as expected.
    async fn until(&mut self, expected: impl Fn(&Value) -> bool) -> Value {
        let read = tokio::time::timeout(LIMIT, async {
            loop {
                let answer = self.next().await;
                self.seen.push(answer.clone());
                if expected(&answer) {
                    return answer;
                }
            }
        });
        read.await.unwrap_or_else(|_| panic!("the stream did not show it"))
    }

    /// The next answer, which grpcurl prints over several lines.
    async fn next(&mut self) -> Value {
        let mut text = String::new();
        loop {
            let line = self.lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the stream ended after {:#?}", self.seen));
            text.push_str(&line);
            if line == "}" {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

#[test]
fn health_and_reflection_are_served_to_anybody_and_nothing_else_is() {
    run(async {
        let environment = Environment::start(Options::default().without(Service::Controller)).await.unwrap();
        let audit = "evenkeel.audit.v1.AuditService";
        for (address, service, method) in [
            (environment.executor_address(), SERVICE, "ListEngines"),
            (environment.audit_address(), audit, "GetCheckpoint"),
        ] {
            let nobody = Grpcurl::new(&environment, address, None).await;
            let listed = nobody.run(None, &["list"]).await.unwrap();
            for name in [service, "grpc.health.v1.Health"] {
                assert!(listed.lines().any(|line| line == name), "{listed}");
            }
            let described = nobody.run(None, &["describe", &format!("{service}.{method}")]).await.unwrap();
            assert!(described.contains(method), "{described}");
            for asked in ["", service] {
                let data = json!({"service": asked});
                let health = nobody.run(Some(&data), &["grpc.health.v1.Health/Check"]).await.unwrap();
                assert!(health.contains("\"SERVING\""), "{health}");
            }
            let refused = nobody.run(Some(&json!({})), &[&format!("{service}/{method}")]).await.unwrap_err();
            assert!(refused.contains("Unauthenticated") && refused.contains("NO_CREDENTIALS"), "{refused}");
        }
    });
}
