//! Two executors: ours, and one of a third party with an engine and a lock of its own.

use std::time::Duration;

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{Environment, Service, evidence::condition, http, run, wait};
use futures::future::try_join_all;

use crate::{
    support::{LIMIT, Stage, options},
    third_party::ThirdParty,
};

/// An environment whose controller knows both. The third party does not serve yet.
async fn two(third_party: &ThirdParty) -> Stage {
    let stage = Stage::start(options().without(Service::Controller)).await;
    let both = format!("{},{}", stage.executor_address(), third_party.address());
    stage.service(Service::Controller).start(&[("EVENKEEL_EXECUTOR", &both)]).unwrap();
    stage.service(Service::Controller).ready().await.unwrap();
    stage
}

async fn apply(environment: &Environment, name: &str, engine: &str, at: &str) {
    let mut execution = environment.execution(name, at, &[("SLEEP_SECONDS", "1")]);
    execution.spec.workflow_ref.execution_engine = Some(engine.to_owned());
    environment.apply(&execution).await.unwrap();
}

async fn until_waiting(stage: &Stage, name: &str, for_what: &str) -> WorkflowExecution {
    let waits = |it: &WorkflowExecution| {
        condition(it, "Blocked").is_some_and(|it| it.status == "True" && it.message.contains(for_what))
    };
    wait::until(&stage.executions(), name, &format!("waiting for {for_what}"), LIMIT, waits).await.unwrap()
}

#[test]
fn an_engine_appears_works_goes_away_and_comes_back_while_others_go_on() {
    run(async {
        let mut third_party = ThirdParty::new("argo");
        let stage = two(&third_party).await;
        let address = third_party.address();
        let ready =
            http::get_ok(&format!("{}/readyz", stage.service(Service::Controller).admin())).await.unwrap();
        assert!(ready.contains(&format!("away: executor {address}")), "{ready}");
        apply(&stage, "early", "argo", "shop/Deployment/early").await;
        until_waiting(&stage, "early", &address).await;
        third_party.serve(stage.authority()).await;
        stage.phase("early", "Completed", LIMIT).await.unwrap();
        assert_eq!(third_party.started(), ["early"]);

        third_party.stop().await;
        apply(&stage, "patient", "argo", "shop/Deployment/patient").await;
        until_waiting(&stage, "patient", "gives no usable answer").await;
        apply(&stage, "other", "job", "shop/Deployment/other").await;
        stage.phase("other", "Completed", LIMIT).await.unwrap();
        third_party.serve(stage.authority()).await;
        stage.phase("patient", "Completed", LIMIT).await.unwrap();

        third_party.offer(&["flux"]);
        apply(&stage, "renamed", "flux", "shop/Deployment/renamed").await;
        stage.phase("renamed", "Completed", LIMIT).await.unwrap();
        apply(&stage, "unknown", "argo", "shop/Deployment/unknown").await;
        let failed = stage.phase("unknown", "Failed", LIMIT).await.unwrap();
        let details = failed.status.unwrap().failure_details.unwrap();
        assert_eq!(details.reason, "UnsupportedEngine");
        assert!(details.message.contains("'argo'") && details.message.contains("flux, job"), "{details:?}");
    });
}

#[test]
fn a_target_is_used_by_one_executor_at_a_time() {
    run(async {
        let mut third_party = ThirdParty::new("argo");
        let stage = two(&third_party).await;
        third_party.serve(stage.authority()).await;
        let at = "shop/Deployment/shared";
        let names: Vec<String> = (0..6).map(|number| format!("racer-{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            apply(&stage, name, if number % 2 == 0 { "job" } else { "argo" }, at).await;
        }
        let limit = LIMIT + Duration::from_secs(60);
        let mut ended =
            try_join_all(names.iter().map(|name| stage.phase(name, "Completed", limit))).await.unwrap();
        let times = |it: &WorkflowExecution| {
            let status = it.status.as_ref().unwrap();
            (status.start_time.as_ref().unwrap().0, status.completion_time.as_ref().unwrap().0)
        };
        ended.sort_by_key(|one| times(one).0);
        for pair in ended.windows(2) {
            assert!(
                times(&pair[0]).1 <= times(&pair[1]).0,
                "{:?} and {:?} overlap",
                pair[0].metadata.name,
                pair[1].metadata.name
            );
        }
        // Those of the same second are in the order of their uids.
        let mut started = third_party.started();
        started.sort_unstable();
        assert_eq!(started, ["racer-1", "racer-3", "racer-5"]);
    });
}
