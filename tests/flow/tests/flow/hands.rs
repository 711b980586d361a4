//! What somebody does by hand to an execution and to its run.

use evenkeel_api::WorkflowExecution;
use evenkeel_core::target::run_name;
use evenkeel_proto::execution::v1::Owner;
use evenkeel_test_kit::{
    Service,
    evidence::{COMPLETED, FAILED, SELECTED, STARTED, condition, holds},
    run, wait,
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use tonic::Code;

use crate::support::{LIMIT, Stage, check_error, options, spec, start, target};

#[test]
fn a_run_deleted_before_its_launch_was_written_down_never_starts_again() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_BLOCK", "false")).await;
        let launches = stage.launches().await.unwrap();
        let at = "shop/Deployment/vanished";
        let controller = stage.service(Service::Controller);
        controller.restart(&[("EVENKEEL_FAILPOINTS", "controller.status.before=kill")]).await.unwrap();
        let execution = stage.execution("vanished", at, &[("SLEEP_SECONDS", "600")]);
        let uid = stage.apply(&execution).await.unwrap().uid().unwrap();
        launches.reach(&uid, 1, LIMIT).await.unwrap();
        controller.exited(LIMIT).await.unwrap();
        let stored = stage.executions().get("vanished").await.unwrap();
        assert_eq!(stored.status.and_then(|status| status.phase), None, "nothing was written down");
        stage.jobs().delete(&run_name(at), &DeleteParams::background()).await.unwrap();
        wait::until_gone(&stage.jobs(), &run_name(at), LIMIT).await.unwrap();

        // Whoever asks for this attempt again is refused, with the newest token, too.
        let owner = Owner { namespace: stage.namespace().into(), name: "vanished".into(), uid: uid.clone() };
        let again = start(spec(owner, at, &[]), target(&stage, at).await.token);
        let refused = stage.executor().unwrap().start_execution(again).await.unwrap_err();
        check_error(&refused, Code::FailedPrecondition, "RUN_VANISHED");

        controller.start(&[]).unwrap();
        let ended = stage.phase("vanished", "Failed", LIMIT).await.unwrap();
        let details = ended.status.unwrap().failure_details.unwrap();
        assert!(details.was_execution_failure && details.message.contains("deleted"), "{details:?}");
        stage.settled("vanished", LIMIT).await.unwrap();
        assert_eq!(stage.recorded("vanished").await.unwrap(), [SELECTED, STARTED, FAILED]);
        assert_eq!(launches.of(&uid).unwrap(), 1);
        assert!(stage.jobs().get_opt(&run_name(at)).await.unwrap().is_none());

        stage.apply(&stage.execution("next", at, &[])).await.unwrap();
        stage.phase("next", "Completed", LIMIT).await.unwrap();
    });
}

#[test]
fn an_end_written_by_hand_is_put_back_and_the_run_goes_on() {
    run(async {
        let stage = Stage::start(options()).await;
        let at = "shop/Deployment/edited";
        stage.apply(&stage.execution("edited", at, &[("SLEEP_SECONDS", "8")])).await.unwrap();
        let running = stage.phase("edited", "Running", LIMIT).await.unwrap();
        let job = stage.jobs().get(&run_name(at)).await.unwrap();
        for phase in ["Completed", "Failed"] {
            let patch = Patch::Merge(json!({ "status": { "phase": phase } }));
            let edited = stage.executions().patch_status("edited", &PatchParams::default(), &patch).await;
            let edited = edited.unwrap().metadata.resource_version;
            let is_put_back = |it: &WorkflowExecution| {
                let phase = it.status.as_ref().and_then(|status| status.phase.as_deref());
                phase == Some("Running") && it.metadata.resource_version != edited
            };
            let now =
                wait::until(&stage.executions(), "edited", "put back", LIMIT, is_put_back).await.unwrap();
            assert!(condition(&now, "Released").is_none(), "{now:?}");
            assert_eq!(stage.jobs().get(&run_name(at)).await.unwrap().uid(), job.uid());
        }
        stage.told(&running, &["PhaseCorrected"], LIMIT).await.unwrap();
        let ended = stage.settled("edited", LIMIT).await.unwrap().status.unwrap();
        assert_eq!(ended.phase.as_deref(), Some("Completed"));
        assert!(ended.duration.is_some() && ended.failure_details.is_none());
        assert_eq!(stage.recorded("edited").await.unwrap(), [SELECTED, STARTED, COMPLETED]);
    });
}

/// Without its status an execution cannot be told from one that never ran, so what it does then
/// differs from what is on record. That is its own trouble, and nobody else's.
#[test]
fn a_record_that_contradicts_the_log_holds_up_no_other_and_no_deletion() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "1s")).await;
        let (at, other) = ("shop/Deployment/wiped", "shop/Deployment/between");
        stage.apply(&stage.execution("wiped", at, &[])).await.unwrap();
        stage.settled("wiped", LIMIT).await.unwrap();
        // The target forgets who used it last.
        stage.apply(&stage.execution("between", at, &[])).await.unwrap();
        stage.settled("between", LIMIT).await.unwrap();
        let wipe = Patch::Merge(json!({ "status": null }));
        stage.executions().patch_status("wiped", &PatchParams::default(), &wipe).await.unwrap();
        let refused = |it: &WorkflowExecution| {
            holds(it, "Released") && condition(it, "AuditRecorded").is_some_and(|it| it.status == "False")
        };
        wait::until(&stage.executions(), "wiped", "refused by the log", LIMIT, refused).await.unwrap();
        stage.apply(&stage.execution("other", other, &[])).await.unwrap();
        stage.settled("other", LIMIT).await.unwrap();
        assert_eq!(stage.recorded("other").await.unwrap(), [SELECTED, STARTED, COMPLETED]);
        stage.executions().delete("wiped", &DeleteParams::default()).await.unwrap();
        wait::until_gone(&stage.executions(), "wiped", LIMIT).await.unwrap();
    });
}

#[test]
fn a_phase_written_over_an_end_is_put_back_also_when_everything_was_done() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "1s")).await;
        let launches = stage.launches().await.unwrap();
        stage.apply(&stage.execution("done", "shop/Deployment/done", &[])).await.unwrap();
        let done = stage.settled("done", LIMIT).await.unwrap();
        let patch = Patch::Merge(json!({ "status": { "phase": "Pending" } }));
        stage.executions().patch_status("done", &PatchParams::default(), &patch).await.unwrap();
        stage.phase("done", "Completed", LIMIT).await.unwrap();
        stage.told(&done, &["PhaseCorrected"], LIMIT).await.unwrap();
        assert_eq!(launches.of(&done.uid().unwrap()).unwrap(), 1);
    });
}
