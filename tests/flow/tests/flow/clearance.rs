//! Who may clear a blocked target, and that nobody can make it look as if somebody else did.

use std::time::Duration;

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{Environment, Options, Service, Shared, evidence::CLEARED, run, wait};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::support::{LIMIT, Stage, condition_of, options};

/// Definitions, policies and a namespace, and nobody who acts on what is in it.
static QUIET: Shared = Shared::new(|| Service::ALL.into_iter().fold(Options::default(), Options::without));

const WHY: &str = "looked at the pods, they are fine";

fn clearance(by: &str) -> Value {
    json!({ "clearMethod": "StatusField", "clearReason": WHY, "clearedBy": by, "clearedAt": Timestamp::now().to_string() })
}

fn failed() -> Value {
    json!({ "phase": "Failed", "completionTime": "2026-01-01T00:00:00Z", "failureDetails": {
        "failedTaskIndex": 0, "failedTaskName": "", "reason": "TaskFailed", "message": "m",
        "failedAt": "2026-01-01T00:00:00Z", "naturalLanguageSummary": "", "wasExecutionFailure": true,
    }})
}

async fn write(
    client: &Client,
    namespace: &str,
    name: &str,
    status: Value,
) -> Result<WorkflowExecution, String> {
    let api: Api<WorkflowExecution> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(name, &PatchParams::default(), &patch).await.map_err(|error| error.to_string())
}

/// An execution with this status, once the API server acts on the policy: it learns of one a moment
/// after it was applied.
async fn with_status(environment: &Environment, name: &str, status: Value) {
    environment.apply(&environment.execution(name, &format!("shop/Deployment/{name}"), &[])).await.unwrap();
    let (client, namespace) = (environment.client(), environment.namespace());
    write(&client, namespace, name, status).await.unwrap();
    let api: Api<WorkflowExecution> = Api::namespaced(client, namespace);
    let probe = Patch::Merge(json!({ "status": { "blockClearance": clearance("nobody") } }));
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let refused = async {
        while api.patch_status(name, &dry, &probe).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, refused).await.expect("the policy is in force");
}

#[test]
fn a_failed_run_blocks_its_target_until_somebody_clears_it() {
    run(async {
        let stage = Stage::start(options()).await;
        let at = "shop/Deployment/half-changed";
        stage.apply(&stage.execution("breaks", at, &[("EXIT_CODE", "3")])).await.unwrap();
        stage.phase("breaks", "Failed", LIMIT).await.unwrap();
        stage.settled("breaks", LIMIT).await.unwrap();
        stage.apply(&stage.execution("careful", at, &[])).await.unwrap();
        let says = |it: &WorkflowExecution| condition_of(it, "Blocked") == "True/PreviousExecutionFailed";
        let executions = stage.executions();
        let careful = wait::until(&executions, "careful", "being blocked", LIMIT, says).await.unwrap();
        let blocked = careful.status.as_ref().unwrap().conditions.iter().find(|it| it.type_ == "Blocked");
        let message = &blocked.unwrap().message;
        for part in ["breaks failed while it ran", "TaskFailed", at, "evenkeel -n"] {
            assert!(message.contains(part), "{message}");
        }
        stage.told(&careful, &["PreviousExecutionFailed"], LIMIT).await.unwrap();
        // Another target is used, rests and is released meanwhile: the cooldown is over here, too, and
        // still nothing starts.
        stage.apply(&stage.execution("elsewhere", "shop/Deployment/elsewhere", &[])).await.unwrap();
        stage.settled("elsewhere", LIMIT).await.unwrap();
        assert_eq!(executions.get("careful").await.unwrap().status.unwrap().phase.unwrap(), "Pending");

        let mary = stage.operator("mary").await.unwrap();
        let status = json!({ "blockClearance": clearance("mary") });
        write(&mary, stage.namespace(), "breaks", status).await.unwrap();
        stage.phase("careful", "Completed", LIMIT).await.unwrap();
        let told = |it: &WorkflowExecution| condition_of(it, "Cleared") == "True/BlockCleared";
        let cleared = wait::until(&executions, "breaks", "the clearance", LIMIT, told).await.unwrap();
        assert_eq!(cleared.status.as_ref().unwrap().block_clearance.as_ref().unwrap().cleared_by, "mary");
        stage.told(&cleared, &["BlockCleared"], LIMIT).await.unwrap();
        let events = stage.audit_events("breaks").await.unwrap();
        let last = events.last().unwrap();
        assert_eq!(events.iter().filter(|event| event.kind() == CLEARED).count(), 1);
        assert_eq!((last.kind(), last.text("actor_type"), last.text("actor_id")), (CLEARED, "user", "mary"));
        assert_eq!(last.text("event_action"), "block_cleared");
        assert_eq!(last.body["event_data"]["clear_reason"], WHY);
    });
}

