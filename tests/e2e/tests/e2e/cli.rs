//! The command line against the real services: what it prints, and its exit codes.

use std::{path::PathBuf, process::Output};

use evenkeel_cluster::DEMO_IMAGE;
use evenkeel_test_kit::{Environment, program};
use kube::api::DeleteParams;
use tokio::process::Command;

use crate::support::{LIMIT, SHARED, on_a_node};

/// What a command came to.
struct Came {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Came {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Came {
    /// What was printed, if the exit code is this one.
    #[track_caller]
    fn to(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        let errors = self.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, usize::from(code != 0), "an error is one line: {}", self.stderr);
        self.stdout
    }
}

/// Runs a command with the variables of `environment` and no others.
async fn run_as(name: &str, environment: &Environment, args: &[&str]) -> Came {
    let security = environment.security().unwrap();
    let file = |path: Option<PathBuf>| path.unwrap().display().to_string();
    let variables = [
        ("KUBECONFIG", environment.kubeconfig().display().to_string()),
        ("EVENKEEL_NAMESPACE", environment.namespace().to_owned()),
        ("EVENKEEL_AUDIT", environment.audit_address()),
        ("EVENKEEL_CA", file(security.ca)),
        ("EVENKEEL_CERT", file(security.cert)),
        ("EVENKEEL_KEY", file(security.key)),
    ];
    let mut command = Command::new(program(name).unwrap());
    command.env_clear().envs(variables).args(args);
    command.output().await.unwrap().into()
}

async fn evenkeel(environment: &Environment, args: &[&str]) -> Came {
    run_as("evenkeel", environment, args).await
}

/// Arguments that run the demo.
fn demo<'a>(name: &'a str, target: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["run", "--name", name, "--workflow", "demo", "--image", DEMO_IMAGE, "--target", target];
    fixed.iter().chain(rest).copied().collect()
}

#[test]
fn run_watch_get_and_describe_tell_a_success() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let rest = ["--param", "SLEEP_SECONDS=1", "--request", "rr-cli", "--wait"];
        let told = evenkeel(&environment, &demo("cli-good", "shop/Deployment/cli-good", &rest)).await.to(0);
        for part in ["execution cli-good created in", "Running", "Completed"] {
            assert!(told.contains(part), "{told}");
        }
        let watched = evenkeel(&environment, &["watch", "cli-good"]).await.to(0);
        assert!(watched.contains("Completed"), "{watched}");
        let table = evenkeel(&environment, &["get"]).await.to(0);
        let row = table.lines().find(|line| line.starts_with("cli-good ")).unwrap();
        assert!(row.contains("Completed") && row.contains("shop/Deployment/cli-good"), "{row}");
        let stored = evenkeel(&environment, &["get", "cli-good", "-o", "json"]).await.to(0);
        let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored["status"]["phase"], "Completed");
        let as_plugin = run_as("kubectl-evenkeel", &environment, &["get", "cli-good"]).await.to(0);
        assert!(as_plugin.contains("cli-good"), "{as_plugin}");
        environment.settled("cli-good", LIMIT).await.unwrap();
        let sheet = evenkeel(&environment, &["describe", "cli-good"]).await.to(0);
        for part in ["Trace:", "WorkflowCompleted", "AuditRecorded", "rr-cli", "wfe-"] {
            assert!(sheet.contains(part), "{part} is not in {sheet}");
        }
    });
}

#[test]
fn a_failed_execution_has_its_own_exit_code_and_is_explained() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let rest = ["--param", "EXIT_CODE=7", "--wait"];
        let came = evenkeel(&environment, &demo("cli-bad", "shop/Deployment/cli-bad", &rest)).await;
        assert!(came.stderr.contains("TaskFailed"), "{}", came.stderr);
        came.to(3);
        evenkeel(&environment, &["watch", "cli-bad"]).await.to(3);
        let sheet = evenkeel(&environment, &["describe", "cli-bad"]).await.to(0);
        for part in ["TaskFailed", "Exit code:", "7", "the target may have been changed"] {
            assert!(sheet.contains(part), "{part} is not in {sheet}");
        }
    });
}

#[test]
fn what_is_absent_late_or_wrong_has_its_own_exit_code() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        for command in [&["get", "absent"][..], &["describe", "absent"], &["watch", "absent"]] {
            evenkeel(&environment, command).await.to(4);
        }
        evenkeel(&environment, &["audit", "verify", "absent"]).await.to(4);
        let rest = ["--param", "SLEEP_SECONDS=600", "--wait", "--wait-timeout", "2s"];
        evenkeel(&environment, &demo("cli-late", "shop/Deployment/cli-late", &rest)).await.to(6);
        environment.executions().delete("cli-late", &DeleteParams::default()).await.unwrap();
        evenkeel(&environment, &demo("cli-none", "not-a-target", &[])).await.to(2);
        let came = evenkeel(&environment, &["--kubeconfig", "/absent/kubeconfig", "get"]).await;
        assert!(came.stderr.contains("/absent/kubeconfig"), "{}", came.stderr);
        came.to(1);
    });
}

#[test]
fn the_record_is_verified_also_offline_and_a_changed_one_is_refused() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let execution = environment.execution("cli-proved", "shop/Deployment/cli-proved", &[]);
        environment.apply(&execution).await.unwrap();
        environment.settled("cli-proved", LIMIT).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (bundle, changed, pin) = (path("bundle"), path("changed"), path("pin"));
        let online = ["audit", "verify", "cli-proved", "--pin", &pin, "--bundle", &bundle];
        let report = evenkeel(&environment, &online).await.to(0);
        for kind in ["selection.completed", "execution.started", "workflow.completed"] {
            assert!(report.contains(kind), "{report}");
        }
        evenkeel(&environment, &["audit", "verify", "--offline", &bundle, "--pin", &pin]).await.to(0);
        let text = std::fs::read_to_string(&bundle).unwrap();
        std::fs::write(&changed, text.replace("cli-proved", "cli-forged")).unwrap();
        evenkeel(&environment, &["audit", "verify", "--offline", &changed, "--pin", &pin]).await.to(5);
        evenkeel(&environment, &["audit", "verify", "--all", "--pin", &pin]).await.to(0);
    });
}
