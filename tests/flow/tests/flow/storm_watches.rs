//! Watches that break, are too old, or lag.

use evenkeel_test_kit::{Fault, Fired, Gate, Proxy, Rule, run, wait};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{OBJECT, Storm, answered, check_all_happened};
use crate::support::{LIMIT, options};

/// Each watch is told in its stream that it is too old, breaks in the middle of an event, and is
/// refused as too old when it is opened again.
fn break_watch(proxy: &Proxy, resource: &'static str) -> Vec<(Fired, usize)> {
    let rules = [
        Rule::of_events(resource, Fault::Expire).times(2),
        Rule::of_events(resource, Fault::Cut).times(2),
        Rule::new("watch", resource, Fault::Answer(410)).times(2),
        Rule::new("watch", resource, Fault::LoseRequest),
    ];
    let times = [2, 2, 2, 1];
    rules.into_iter().map(|rule| proxy.add(rule)).zip(times).collect()
}

#[test]
fn watches_that_break_or_are_too_old_miss_nothing_and_start_nothing_twice() {
    run(async {
        let storm = Storm::begin(options()).await;
        let mut faults = break_watch(storm.controller(), OBJECT);
        for resource in ["jobs", "pods"] {
            faults.extend(break_watch(storm.executor_side(), resource));
        }
        let is_missing = |(fired, times): &(Fired, usize)| fired.count() < *times;
        let mut applied = Vec::new();
        // How much there is to see between two breaks depends on the moment, so there may have to be more.
        while applied.len() < 6 || (applied.len() < 40 && faults.iter().any(is_missing)) {
            let number = applied.len();
            let (name, target) = (format!("watched-{number}"), format!("watched-{}", number % 3));
            applied.push(storm.apply_one(&name, &target, "1").await);
            if applied.len() >= 6 {
                storm.phase(&name, "Completed", LIMIT).await.unwrap();
            }
        }
        storm.check(&applied).await;
        check_all_happened(&faults);
        storm.check_log().await;
    });
}

/// The controller lives on what its own writes returned, for its cache stands still from the moment
/// it has seen the execution. What it sees at last is the past.
#[test]
fn a_cache_that_stands_still_meanwhile_starts_nothing_twice() {
    run(async {
        let storm = Storm::begin(options()).await;
        let gate = Gate::closed();
        let rule = Rule::of_events(OBJECT, Fault::Hold(gate.clone())).after(1).times(usize::MAX);
        let held = storm.controller().add(rule);
        let stale = storm.apply_one("stale", "stale", "2").await;
        storm.phase("stale", "Running", LIMIT).await.unwrap();
        held.reach(1, LIMIT).await.unwrap();
        // The object moves on, and the cache does not see it.
        let mark = Patch::Merge(json!({"metadata": {"annotations": {"example.com/moved": "on"}}}));
        storm.executions().patch("stale", &PatchParams::default(), &mark).await.unwrap();
        let ended = |it: &evenkeel_api::WorkflowExecution| {
            it.status.as_ref().is_some_and(|status| status.completion_time.is_some())
        };
        wait::until(&storm.executions(), "stale", "ended behind a cache", LIMIT, ended).await.unwrap();
        assert!(answered(storm.controller(), "patch", "workflowexecutions/status", 409) > 0, "it was stale");
        let behind = storm.apply_one("behind", "stale", "0").await;
        gate.open();
        let ended = storm.check(&[stale, behind]).await;
        assert_eq!(ended[0].annotations()["example.com/moved"], "on");
        assert!(held.count() > 3, "{held:?}");
        storm.check_log().await;
    });
}

/// The same for the cache of the executor, while the run starts, ends and is removed.
#[test]
fn an_executor_whose_cache_stands_still_starts_nothing_twice() {
    run(async {
        let storm = Storm::begin(options().setting("EVENKEEL_POLL_INTERVAL", "1s")).await;
        let gate = Gate::closed();
        let hold = || Fault::Hold(gate.clone());
        let held = ["jobs", "pods"]
            .map(|kind| storm.executor_side().add(Rule::of_events(kind, hold()).times(usize::MAX)));
        let late = storm.apply_one("late", "late", "0").await;
        storm.phase("late", "Running", LIMIT).await.unwrap();
        for held in &held {
            held.reach(1, LIMIT).await.unwrap();
        }
        let run = evenkeel_core::target::run_name(&late.spec.target_resource);
        let done = |job: &k8s_openapi::api::batch::v1::Job| {
            job.status.as_ref().is_some_and(|status| status.completion_time.is_some())
        };
        wait::until(&storm.jobs(), &run, "ended", LIMIT, done).await.unwrap();
        gate.open();
        storm.check(&[late]).await;
        storm.check_log().await;
    });
}
