//! Two executors, each with an engine and a lock of its own.

use super::*;

fn of_engine(engine: &str) -> Value {
    let mut object = accepted();
    object["spec"]["workflowRef"]["executionEngine"] = json!(engine);
    object
}

fn owner(name: &str) -> proto::Owner {
    proto::Owner { namespace: "ops".to_owned(), name: name.to_owned(), uid: format!("uid-of-{name}") }
}

/// Engine `job` at the first, `argo` at the other.
async fn two(engine: &str) -> (Stage, fakes::Executor) {
    let stage = Stage::usual(of_engine(engine)).await;
    let other = fakes::Executor::named("other ", "argo", &stage.log);
    let addresses = [stage.executor.serve().await, other.serve().await];
    (at(stage, &addresses).await, other)
}

async fn at(mut stage: Stage, addresses: &[String]) -> Stage {
    let known = (stage.context.index.clone(), stage.context.runs.clone());
    let security = Security { plaintext: true, ..Security::default() };
    let executors = Executors::connect(addresses, &security, known, Duration::from_secs(30)).unwrap();
    executors.ask_everybody().await;
    Arc::get_mut(&mut stage.context).unwrap().executors = executors;
    stage
}

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn looks(stage: &Stage, count: usize) {
    for _ in 0..count {
        stage.look().await;
    }
}

