//! Who waits, who is woken, and what people ask for through the object.

use super::*;

/// What every end is stored with.
fn ended(kind: &str, reason: &str) -> Value {
    let at = "2026-01-01T00:01:31Z";
    json!({ "type": kind, "status": "False", "reason": reason, "message": "m", "lastTransitionTime": at })
}

fn failed_at_the_start() -> Value {
    json!({
        "phase": "Failed", "completionTime": "2026-01-01T00:01:31Z",
        "conditions": [ended("ExecutionCreated", "ExecutionCreationFailed")],
    })
}

#[tokio::test]
async fn nothing_starts_before_every_execution_was_seen_once() {
    let mut stage = Stage::usual(accepted()).await;
    Arc::get_mut(&mut stage.context).unwrap().index = Arc::default();
    for _ in 0..4 {
        let asked = stage.look().await;
        assert!(!asked.contains(&"Start 0".to_owned()), "{asked:?}");
    }
    assert_eq!(stage.condition("Blocked"), "True/HistoryUnavailable");
    stage.context.index.apply(&watcher::Event::Init);
    stage.context.index.apply(&watcher::Event::InitDone);
    stage.look().await;
    assert_eq!((stage.phase().as_str(), stage.condition("Blocked").as_str()), ("Running", "False/Unblocked"));
}

#[tokio::test]
async fn an_execution_waits_behind_one_that_came_first_and_is_woken_when_that_starts() {
    let stage = Stage::usual(accepted()).await;
    let mut woken = stage.context.wake.attach();
    let mut first = accepted();
    first["metadata"]["name"] = json!("first");
    first["metadata"]["uid"] = json!("u-0");
    let seen = |object: &Value| watcher::Event::Apply(serde_json::from_value(object.clone()).unwrap());
    stage.context.index.apply(&seen(&first));
    stage.context.index.apply(&seen(&accepted()));
    assert_eq!(stage.look().await, ["GetTarget", "GET object", "PATCH status"]);
    assert_eq!(stage.condition("Blocked"), "True/Queued");
    first["metadata"]["resourceVersion"] = json!("7");
    first["status"] = failed_at_the_start();
    let first = serde_json::from_value(first).unwrap();
    let woken_by_it = stage.context.index.put(&first);
    assert_eq!(woken_by_it.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["we-1"]);
    assert!(woken.try_recv().is_err(), "the caller wakes");
    stage.look().await;
    assert_eq!((stage.phase().as_str(), stage.condition("Blocked").as_str()), ("Running", "False/Unblocked"));
}

#[tokio::test]
async fn an_annotation_ends_an_execution_before_its_start_and_while_it_runs() {
    let cancelled = |mut object: Value| {
        object["metadata"]["annotations"] = json!({ record::CANCEL_ANNOTATION: "not needed" });
        object
    };
    let waiting = Stage::usual(cancelled(accepted())).await;
    let asked = waiting.look().await;
    assert_eq!(asked[..3], ["GetTarget", "GET object", "Release"]);
    let details = waiting.stored()["status"]["failureDetails"].clone();
    assert!(details["message"].as_str().unwrap().contains("not needed"), "{details}");
    let running = Stage::usual(accepted()).await;
    running.look().await;
    assert_eq!(running.look_at(cancelled(running.stored())).await, ["Cancel"]);
    assert_eq!(running.phase(), "Running", "until it has ended");
}

#[tokio::test]
async fn a_clearance_is_told_and_never_written_by_us() {
    let mut failed = accepted();
    failed["status"] = json!({
        "phase": "Failed", "completionTime": "2026-01-01T00:01:31Z",
        "conditions": [ended("ExecutionComplete", "TaskFailed")],
        "failureDetails": {
            "failedTaskIndex": 0, "failedTaskName": "", "reason": "TaskFailed", "message": "m",
            "failedAt": "2026-01-01T00:01:31Z", "naturalLanguageSummary": "", "wasExecutionFailure": true,
        },
        "blockClearance": { "clearMethod": "StatusField", "clearReason": "looked at it", "clearedBy": "mary" },
    });
    let stage = Stage::usual(failed.clone()).await;
    stage.look().await;
    assert_eq!(stage.condition("Cleared"), "True/BlockCleared");
    assert_eq!(stage.stored()["status"]["blockClearance"], failed["status"]["blockClearance"]);
}
