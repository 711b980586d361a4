//! Several executions that want one target: one at a time, each once, none forgotten.

use std::time::Duration;

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{Environment, evidence::condition, wait};
use futures::future::join_all;
use kube::ResourceExt as _;

use crate::support::{COMPLETED, LIMIT, SELECTED, STARTED, check_record, on_a_node, options};

/// Longest that five may take one after the other.
const ALL: Duration = Duration::from_secs(100);

/// Whether an execution says that it waits for another, by name.
fn waits(execution: &WorkflowExecution) -> bool {
    condition(execution, "Blocked").is_some_and(|blocked| {
        blocked.status == "True"
            && matches!(blocked.reason.as_str(), "TargetBusy" | "CooldownActive")
            && blocked.message.contains("racer-")
    })
}

/// Lets so many executions race for one target and checks that they ran one after the other.
async fn race(count: usize) {
    let environment = Environment::start(options().setting("EVENKEEL_COOLDOWN", "1s")).await.unwrap();
    let launches = environment.launches().await.unwrap();
    let names: Vec<String> = (1..=count).map(|number| format!("racer-{number}")).collect();
    let target = "shop/Deployment/wanted";
    let applied = join_all(names.iter().map(|name| async {
        environment.apply(&environment.execution(name, target, &[("SLEEP_SECONDS", "1")])).await.unwrap()
    }))
    .await;
    let executions = environment.executions();
    let waited = join_all(names.iter().map(|name| {
        let settled = |it: &WorkflowExecution| waits(it) || phase(it) == "Running";
        wait::until(&executions, name, "running or waiting", LIMIT, settled)
    }))
    .await;
    let waiting = waited.into_iter().filter(|one| waits(one.as_ref().unwrap())).count();
    assert!(waiting >= count - 1, "only {waiting} of {count} said whom they wait for");

    let mut ended = Vec::new();
    for name in &names {
        ended.push(environment.settled(name, ALL).await.unwrap());
    }
    for (before, after) in applied.iter().zip(&ended) {
        assert_eq!(phase(after), "Completed", "{after:?}");
        assert_eq!(
            launches.of(&before.uid().unwrap()).unwrap(),
            1,
            "{} ran another number of times",
            before.name_any()
        );
        check_record(&environment, after, &[SELECTED, STARTED, COMPLETED]).await;
    }
    ended.sort_by_key(|one| one.status.as_ref().unwrap().start_time.as_ref().unwrap().0);
    for pair in ended.windows(2) {
        let (first, second) = (pair[0].status.as_ref().unwrap(), pair[1].status.as_ref().unwrap());
        let (end, start) = (first.completion_time.as_ref().unwrap().0, second.start_time.as_ref().unwrap().0);
        assert!(end <= start, "{} and {} overlap", pair[0].name_any(), pair[1].name_any());
    }
}

fn phase(execution: &WorkflowExecution) -> &str {
    execution.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

#[test]
fn two_executions_that_race_for_a_target_run_one_after_the_other() {
    on_a_node(race(2));
}

#[test]
fn five_executions_that_race_for_a_target_run_one_after_the_other() {
    on_a_node(race(5));
}
