//! What a person does about executions, with the program that a person has.

use evenkeel_api::WorkflowExecution;
use evenkeel_cluster::tools::{self, Tool};
use evenkeel_test_kit::{Environment, evidence::CLEARED, program, run, wait};
use tokio::{process::Command, task::spawn_blocking};

use crate::support::{LIMIT, Stage, condition_of, options};

/// Runs a command, and gives what it printed if its exit code is this one.
async fn evenkeel(environment: &Environment, args: &[&str], code: i32) -> String {
    let mut command = Command::new(program("evenkeel").unwrap());
    command.env_clear().env("KUBECONFIG", environment.kubeconfig());
    command.env("EVENKEEL_NAMESPACE", environment.namespace()).args(args);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
    if code == 0 { stdout } else { stderr }
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_block_is_explained_and_cleared_by_command() {
    run(async {
        let stage = Stage::start(options()).await;
        let at = "shop/Deployment/explained";
        stage.apply(&stage.execution("broken", at, &[("EXIT_CODE", "3")])).await.unwrap();
        stage.phase("broken", "Failed", LIMIT).await.unwrap();
        stage.settled("broken", LIMIT).await.unwrap();
        stage.apply(&stage.execution("blocked", at, &[])).await.unwrap();
        let met = |it: &WorkflowExecution| condition_of(it, "Blocked") == "True/PreviousExecutionFailed";
        wait::until(&stage.executions(), "blocked", "being blocked", LIMIT, met).await.unwrap();

        let why = evenkeel(&stage, &["why", "blocked"], 0).await;
        has(
            &why,
            &[
                "Pending",
                "PreviousExecutionFailed",
                "/broken, Failed",
                "TaskFailed",
                "nothing by itself",
                "Trace:",
            ],
        );
        let why = evenkeel(&stage, &["why", "broken"], 0).await;
        has(&why, &["Failed", "evenkeel -n", "clear broken --reason"]);
        has(
            &evenkeel(&stage, &["clear", "blocked", "--reason", "whatever it may be"], 1).await,
            &["nothing to clear"],
        );
        has(&evenkeel(&stage, &["clear", "absent", "--reason", "whatever it may be"], 4).await, &["absent"]);
        let cleared = evenkeel(&stage, &["clear", "broken", "--reason", "looked at the pods"], 0).await;
        has(&cleared, &[at, "in the name of "]);
        let user = cleared.trim().rsplit(' ').next().unwrap().to_owned();
        stage.phase("blocked", "Completed", LIMIT).await.unwrap();
        evenkeel(&stage, &["clear", "broken", "--reason", "looked at them again"], 0).await;
        let told = |it: &WorkflowExecution| condition_of(it, "Cleared") == "True/BlockCleared";
        let broken = wait::until(&stage.executions(), "broken", "the clearance", LIMIT, told).await.unwrap();
        let clearance = broken.status.unwrap().block_clearance.unwrap();
        assert_eq!((clearance.cleared_by, clearance.clear_reason), (user, "looked at the pods".to_owned()));
        assert_eq!(stage.recorded("broken").await.unwrap().last().map(String::as_str), Some(CLEARED));
        has(&evenkeel(&stage, &["why", "broken"], 0).await, &["Cleared:", "looked at the pods"]);

        stage
            .apply(&stage.execution("long", "shop/Deployment/long", &[("SLEEP_SECONDS", "600")]))
            .await
            .unwrap();
        stage.phase("long", "Running", LIMIT).await.unwrap();
        has(
            &evenkeel(&stage, &["cancel", "long", "--reason", "takes too long"], 0).await,
            &["its run is stopped"],
        );
        let long = stage.phase("long", "Failed", LIMIT).await.unwrap();
        has(&long.status.unwrap().failure_details.unwrap().message, &["takes too long"]);
        has(&evenkeel(&stage, &["cancel", "long"], 1).await, &["has ended as Failed"]);
    });
}

#[test]
fn kubectl_waits_for_the_end_by_one_condition_whichever_way_it_ends() {
    run(async {
        let stage = Stage::start(options()).await;
        for (name, code) in [("good", "0"), ("bad", "1")] {
            let at = format!("shop/Deployment/{name}");
            let parameters = [("SLEEP_SECONDS", "1"), ("EXIT_CODE", code)];
            stage.apply(&stage.execution(name, &at, &parameters)).await.unwrap();
        }
        let tools = spawn_blocking(|| tools::ensure(&[Tool::Kubectl])).await.unwrap().unwrap();
        let mut command = Command::new(tools.path(Tool::Kubectl).unwrap());
        command.env_clear().env("KUBECONFIG", stage.kubeconfig());
        // What it learns of the cluster is kept beside the rest of the environment.
        command.env("HOME", stage.kubeconfig().parent().unwrap());
        command.args(["-n", stage.namespace(), "wait", "--timeout", "60s"]);
        command.args(["--for", "condition=Finished", "wfe/good", "wfe/bad"]);
        let output = command.output().await.unwrap();
        let (told, wrong) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{wrong}");
        has(&told, &["/good condition met", "/bad condition met"]);
        for (name, phase) in [("good", "Completed"), ("bad", "Failed")] {
            let ended = stage.executions().get(name).await.unwrap();
            assert_eq!(condition_of(&ended, "Finished"), format!("True/{phase}"));
        }
    });
}