#[test]
fn a_clearance_of_somebody_else_or_of_nothing_is_refused() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let namespace = environment.namespace();
        with_status(&environment, "forged", failed()).await;
        let mary = environment.operator("mary-forges").await.unwrap();
        let admin = environment.client();
        for (changed, value, told) in [
            ("clearedBy", json!("john"), "who clears, which is mary-forges"),
            ("clearedBy", json!(""), "who clears"),
            ("clearedBy", json!("system:serviceaccount:kubernaut-system:evenkeel-controller"), "who clears"),
            ("clearMethod", json!("APIEndpoint"), "StatusField"),
            ("clearMethod", json!("Annotation"), "StatusField"),
            ("clearReason", json!("ok"), "10 characters"),
            ("clearReason", json!("              "), "10 characters"),
            ("clearedAt", Value::Null, "when"),
        ] {
            let mut forged = clearance("mary-forges");
            forged[changed] = value.clone();
            let refused = write(&mary, namespace, "forged", json!({ "blockClearance": forged })).await;
            let refused = refused.expect_err(&format!("{changed} {value}"));
            assert!(refused.contains(told), "{changed}: {refused}");
        }
        // Not even who may do anything else can clear in another's name.
        let refused =
            write(&admin, namespace, "forged", json!({ "blockClearance": clearance("mary-forges") })).await;
        assert!(refused.unwrap_err().contains("who clears"));
        // What did not fail while it ran blocks nothing, and is not cleared before it might.
        let mut untouched = failed();
        untouched["failureDetails"]["wasExecutionFailure"] = json!(false);
        for (name, status) in [
            ("runs", json!({ "phase": "Running" })),
            ("done", json!({ "phase": "Completed" })),
            ("untouched", untouched),
        ] {
            environment.apply(&environment.execution(name, "shop/Deployment/any", &[])).await.unwrap();
            write(&admin, namespace, name, status).await.unwrap();
            let early = json!({ "blockClearance": clearance("mary-forges") });
            let refused = write(&mary, namespace, name, early).await.expect_err(name);
            assert!(refused.contains("nothing to clear"), "{name}: {refused}");
        }
        // Nor by writing the object instead of its status, or by being created with one.
        let api: Api<WorkflowExecution> = Api::namespaced(mary.clone(), namespace);
        let whole = Patch::Merge(json!({ "status": { "blockClearance": clearance("mary-forges") } }));
        let patched = api.patch("forged", &PatchParams::default(), &whole).await.unwrap();
        assert_eq!(patched.status.unwrap().block_clearance, None);
    });
}

#[test]
fn a_clearance_is_final_and_its_permission_gives_nothing_else() {
    run(async {
        let environment = QUIET.get().await.unwrap();
        let namespace = environment.namespace();
        with_status(&environment, "cleared", failed()).await;
        let mary = environment.operator("mary-clears").await.unwrap();
        let admin = environment.client();
        // Whoever may only clear could otherwise take the failure back, or invent a success after it.
        for status in [
            json!({ "phase": "Completed" }),
            json!({ "failureDetails": { "wasExecutionFailure": false } }),
            json!({ "failureDetails": null }),
            json!({ "completionTime": "2020-01-01T00:00:00Z" }),
            json!({ "conditions": [] , "executionEngine": "job" }),
            json!({ "phase": "Completed", "blockClearance": clearance("mary-clears") }),
        ] {
            let refused = write(&mary, namespace, "cleared", status.clone()).await;
            let refused = refused.expect_err(&status.to_string());
            assert!(refused.contains("may clear a block, and nothing else"), "{refused}");
        }
        let good = json!({ "blockClearance": clearance("mary-clears") });
        let stored = write(&mary, namespace, "cleared", good).await.unwrap();
        let stored = stored.status.unwrap().block_clearance.unwrap();
        assert_eq!((stored.cleared_by.as_str(), stored.clear_reason.as_str()), ("mary-clears", WHY));
        for client in [&mary, &admin] {
            for after in [
                Value::Null,
                json!({ "clearReason": "another reason than before" }),
                json!({ "clearedBy": "john" }),
                json!({ "clearedAt": "2020-01-01T00:00:00Z" }),
            ] {
                let refused = write(client, namespace, "cleared", json!({ "blockClearance": after })).await;
                assert!(refused.unwrap_err().contains("a clearance is final"), "{after}");
            }
        }
        // Who controls executions goes on writing their status, the clearance left as it is.
        let written = write(&admin, namespace, "cleared", json!({ "duration": "1s" })).await.unwrap();
        assert_eq!(written.status.unwrap().block_clearance, Some(stored));
    });
}
