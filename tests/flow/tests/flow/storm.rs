//! Races against a real API server that a proxy makes slow, forgetful and busy: whatever happens,
//! an execution runs once, is recorded once, and frees its target.

use std::{collections::BTreeMap, ops::Deref};

use evenkeel_api::WorkflowExecution;
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Asked, Fault, Fired, Launches, Options, Proxy, Rule, Service,
    evidence::{COMPLETED, SELECTED, STARTED},
    wait,
};
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::support::{LIMIT, Stage};

#[path = "storm_deletion.rs"]
mod deletion;
#[path = "storm_processes.rs"]
mod processes;
#[path = "storm_random.rs"]
mod random;
#[path = "storm_watches.rs"]
mod watches;
#[path = "storm_writes.rs"]
mod writes;

/// What the controller writes of an execution.
const STATUS: &str = "workflowexecutions/status";
const OBJECT: &str = "workflowexecutions";
/// What an undisturbed execution leaves in the log.
const WHOLE: &[&str] = &[SELECTED, STARTED, COMPLETED];

/// An environment behind proxies, and what runs there.
struct Storm {
    stage: Stage,
    launches: Launches,
}

impl Deref for Storm {
    type Target = Stage;
    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl Storm {
    /// With a proxy before the API server of the controller and another before that of the executor.
    async fn begin(options: Options) -> Self {
        let options = options.proxied(Service::Controller).proxied(Service::Executor);
        // A node that is busy may be slow to start a pod, which is none of the faults here.
        let options = options.setting("EVENKEEL_STUCK_GRACE", "1m");
        let stage = Stage::start(options).await;
        let launches = stage.launches().await.unwrap();
        Self { stage, launches }
    }

    fn controller(&self) -> &Proxy {
        self.proxy(Service::Controller).unwrap()
    }

    fn executor_side(&self) -> &Proxy {
        self.proxy(Service::Executor).unwrap()
    }

    /// An execution of the demo that takes so long.
    async fn apply_one(&self, name: &str, target: &str, seconds: &str) -> WorkflowExecution {
        let at = format!("shop/Deployment/{target}");
        let execution = self.execution(name, &at, &[("SLEEP_SECONDS", seconds)]);
        self.apply(&execution).await.unwrap()
    }

    /// Checks that all of them ran once to their end, none beside another on its target, and left
    /// nothing but their record.
    async fn check(&self, applied: &[WorkflowExecution]) -> Vec<WorkflowExecution> {
        let settled = applied.iter().map(|one| async {
            let ended = self.settled(&one.name_any(), LIMIT).await;
            ended.unwrap_or_else(|error| panic!("{error:#}"))
        });
        let ended = join_all(settled).await;
        self.catch_up().await;
        for (before, after) in applied.iter().zip(&ended) {
            let (name, uid) = (before.name_any(), before.uid().unwrap());
            let status = after.status.clone().unwrap_or_default();
            assert_eq!(status.phase.as_deref(), Some("Completed"), "{name}: {status:?}");
            assert_eq!(self.launches.of(&uid).unwrap(), 1, "{name} ran once");
            assert_eq!(before.spec, after.spec, "{name}: no write touched the spec");
            assert_eq!(after.metadata.generation, Some(1), "{name}: no write touched the spec");
            self.check_record(&name, WHOLE).await;
        }
        check_turns(&ended);
        for execution in &ended {
            self.check_free(&execution.spec.target_resource).await;
        }
        ended
    }

    /// Checks that the log has exactly this of an execution.
    async fn check_record(&self, name: &str, expected: &[&str]) {
        assert_eq!(self.recorded(name).await.unwrap(), expected, "the record of {name}");
    }

    /// Checks that a target has neither a holder nor a run.
    async fn check_free(&self, target: &str) {
        let run = run_name(target);
        wait::until_gone(&self.jobs(), &run, LIMIT).await.unwrap();
        let lease = self.leases().get_opt(&run).await.unwrap();
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
        assert_eq!(holder, "", "the lock of {target} is free");
    }

    /// Waits until everything that went live before this is counted: what is made now comes after it.
    async fn catch_up(&self) {
        let mark = uuid::Uuid::new_v4().to_string();
        let job: Job = serde_json::from_value(json!({
            "metadata": {"generateName": "mark-", "annotations": {"evenkeel.dev/owner-uid": mark}},
            "spec": {"parallelism": 0, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "none", "image": "none"}],
            }}},
        }))
        .unwrap();
        let created = self.jobs().create(&PostParams::default(), &job).await.unwrap().name_any();
        self.launches.reach(&mark, 1, LIMIT).await.unwrap();
        self.jobs().delete(&created, &DeleteParams::background()).await.unwrap();
    }

    /// Checks that no event is twice in the log and that it has no gap.
    async fn check_log(&self) {
        let log = self.audit_log().await.unwrap();
        let dense = log.iter().zip(0..).all(|(event, index)| event.index == index);
        assert!(dense, "the log is dense");
        let mut ids: Vec<&str> = log.iter().map(|event| event.text("event_id")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), log.len(), "every event is there once");
    }
}

/// Checks that those on one target took turns.
fn check_turns(ended: &[WorkflowExecution]) {
    let mut by_target: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for execution in ended {
        let status = execution.status.as_ref().unwrap();
        let times = (status.start_time.clone().unwrap().0, status.completion_time.clone().unwrap().0);
        by_target.entry(&execution.spec.target_resource).or_default().push(times);
    }
    for (target, mut times) in by_target {
        times.sort();
        assert!(times.is_sorted_by(|one, next| one.1 <= next.0), "overlap on {target}: {times:?}");
    }
}

/// Somebody else who writes an execution just before we do.
fn rival(executions: Api<WorkflowExecution>) -> Fault {
    Fault::first(move |asked: Asked| {
        let executions = executions.clone();
        async move {
            let mark = uuid::Uuid::new_v4().to_string();
            let patch = json!({"metadata": {"annotations": {"example.com/rival": mark}}});
            executions.patch(&asked.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        }
    })
}

/// Somebody who deletes an execution at this moment.
fn deleter(executions: Api<WorkflowExecution>, name: &str) -> impl Fn(Asked) -> Deletion + use<> {
    let name = name.to_owned();
    move |_| {
        let (executions, name) = (executions.clone(), name.clone());
        Box::pin(async move {
            executions.delete(&name, &DeleteParams::default()).await.unwrap();
        })
    }
}

type Deletion = futures::future::BoxFuture<'static, ()>;

/// Checks that faults happened as often as they should have.
#[track_caller]
fn check_all_happened(faults: &[(Fired, usize)]) {
    for (number, (fired, times)) in faults.iter().enumerate() {
        assert_eq!(fired.count(), *times, "fault {number} happened");
    }
}

/// A verb, a resource, what happens and how often.
type Many = (&'static str, &'static str, Fault, usize);

/// Adds rules that apply so often each.
fn add(proxy: &Proxy, rules: &[Many]) -> Vec<(Fired, usize)> {
    let add = |(verb, resource, fault, times): &Many| {
        (proxy.add(Rule::new(verb, resource, fault.clone()).times(*times)), *times)
    };
    rules.iter().map(add).collect()
}

/// How often something was answered so.
fn answered(proxy: &Proxy, verb: &str, resource: &str, code: u16) -> usize {
    let is =
        |(asked, answer): &&(Asked, u16)| asked.verb == verb && asked.resource == resource && *answer == code;
    proxy.asked().iter().filter(is).count()
}

/// All Jobs there are.
async fn runs(stage: &Stage) -> usize {
    stage.jobs().list(&ListParams::default()).await.unwrap().items.len()
}
