//! A backend that takes no time: every run that goes live is complete at once, unless it is to stay.

use std::pin::pin;

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{Environment, evidence::holds};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::timeline::{Stage, Timeline};

/// Begin of the names whose runs stay live.
pub const HELD: &str = "held-";

/// Follows the runs and the executions of one environment until it is dropped.
pub struct Backend(Vec<JoinHandle<()>>);

impl Backend {
    /// Begins, with what is called once for each Job that is seen complete.
    pub fn begin(
        environment: &Environment,
        timeline: &Timeline,
        completed: impl Fn(&Job) + Send + 'static,
    ) -> Self {
        let jobs = complete(environment.jobs(), timeline.clone(), completed);
        let executions = follow_executions(environment.executions(), timeline.clone());
        Self(vec![tokio::spawn(said("Jobs", jobs)), tokio::spawn(executions)])
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn said(what: &str, ended: impl Future<Output = Result<(), watcher::Error>>) {
    if let Err(error) = ended.await {
        eprintln!("the watch of {what} ended: {error}");
    }
}

/// The name of the execution that a run is for: its own, if it is for none.
pub(crate) fn name_of(run: &impl ResourceExt) -> String {
    let owner = run.annotations().get("evenkeel.dev/owner");
    let name = owner.and_then(|owner| owner.split_once('/')).map(|(_, name)| name.to_owned());
    name.unwrap_or_else(|| run.name_any())
}

fn is_complete(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Complete" && condition.status == "True")
}

async fn complete(
    jobs: Api<Job>,
    timeline: Timeline,
    completed: impl Fn(&Job),
) -> Result<(), watcher::Error> {
    let changes = watcher(jobs.clone(), watcher::Config::default()).default_backoff().applied_objects();
    let mut changes = pin!(changes);
    while let Some(job) = changes.try_next().await? {
        if job.spec.as_ref().is_none_or(|spec| spec.suspend == Some(true)) {
            continue;
        }
        let name = name_of(&job);
        if is_complete(&job) {
            completed(&job);
        } else if timeline.note(&name, Stage::Live) && !name.starts_with(HELD) {
            tokio::spawn(end(jobs.clone(), job.name_any(), name, timeline.clone()));
        }
    }
    Ok(())
}

/// Reports a run complete, as the Job controller would.
async fn end(jobs: Api<Job>, job: String, name: String, timeline: Timeline) {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "CompletionsReached", "message": "",
            "lastProbeTime": now, "lastTransitionTime": now,
        })
    };
    let status = json!({"status": {
        "startTime": now,
        "completionTime": now,
        "succeeded": 1,
        "ready": 0,
        "terminating": 0,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    }});
    timeline.note(&name, Stage::Done);
    if let Err(error) = jobs.patch_status(&job, &PatchParams::default(), &Patch::Merge(status)).await {
        eprintln!("could not complete {name}: {error}");
    }
}

/// Notes what the status of executions says.
pub(crate) async fn follow_executions(executions: Api<WorkflowExecution>, timeline: Timeline) {
    said("executions", follow(executions, timeline)).await;
}

async fn follow(api: Api<WorkflowExecution>, timeline: Timeline) -> Result<(), watcher::Error> {
    let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
    let mut changes = pin!(changes);
    while let Some(execution) = changes.try_next().await? {
        let phase = execution.status.as_ref().and_then(|status| status.phase.as_deref());
        match phase {
            Some("Running") => timeline.note(&execution.name_any(), Stage::Running),
            Some("Completed" | "Failed") => timeline.note(&execution.name_any(), Stage::Ended),
            _ => false,
        };
        if holds(&execution, "Released") && holds(&execution, "AuditRecorded") {
            timeline.note(&execution.name_any(), Stage::Settled);
        }
    }
    Ok(())
}
