//! Executions that want one target, with the whole system between them and their runs.

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{evidence::condition, run, wait};
use futures::future::join_all;
use kube::ResourceExt as _;

use crate::support::{COMPLETED, LIMIT, SELECTED, STARTED, Stage, options};

/// Whom an execution says it waits for.
fn waits_for(execution: &WorkflowExecution) -> Option<&str> {
    let blocked = condition(execution, "Blocked").filter(|blocked| blocked.status == "True")?;
    ["TargetBusy", "CooldownActive"].contains(&blocked.reason.as_str()).then_some(blocked.message.as_str())
}

fn phase(execution: &WorkflowExecution) -> &str {
    execution.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

async fn race(count: usize) {
    let stage = Stage::start(options()).await;
    let launches = stage.launches().await.unwrap();
    let names: Vec<String> = (1..=count).map(|number| format!("racer-{number}")).collect();
    let applied = join_all(names.iter().map(|name| async {
        let execution = stage.execution(name, "shop/Deployment/wanted", &[("SLEEP_SECONDS", "1")]);
        stage.apply(&execution).await.unwrap()
    }))
    .await;
    let executions = stage.executions();
    let first = join_all(names.iter().map(|name| {
        let decided = |it: &WorkflowExecution| waits_for(it).is_some() || phase(it) == "Running";
        wait::until(&executions, name, "running or waiting", LIMIT, decided)
    }))
    .await;
    let waiting: Vec<WorkflowExecution> =
        first.into_iter().map(Result::unwrap).filter(|it| waits_for(it).is_some()).collect();
    assert!(waiting.len() + 1 >= count, "only {} of {count} wait", waiting.len());
    for one in &waiting {
        let named =
            names.iter().any(|name| *name != one.name_any() && waits_for(one).unwrap().contains(name));
        assert!(named, "{:?} names nobody", waits_for(one));
    }
    let mut ended: Vec<WorkflowExecution> = Vec::new();
    for (before, name) in applied.iter().zip(&names) {
        let after = stage.settled(name, LIMIT).await.unwrap();
        assert_eq!(phase(&after), "Completed", "{after:?}");
        assert_eq!(launches.of(&before.uid().unwrap()).unwrap(), 1);
        let events = stage.audit_events(name).await.unwrap();
        assert_eq!(events.iter().map(|it| it.kind()).collect::<Vec<_>>(), [SELECTED, STARTED, COMPLETED]);
        ended.push(after);
    }
    ended.sort_by_key(|one| one.status.as_ref().unwrap().start_time.as_ref().unwrap().0);
    for pair in ended.windows(2) {
        let end = pair[0].status.as_ref().unwrap().completion_time.as_ref().unwrap().0;
        let start = pair[1].status.as_ref().unwrap().start_time.as_ref().unwrap().0;
        assert!(end <= start, "{} and {} overlap", pair[0].name_any(), pair[1].name_any());
    }
}

#[test]
fn two_executions_take_turns_and_the_one_that_waits_names_the_holder() {
    run(race(2));
}

#[test]
fn five_executions_take_turns_and_those_that_wait_name_the_holder() {
    run(race(5));
}
