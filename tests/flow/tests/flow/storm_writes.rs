//! Writes that are refused, or whose answer is lost.

use std::time::Duration;

use evenkeel_test_kit::{Fault, Rule, Service, evidence::FAILED, run};
use kube::ResourceExt as _;

use super::{OBJECT, STATUS, Storm, add, answered, check_all_happened, rival};
use crate::support::{LIMIT, options};

/// One to four at the same write, and at every write of an execution's life.
#[test]
fn a_few_conflicts_are_planned_again_and_start_nothing_twice() {
    run(async {
        let storm = Storm::begin(options()).await;
        let mut faults = Vec::new();
        let mut applied = Vec::new();
        for count in 1..=4 {
            let name = format!("conflict-{count}");
            // The first status write follows the start, and the next one the end.
            for (resource, skipped) in [(OBJECT, 0), (STATUS, 0), (STATUS, 1)] {
                let rule = Rule::new("patch", resource, rival(storm.executions())).named(&name);
                faults.push((storm.controller().add(rule.after(skipped).times(count)), count));
            }
            applied.push(storm.apply_one(&name, &name, "0").await);
        }
        storm.check(&applied).await;
        check_all_happened(&faults);
        let refused = answered(storm.controller(), "patch", STATUS, 409);
        assert!(refused >= 20, "the API server refused {refused} stale writes");
        storm.check_log().await;
    });
}

#[test]
fn many_conflicts_hold_an_execution_up_and_lose_nothing() {
    run(async {
        let storm = Storm::begin(options()).await;
        // More than one look takes on.
        let many = storm.controller().add(Rule::new("patch", STATUS, Fault::Answer(409)).times(40));
        let rivals = storm.controller().add(Rule::new("patch", STATUS, rival(storm.executions())).times(20));
        let applied = storm.apply_one("busy", "busy", "0").await;
        storm.check(&[applied]).await;
        check_all_happened(&[(many, 40), (rivals, 20)]);
        let starts = answered(storm.executor_side(), "create", "jobs", 201);
        assert_eq!(starts, 1, "one run was made, whatever was planned again");
    });
}

#[test]
fn an_execution_that_fails_before_its_start_ends_once_despite_conflicts() {
    run(async {
        let storm = Storm::begin(options()).await;
        let fault = rival(storm.executions());
        let conflicts = storm.controller().add(Rule::new("patch", STATUS, fault).times(3));
        let mut invalid = storm.execution("invalid", "shop/Deployment/invalid", &[]);
        invalid.spec.workflow_ref.execution_bundle = String::new();
        let applied = storm.apply(&invalid).await.unwrap();
        let ended = storm.settled("invalid", LIMIT).await.unwrap();
        let status = ended.status.unwrap();
        assert_eq!(status.phase.as_deref(), Some("Failed"));
        assert!(status.completion_time.is_some() && status.start_time.is_none(), "{status:?}");
        assert_eq!(conflicts.count(), 3);
        assert_eq!(storm.launches.of(&applied.uid().unwrap()).unwrap(), 0);
        let record = storm.recorded("invalid").await.unwrap();
        assert_eq!(record.iter().filter(|kind| *kind == FAILED).count(), 1, "{record:?}");
        storm.check_log().await;
    });
}

/// Each kind of write of both services: once it is carried out and the answer lost, once it is lost
/// itself.
#[test]
fn lost_requests_and_lost_answers_are_made_up_for() {
    run(async {
        let storm = Storm::begin(options().without(Service::Controller)).await;
        let lost = |verb, resource| {
            [(verb, resource, Fault::LoseAnswer, 2), (verb, resource, Fault::LoseRequest, 2)]
        };
        let of_controller = [
            lost("create", "leases"),
            lost("update", "leases"),
            lost("patch", OBJECT),
            lost("patch", STATUS),
            lost("create", "events"),
            lost("get", OBJECT),
        ];
        let of_executor = [
            lost("create", "leases"),
            lost("update", "leases"),
            lost("create", "jobs"),
            lost("patch", "jobs"),
            lost("delete", "jobs"),
            lost("get", "jobs"),
        ];
        let mut faults = add(storm.controller(), &of_controller.concat());
        faults.extend(add(storm.executor_side(), &of_executor.concat()));
        let controller = storm.service(Service::Controller);
        controller.start(&[]).unwrap();
        controller.ready().await.unwrap();
        let mut applied = Vec::new();
        for number in 0..6 {
            let target = format!("lost-{}", number % 5);
            applied.push(storm.apply_one(&format!("lost-{number}"), &target, "0").await);
        }
        let ended = storm.check(&applied).await;
        // The Lease of the leader is created once, and renewed from time to time.
        assert_eq!((faults.remove(0).0.count(), faults.remove(0).0.count()), (1, 0));
        for (fired, times) in &faults[..2] {
            fired.reach(*times, LIMIT).await.unwrap();
        }
        check_all_happened(&faults);
        // What is told twice has one name, and is there once.
        for execution in &ended[4..] {
            storm.told(execution, &["WorkflowCompleted"], LIMIT).await.unwrap();
        }
        storm.check_log().await;
    });
}

/// 500 comes back as an error, and the others are asked again by the client itself.
#[test]
fn refusals_that_pass_are_outlasted() {
    run(async {
        let storm = Storm::begin(options()).await;
        let later = Fault::Later(429, Duration::from_secs(1));
        let kinds = |verb, resource| {
            [
                (verb, resource, Fault::Answer(500), 2),
                (verb, resource, Fault::Answer(503), 2),
                (verb, resource, later.clone(), 1),
            ]
        };
        let of_controller = [kinds("patch", OBJECT), kinds("patch", STATUS), kinds("get", OBJECT)];
        let of_executor = [
            kinds("get", "leases"),
            kinds("create", "leases"),
            kinds("update", "leases"),
            kinds("get", "jobs"),
            kinds("create", "jobs"),
            kinds("patch", "jobs"),
            kinds("delete", "jobs"),
        ];
        let first = Rule::new("patch", STATUS, Fault::Answer(500)).named("refused-0");
        let first = storm.controller().add(first);
        let mut faults = add(storm.controller(), &of_controller.concat());
        faults.extend(add(storm.executor_side(), &of_executor.concat()));
        faults.push((first, 1));
        let mut applied = Vec::new();
        for number in 0..6 {
            let target = format!("refused-{}", number % 5);
            applied.push(storm.apply_one(&format!("refused-{number}"), &target, "0").await);
        }
        storm.check(&applied).await;
        check_all_happened(&faults);
        check_nothing_is_repeated(&storm);
        storm.check_log().await;
    });
}

/// After a first status write that failed with 500, the object is read before it is written again.
fn check_nothing_is_repeated(storm: &Storm) {
    let asked = storm.controller().asked();
    let mut about = asked.iter().filter(|(asked, _)| asked.name == "refused-0");
    let failed = about.find(|(asked, code)| asked.resource == STATUS && *code == 500);
    let next = about.next().map(|(asked, _)| asked.verb);
    assert_eq!((failed.is_some(), next), (true, Some("get")), "{asked:?}");
}
