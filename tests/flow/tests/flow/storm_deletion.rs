//! Executions that are deleted in the middle of a step.

use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Asked, Fault, Rule,
    evidence::{SELECTED, STARTED},
    run, wait,
};

use super::{Deletion, OBJECT, STATUS, Storm, deleter, runs};
use crate::support::{LIMIT, options};

/// A step, whether it is the executor's, and whether the run goes live for certain.
struct Step {
    name: &'static str,
    of_executor: bool,
    verb: &'static str,
    resource: &'static str,
    is_after: bool,
    launched: bool,
}

const STEPS: &[Step] = &[
    Step::controller("accepted", "patch", OBJECT, true, false),
    Step::executor("locked", "create", "leases", false, false),
    Step::executor("created", "create", "jobs", false, false),
    Step::executor("born", "create", "jobs", true, false),
    Step::executor("going-live", "patch", "jobs", false, true),
    Step::executor("live", "patch", "jobs", true, true),
    Step::executor("marked", "update", "leases", true, true),
    Step::controller("told", "patch", STATUS, false, true),
    Step::controller("running", "patch", STATUS, true, true),
];

impl Step {
    const fn controller(
        name: &'static str,
        verb: &'static str,
        resource: &'static str,
        is_after: bool,
        launched: bool,
    ) -> Self {
        Self { name, of_executor: false, verb, resource, is_after, launched }
    }

    const fn executor(
        name: &'static str,
        verb: &'static str,
        resource: &'static str,
        is_after: bool,
        launched: bool,
    ) -> Self {
        Self { name, of_executor: true, verb, resource, is_after, launched }
    }

    fn target(&self) -> String {
        format!("shop/Deployment/{}", self.name)
    }

    /// Deletes the execution at this step.
    fn rule(&self, storm: &Storm) -> Rule {
        let delete: Box<dyn Fn(Asked) -> Deletion + Send + Sync> =
            Box::new(deleter(storm.executions(), self.name));
        let fault = if self.is_after { Fault::then(delete) } else { Fault::first(delete) };
        let rule = Rule::new(self.verb, self.resource, fault);
        if self.of_executor { rule } else { rule.named(self.name) }
    }
}

/// One after the other, for a request that creates something does not say whose it is.
#[test]
fn an_execution_that_is_deleted_during_any_step_goes_with_its_run_and_leaves_its_record() {
    run(async {
        let storm = Storm::begin(options()).await;
        for step in STEPS {
            let proxy = if step.of_executor { storm.executor_side() } else { storm.controller() };
            let deleted = proxy.add(step.rule(&storm));
            let execution = storm.execution(step.name, &step.target(), &[("SLEEP_SECONDS", "600")]);
            let uid = storm.apply(&execution).await.unwrap().metadata.uid.unwrap();
            deleted.reach(1, LIMIT).await.unwrap();
            wait::until_gone(&storm.executions(), step.name, LIMIT).await.unwrap();
            storm.check_free(&step.target()).await;
            storm.catch_up().await;
            let launches = storm.launches.of(&uid).unwrap();
            let allowed = if step.launched { 1..=1 } else { 0..=1 };
            assert!(allowed.contains(&launches), "{}: {launches} launches", step.name);
            let expected: &[&str] = if launches == 1 { &[SELECTED, STARTED] } else { &[] };
            storm.check_record(step.name, expected).await;
        }
        assert_eq!(runs(&storm).await, 0);
        storm.check_log().await;
    });
}

/// There is no finalizer yet, so it is gone at once, and the patch that would accept it finds nothing.
#[test]
fn an_execution_that_is_gone_when_it_is_to_be_accepted_is_let_go() {
    run(async {
        let storm = Storm::begin(options()).await;
        let delete = Fault::first(deleter(storm.executions(), "gone"));
        let deleted = storm.controller().add(Rule::new("patch", OBJECT, delete).named("gone"));
        let gone = storm.apply_one("gone", "gone", "0").await;
        deleted.reach(1, LIMIT).await.unwrap();
        wait::until_gone(&storm.executions(), "gone", LIMIT).await.unwrap();
        // The next one on its target finds nothing of it, and runs.
        let next = storm.apply_one("next", "gone", "0").await;
        storm.check(&[next]).await;
        assert_eq!(storm.launches.of(&gone.metadata.uid.unwrap()).unwrap(), 0);
        storm.check_record("gone", &[]).await;
        assert!(storm.leases().get_opt(&run_name("shop/Deployment/gone")).await.unwrap().is_some());
        let asked = storm.controller().asked();
        let refused = asked.iter().find(|(asked, _)| asked.name == "gone" && asked.verb == "patch");
        assert_eq!(refused.map(|(_, code)| *code), Some(404));
        let log =
            std::fs::read_to_string(storm.service(evenkeel_test_kit::Service::Controller).log()).unwrap();
        assert!(!log.contains("could not put the finalizer"), "it is no error:\n{log}");
    });
}
