//! Who came first, goes first, and everybody says whom it waits for.

use std::time::Duration;

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{evidence::condition, run, wait};
use kube::api::DeleteParams;

use crate::support::{LIMIT, Stage, condition_of, options};

/// Creation times are stored in whole seconds; these shall differ.
const APART: Duration = Duration::from_millis(1_100);

async fn until(stage: &Stage, name: &str, says: &str, of: &str) {
    let met = |it: &WorkflowExecution| {
        condition_of(it, "Blocked") == says
            && condition(it, "Blocked").is_some_and(|blocked| blocked.message.contains(of))
    };
    wait::until(&stage.executions(), name, says, LIMIT, met).await.unwrap();
}

fn started(execution: &WorkflowExecution) -> jiff::Timestamp {
    execution.status.as_ref().unwrap().start_time.as_ref().unwrap().0
}

#[test]
fn executions_start_in_the_order_in_which_they_came() {
    run(async {
        let stage = Stage::start(options()).await;
        let at = "shop/Deployment/popular";
        stage.apply(&stage.execution("first", at, &[("SLEEP_SECONDS", "8")])).await.unwrap();
        stage.phase("first", "Running", LIMIT).await.unwrap();
        let waiting = ["zoe", "adam", "mia", "ben"];
        for name in waiting {
            tokio::time::sleep(APART).await;
            stage.apply(&stage.execution(name, at, &[])).await.unwrap();
        }
        until(&stage, "zoe", "True/TargetBusy", "first").await;
        until(&stage, "adam", "True/Queued", "zoe").await;
        until(&stage, "mia", "True/Queued", "adam").await;
        until(&stage, "ben", "True/Queued", "mia").await;
        // One that goes away leaves its place to those behind it.
        stage.executions().delete("adam", &DeleteParams::default()).await.unwrap();
        until(&stage, "mia", "True/Queued", "zoe").await;
        let mut ended = Vec::new();
        for name in ["first", "zoe", "mia", "ben"] {
            ended.push(stage.phase(name, "Completed", LIMIT).await.unwrap());
        }
        assert!(ended.is_sorted_by_key(started), "{ended:#?}");
    });
}