fn message(stage: &Stage, kind: &str) -> String {
    let conditions = stage.stored()["status"]["conditions"].clone();
    let found = conditions.as_array().into_iter().flatten().find(|one| one["type"] == kind).cloned();
    found.map_or_else(String::new, |one| one["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_run_is_started_where_its_engine_is_after_the_others_were_fenced() {
    let (stage, other) = two("argo").await;
    let mut asked = stage.look().await;
    asked[..2].sort();
    assert_eq!(
        asked,
        ["GetTarget", "other GetTarget", "GET object", "Fence", "GetTarget", "other Start 0", "PATCH status"]
    );
    assert_eq!((stage.phase().as_str(), stage.executor.target.lock().token), ("Running", 1));
    other.set_state(ExecutionState::Succeeded);
    stage.context.runs.forget("u-1");
    let asked = stage.look().await;
    assert_eq!(asked, ["other GetExecution", "PATCH status"], "it is asked for where it runs");
    let (stage, _other) = two("job").await;
    assert!(stage.look().await.contains(&"Start 0".to_owned()));
}

#[tokio::test]
async fn a_target_that_another_executor_has_is_waited_for() {
    let (stage, other) = two("job").await;
    other.target.lock().holder = Some(owner("we-2"));
    other.target.lock().execution = Some(proto::Execution {
        owner: Some(owner("we-2")),
        state: ExecutionState::Running.into(),
        ..Default::default()
    });
    let asked = stage.look().await;
    assert!(!asked.iter().any(|what| what.contains("Start") || what.contains("Fence")), "{asked:?}");
    assert_eq!(stage.condition("Blocked"), "True/TargetBusy");
    assert!(message(&stage, "Blocked").contains("ops/we-2"));
}

#[tokio::test]
async fn a_target_that_another_executor_got_meanwhile_is_waited_for() {
    let (stage, other) = two("job").await;
    let mut held = proto::Target { holder: Some(owner("we-2")), ..Default::default() };
    held.held_since = Some(crate::facts::timestamp(record::now()));
    *other.rival.lock() = held.holder.clone();
    other.target.lock().held_since = held.held_since;
    let asked = stage.look().await;
    assert!(asked.contains(&"other Fence".to_owned()) && !asked.contains(&"Start 0".to_owned()), "{asked:?}");
    assert_eq!(stage.condition("Blocked"), "True/TargetBusy");
}

#[tokio::test]
async fn a_start_that_was_decided_before_the_fence_is_refused() {
    let (stage, _other) = two("argo").await;
    stage.look().await;
    let spec =
        proto::ExecutionSpec { engine: "job".to_owned(), owner: Some(owner("late")), ..Default::default() };
    let (_, first) = stage.context.executors.at(0).unwrap();
    let answer = first.start(spec, 0).await;
    assert_eq!(answer, evenkeel_core::plan::StartAnswer::Moved);
}

#[tokio::test]
async fn an_engine_that_nobody_has_is_told_with_those_that_there_are() {
    let (stage, _other) = two("tekton").await;
    looks(&stage, 2).await;
    let details = stage.stored()["status"]["failureDetails"].clone();
    assert_eq!(details["reason"], "UnsupportedEngine");
    let said = details["message"].as_str().unwrap();
    assert!(said.contains("'tekton'") && said.contains("argo, job"), "{said}");
}

#[tokio::test]
async fn an_engine_that_was_given_up_without_a_word_is_found_where_it_is_now() {
    let (stage, other) = two("argo").await;
    other.refuses.lock().push_back(Refuses(Class::Invalid, "UNKNOWN_ENGINE"));
    *other.engines.lock() = Vec::new();
    stage.executor.engines.lock().push("argo");
    let asked = stage.look().await;
    assert!(
        asked.contains(&"other Start 0".to_owned()) && asked.contains(&"Start 1".to_owned()),
        "{asked:?}"
    );
    assert_eq!(stage.phase(), "Running");
}

#[tokio::test]
async fn an_engine_may_be_at_an_executor_that_is_away_and_is_found_when_it_comes() {
    let stage = Stage::usual(of_engine("argo")).await;
    let addresses = [stage.executor.serve().await, nowhere().await];
    let stage = at(stage, &addresses).await;
    looks(&stage, 5).await;
    assert_eq!(stage.condition("Blocked"), "True/ExecutorUnavailable");
    assert!(message(&stage, "Blocked").contains(&addresses[1]), "{}", message(&stage, "Blocked"));
    let other = fakes::Executor::named("other ", "argo", &stage.log);
    let stage = at(stage, &[addresses[0].clone(), other.serve().await]).await;
    looks(&stage, 2).await;
    assert_eq!(stage.phase(), "Running");
}

#[tokio::test]
async fn an_executor_that_is_away_holds_up_only_targets_where_it_may_have_something() {
    let stage = Stage::usual(of_engine("job")).await;
    let addresses = [stage.executor.serve().await, nowhere().await];
    let stage = at(stage, &addresses).await;
    let mut before = of_engine("argo");
    before["metadata"]["name"] = json!("before");
    before["metadata"]["uid"] = json!("u-0");
    before["status"] = json!({ "phase": "Failed", "completionTime": "2026-01-01T00:00:00Z" });
    let seen = |object: &Value| watcher::Event::Apply(serde_json::from_value(object.clone()).unwrap());
    stage.context.index.apply(&seen(&before));
    looks(&stage, 5).await;
    assert_eq!(stage.condition("Blocked"), "True/ExecutorUnavailable");
    before["metadata"]["resourceVersion"] = json!("9");
    before["status"]["conditions"] = json!([{
        "type": "Released", "status": "True", "reason": "LockReleased", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    stage.context.index.apply(&seen(&before));
    looks(&stage, 2).await;
    assert_eq!(stage.phase(), "Running");
}

#[tokio::test]
async fn a_run_whose_engine_nobody_has_any_more_is_waited_for_and_not_told_as_deleted() {
    for (engine, is_named) in [("job", false), ("job", true), ("argo", false), ("argo", true)] {
        let (stage, other) = two(engine).await;
        stage.look().await;
        let own = if engine == "job" { &stage.executor } else { &other };
        let run = own.target.lock().execution.take();
        if is_named {
            *own.available.lock() = false;
        } else {
            own.engines.lock().clear();
        }
        stage.context.runs.forget("u-1");
        looks(&stage, 4).await;
        assert_eq!(
            (stage.phase().as_str(), stage.condition("Blocked").as_str()),
            ("Running", "True/ExecutorUnavailable")
        );
        let told = message(&stage, "Blocked");
        assert!(told.contains(&format!("the engine '{engine}'")), "{told}");
        own.target.lock().execution = run;
        *own.available.lock() = true;
        *own.engines.lock() = vec![engine];
        own.set_state(ExecutionState::Succeeded);
        looks(&stage, 2).await;
        assert_eq!(stage.phase(), "Completed");
    }
}

#[tokio::test]
async fn a_run_that_was_seen_to_go_is_gone_also_when_its_engine_went_with_it() {
    let (stage, other) = two("argo").await;
    stage.look().await;
    other.target.lock().execution = None;
    *other.available.lock() = false;
    stage.context.runs.left("u-1");
    looks(&stage, 2).await;
    assert_eq!(stage.phase(), "Failed");
    let told = stage.stored()["status"]["failureDetails"]["message"].clone();
    assert!(told.as_str().is_some_and(|told| told.contains("deleted")), "{told}");
}

#[tokio::test]
async fn a_run_is_gone_only_when_everybody_says_so() {
    let (stage, other) = two("argo").await;
    stage.look().await;
    other.target.lock().execution = None;
    stage.context.runs.forget("u-1");
    let asked = stage.look().await;
    assert_eq!(asked[..2], ["other GetExecution", "GetExecution"], "{asked:?}");
    assert_eq!(stage.phase(), "Failed");

    let stage = Stage::usual(of_engine("job")).await;
    let addresses = [stage.executor.serve().await, nowhere().await];
    let stage = at(stage, &addresses).await;
    stage.look().await;
    stage.executor.target.lock().execution = None;
    stage.context.runs.forget("u-1");
    stage.look().await;
    assert_eq!(stage.phase(), "Running", "somebody who may know it is away");
}
