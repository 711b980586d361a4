//! Two controllers that both act, and executors that end and begin.

use std::time::Duration;

use evenkeel_core::target::run_name;
use evenkeel_test_kit::{Fault, Gate, Rule, Service, run};
use jiff::{SignedDuration, Timestamp};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{STATUS, Storm, WHOLE, answered};
use crate::support::{LIMIT, options};

/// Without a leader, only the version of the object and the lock of the target keep them apart.
#[test]
fn two_controllers_that_both_act_run_everything_once() {
    run(async {
        let storm = Storm::begin(options().setting("EVENKEEL_LEADER_ELECTION", "false")).await;
        let second = storm.replica(Service::Controller).unwrap();
        second.start(&[]).unwrap();
        second.ready().await.unwrap();
        // Both have decided before the first of them writes.
        let late = Fault::Delay(Duration::from_millis(50));
        storm.controller().add(Rule::new("patch", "", late).times(usize::MAX));
        let mut applied = Vec::new();
        for number in 0..10 {
            let (name, target) = (format!("twice-{number}"), format!("twice-{}", number % 3));
            applied.push(storm.apply_one(&name, &target, "0").await);
        }
        storm.check(&applied).await;
        let refused = answered(storm.controller(), "patch", STATUS, 409);
        assert!(refused > 0, "both wrote, and the later was refused");
        let writes = async |process: &evenkeel_test_kit::ServiceProcess| process.metrics().await.unwrap()["evenkeel_controller_status_writes_total"];
        let (one, other) = (writes(storm.service(Service::Controller)).await, writes(&second).await);
        assert!(one > 0.0 && other > 0.0, "both acted: {one} and {other} writes");
        storm.check_log().await;
    });
}

/// Killed at each write of a start, when the API server has it and the executor does not know.
#[test]
fn an_executor_that_ends_while_it_starts_runs_carries_them_on_when_it_is_back() {
    run(async {
        let storm = Storm::begin(options()).await;
        let executor = storm.service(Service::Executor);
        let mut applied = Vec::new();
        for (number, (verb, resource)) in
            [("create", "leases"), ("create", "jobs"), ("patch", "jobs"), ("update", "leases")]
                .iter()
                .enumerate()
        {
            let gate = Gate::closed();
            let opened = gate.clone();
            let hold = Fault::then(move |_| {
                let opened = opened.clone();
                async move { opened.opened().await }
            });
            let reached = storm.executor_side().add(Rule::new(verb, resource, hold));
            let name = format!("carried-{number}");
            applied.push(storm.apply_one(&name, &name, "3").await);
            reached.reach(1, LIMIT).await.unwrap();
            executor.kill();
            gate.open();
            executor.start(&[]).unwrap();
            executor.ready().await.unwrap();
        }
        storm.check(&applied).await;
        storm.check_log().await;
    });
}

/// While it comes back, the API server answers nothing about runs. That is no end of any run.
#[test]
fn runs_survive_an_executor_that_comes_back_while_the_api_server_fails() {
    run(async {
        let storm = Storm::begin(options().setting("EVENKEEL_POLL_INTERVAL", "500ms")).await;
        let live = storm.apply_one("live", "live", "8").await;
        storm.phase("live", "Running", LIMIT).await.unwrap();
        let proxy = storm.executor_side();
        let unavailable = proxy.add(Rule::new("get", "jobs", Fault::Answer(503)).times(3));
        let failing = proxy.add(Rule::new("get", "jobs", Fault::Answer(500)).times(usize::MAX));
        for verb in ["list", "watch"] {
            proxy.add(Rule::new(verb, "jobs", Fault::Answer(503)).times(usize::MAX));
        }
        let executor = storm.service(Service::Executor);
        executor.kill();
        executor.start(&[]).unwrap();
        unavailable.reach(3, LIMIT).await.unwrap();
        failing.reach(2, LIMIT).await.unwrap();
        let seen = storm.executions().get("live").await.unwrap().status.unwrap();
        assert_eq!(seen.phase.as_deref(), Some("Running"), "an outage ends nothing: {seen:?}");
        proxy.clear();
        executor.ready().await.unwrap();
        storm.check(&[live]).await;
        storm.check_log().await;
    });
}

/// What a clock leaves that has jumped by an hour since: a lock that was taken, and an end that came,
/// an hour before or after their time. Whoever waits for the target starts once, and soon.
#[test]
fn times_that_are_an_hour_off_start_nothing_twice_and_hold_nobody_up() {
    run(async {
        let storm = Storm::begin(options()).await;
        let mut applied = Vec::new();
        for (target, hours) in [("set-back", 1), ("set-forward", -1)] {
            let (before, after) = (format!("{target}-before"), format!("{target}-after"));
            // The first status write follows the start, and the next one the end.
            let ends = Rule::new("patch", STATUS, shifted_end(&storm, hours)).named(&before).after(1);
            let shifted = storm.controller().add(ends);
            applied.push(storm.apply_one(&before, target, "2").await);
            storm.phase(&before, "Running", LIMIT).await.unwrap();
            let lease = run_name(&format!("shop/Deployment/{target}"));
            let taken = Patch::Merge(json!({"spec": {"acquireTime": shifted_time(hours, "%FT%T.000000Z")}}));
            storm.leases().patch(&lease, &PatchParams::default(), &taken).await.unwrap();
            applied.push(storm.apply_one(&after, target, "0").await);
            shifted.reach(1, LIMIT).await.unwrap();
        }
        for name in applied.iter().map(ResourceExt::name_any) {
            storm.settled(&name, LIMIT).await.unwrap();
            storm.check_record(&name, WHOLE).await;
        }
        storm.catch_up().await;
        for one in &applied {
            assert_eq!(storm.launches.of(&one.uid().unwrap()).unwrap(), 1, "{}", one.name_any());
        }
        storm.check_log().await;
    });
}

/// Has an end be written with another time than it came at.
fn shifted_end(storm: &Storm, hours: i64) -> Fault {
    let executions = storm.executions();
    Fault::then(move |asked| {
        let executions = executions.clone();
        async move {
            let end = Patch::Merge(json!({"status": {"completionTime": shifted_time(hours, "%FT%TZ")}}));
            executions.patch_status(&asked.name, &PatchParams::default(), &end).await.unwrap();
        }
    })
}

fn shifted_time(hours: i64, format: &str) -> String {
    (Timestamp::now() + SignedDuration::from_hours(hours)).strftime(format).to_string()
}
