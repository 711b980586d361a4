//! Parts of the system that are away for a while: nothing is lost, nothing happens twice.

use evenkeel_cluster::Cluster;
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Environment, Service,
    evidence::{COMPLETED, FAILED, SELECTED, STARTED, condition, holds},
    run, wait,
};
use kube::{ResourceExt as _, api::DeleteParams};
use tokio::task::spawn_blocking;

use crate::support::{LIMIT, Stage, options};

async fn check_record(environment: &Environment, name: &str, expected: &[&str]) {
    assert_eq!(environment.recorded(name).await.unwrap(), expected, "events of {name}");
}

/// Checks that the log has no gap and no event twice.
async fn check_log(environment: &Environment, length: usize) {
    let log = environment.audit_log().await.unwrap();
    let indexes: Vec<i64> = log.iter().map(|event| event.index).collect();
    assert_eq!(indexes, (0..i64::try_from(length).unwrap()).collect::<Vec<_>>(), "the log is dense");
    let mut ids: Vec<&str> = log.iter().map(|event| event.text("event_id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), length, "every event is there once");
}

/// One collector is not there, the other takes connections and never says a word.
#[test]
fn a_collector_that_is_away_or_silent_holds_nothing_up() {
    run(async {
        let listen = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = listen();
        let away = listen().local_addr().unwrap();
        for collector in [away, silent.local_addr().unwrap()] {
            let options = options().setting("EVENKEEL_COOLDOWN", "1s");
            let stage = Stage::start(options.traces_to(&format!("http://{collector}"))).await;
            stage.apply(&stage.execution("traced", "shop/Deployment/traced", &[])).await.unwrap();
            stage.settled("traced", LIMIT).await.unwrap();
            check_record(&stage, "traced", &[SELECTED, STARTED, COMPLETED]).await;
            for service in Service::ALL {
                stage.service(service).stop().await.unwrap();
            }
        }
    });
}

#[test]
fn executions_go_on_without_the_log_which_gets_every_event_later() {
    run(async {
        let stage = Stage::start(options().setting("EVENKEEL_COOLDOWN", "3s")).await;
        let audit = stage.service(Service::Audit);
        audit.kill();
        stage.apply(&stage.execution("good", "shop/Deployment/good", &[])).await.unwrap();
        stage.apply(&stage.execution("bad", "shop/Deployment/bad", &[("EXIT_CODE", "1")])).await.unwrap();
        for name in ["good", "bad"] {
            let failed = |it: &evenkeel_api::WorkflowExecution| {
                let ended = it.status.as_ref().is_some_and(|status| status.completion_time.is_some());
                ended
                    && condition(it, "AuditRecorded")
                        .is_some_and(|it| it.status == "False" && it.reason == "AuditFailed")
            };
            wait::until(&stage.executions(), name, "saying that its record waits", LIMIT, failed)
                .await
                .unwrap();
        }
        for name in ["good", "bad"] {
            let freed = |it: &evenkeel_api::WorkflowExecution| holds(it, "Released");
            let free = wait::until(&stage.executions(), name, "released", LIMIT, freed).await.unwrap();
            assert!(!holds(&free, "AuditRecorded"), "no log, no acknowledgement: {free:?}");
        }
        audit.start(&[]).unwrap();
        stage.settled("good", LIMIT).await.unwrap();
        stage.settled("bad", LIMIT).await.unwrap();
        check_record(&stage, "good", &[SELECTED, STARTED, COMPLETED]).await;
        check_record(&stage, "bad", &[SELECTED, STARTED, FAILED]).await;
        check_log(&stage, 6).await;
    });
}

#[test]
fn a_deleted_execution_stays_until_the_log_has_its_events() {
    run(async {
        let stage = Stage::start(options()).await;
        stage.service(Service::Audit).kill();
        let execution = stage.execution("leaving", "shop/Deployment/leaving", &[("SLEEP_SECONDS", "600")]);
        stage.apply(&execution).await.unwrap();
        stage.phase("leaving", "Running", LIMIT).await.unwrap();
        stage.executions().delete("leaving", &DeleteParams::default()).await.unwrap();
        wait::until_gone(&stage.jobs(), &run_name("shop/Deployment/leaving"), LIMIT).await.unwrap();
        let told = |it: &evenkeel_api::WorkflowExecution| {
            condition(it, "AuditRecorded").is_some_and(|it| it.status == "False")
        };
        let stays =
            wait::until(&stage.executions(), "leaving", "saying why it stays", LIMIT, told).await.unwrap();
        assert!(!stays.finalizers().is_empty() && stays.metadata.deletion_timestamp.is_some());
        stage.service(Service::Audit).start(&[]).unwrap();
        wait::until_gone(&stage.executions(), "leaving", LIMIT).await.unwrap();
        check_record(&stage, "leaving", &[SELECTED, STARTED]).await;
        check_log(&stage, 2).await;
    });
}

/// While the services are held, the API server forgets what they have seen: their watches come
/// back too old and have to begin anew.
#[test]
fn an_api_server_that_restarts_and_forgets_loses_no_execution() {
    run(async {
        let cluster = spawn_blocking(|| Cluster::options().start()).await.unwrap().unwrap();
        let options =
            options().tier(evenkeel_cluster::Tier::ControlPlane).cluster(&cluster.kubeconfig_path());
        let environment = Environment::start(options).await.unwrap();
        let stand_in = evenkeel_test_kit::StandIn::begin(environment.pods());
        let apply = async |name: &str, seconds: &str| {
            let target = format!("shop/Deployment/{name}");
            let execution = environment.execution(name, &target, &[("SLEEP_SECONDS", seconds)]);
            environment.apply(&execution).await.unwrap();
        };
        apply("before", "2").await;
        environment.phase("before", "Running", LIMIT).await.unwrap();
        let run_name = run_name("shop/Deployment/before");
        let run = environment.jobs().get(&run_name).await.unwrap().uid();
        for service in [Service::Controller, Service::Executor] {
            environment.service(service).pause();
        }
        apply("meanwhile", "0").await;
        let ended = |job: &k8s_openapi::api::batch::v1::Job| {
            job.status.as_ref().is_some_and(|status| status.completion_time.is_some())
        };
        wait::until(&environment.jobs(), &run_name, "ended", LIMIT, ended).await.unwrap();
        let cluster = spawn_blocking(move || {
            cluster.apiserver_restart().unwrap();
            cluster
        })
        .await
        .unwrap();
        for service in [Service::Controller, Service::Executor] {
            environment.service(service).resume();
        }
        apply("after", "0").await;
        for name in ["before", "meanwhile", "after"] {
            environment.settled(name, LIMIT).await.unwrap();
            check_record(&environment, name, &[SELECTED, STARTED, COMPLETED]).await;
        }
        let before = environment.executions().get("before").await.unwrap();
        assert!(run.is_some() && before.status.unwrap().failure_details.is_none());
        check_log(&environment, 9).await;
        drop((stand_in, environment));
        spawn_blocking(move || drop(cluster)).await.unwrap();
    });
}
