//! What an execution costs beside a client that creates the same PipelineRun itself. The real Tekton
//! runs both, in real pods, one after the other and in turns.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use evenkeel_test_kit::{Environment, Request, wait};
use futures::StreamExt as _;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, DynamicObject, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::writes;
use crate::{
    backend::{follow_executions, name_of},
    report::{Figure, Table},
    site::Ground,
    stats::Sample,
    timeline::{Stage, Timeline},
};

/// Executions before anything is measured: Tekton reads the bundle, the node the image.
const WARM_UP: usize = 2;
/// Longest that one pipeline may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs so many pipelines of each, and shows how long they took and what we asked of the API server.
pub async fn measure(ground: &Ground, count: usize) -> anyhow::Result<[Table; 2]> {
    let ours = Pipelines::of(Arc::new(ground.environment().await?), ground.bundle()?);
    let raw = Pipelines::of(Arc::new(ground.bare_environment().await?), ground.bundle()?);
    for nth in 0..WARM_UP {
        raw.run_alone(&format!("warm-{nth}")).await?;
        ours.run_as_execution(&format!("warm-{nth}")).await?;
    }
    let before = ours.environment.requests()?.len();
    for nth in 0..count {
        raw.run_alone(&format!("run-{nth}")).await?;
        ours.run_as_execution(&format!("run-{nth}")).await?;
    }
    let requests = &ours.environment.requests()?[before..];
    let own: Vec<Request> = requests.iter().filter(|request| !is_by_the_clock(request)).cloned().collect();
    let mut asked = writes::table("pipeline: requests per execution", &own, count);
    asked.remark(
        "without what goes by the clock: the leader's Lease, and the question whether Tekton is there",
    );
    Ok([times(&ours, &raw, count), asked])
}

/// Whether a request is made every few seconds, however many executions there are.
fn is_by_the_clock(request: &Request) -> bool {
    let is_of_leader = request.account == "evenkeel-controller" && request.resource == "leases";
    is_of_leader || request.resource.starts_with("/apis")
}

fn times(ours: &Pipelines, raw: &Pipelines, count: usize) -> Table {
    let mut table = Table::new("pipeline of two tasks");
    let spans = [
        ("created -> run live", Stage::Asked, Stage::Live),
        ("run live -> run succeeded", Stage::Live, Stage::Done),
        ("created -> end in status", Stage::Asked, Stage::Ended),
    ];
    for (what, from, to) in spans {
        let of = |pipelines: &Pipelines| Sample::new(pipelines.timeline.spans("run-", from, to));
        for percent in [50, 99] {
            let figure = Figure::new(format!("{what}, p{percent}"), of(ours).percentile(percent), "ms");
            table.figure(figure.beside(of(raw).percentile(percent)));
        }
    }
    let seen = Sample::new(ours.timeline.spans("run-", Stage::Done, Stage::Ended));
    for percent in [50, 99] {
        let name = format!("run succeeded -> end in status, p{percent}");
        table.figure(Figure::new(name, seen.percentile(percent), "ms"));
    }
    table.remark(format!(
        "{count} of each, one after the other, in turns; raw: the PipelineRun alone, not pending"
    ));
    table
}

/// Pipelines in one environment, and what is seen of them.
struct Pipelines {
    environment: Arc<Environment>,
    bundle: String,
    timeline: Timeline,
    watches: [JoinHandle<()>; 2],
}

impl Pipelines {
    fn of(environment: Arc<Environment>, bundle: &str) -> Self {
        let timeline = Timeline::default();
        let watches = [
            tokio::spawn(follow(Arc::clone(&environment), timeline.clone())),
            tokio::spawn(follow_executions(environment.executions(), timeline.clone())),
        ];
        Self { environment, bundle: bundle.to_owned(), timeline, watches }
    }

    /// Creates an execution, and waits until nothing is left to do for it.
    async fn run_as_execution(&self, name: &str) -> anyhow::Result<()> {
        let mut execution = self.environment.execution(name, &target(name), &[]);
        execution.spec.workflow_ref.execution_bundle.clone_from(&self.bundle);
        execution.spec.workflow_ref.execution_engine = Some("tekton".to_owned());
        let before = self.timeline.count(Stage::Settled);
        self.timeline.note(name, Stage::Asked);
        self.environment.apply(&execution).await?;
        self.timeline.reach(Stage::Settled, before + 1, LIMIT).await
    }

    /// Creates a PipelineRun, waits until it has succeeded, and removes it as a release would.
    async fn run_alone(&self, name: &str) -> anyhow::Result<()> {
        let runs = self.environment.pipeline_runs();
        let run: DynamicObject = serde_json::from_value(pipeline_run(name, &self.bundle))?;
        let before = self.timeline.count(Stage::Ended);
        self.timeline.note(name, Stage::Asked);
        runs.create(&PostParams::default(), &run).await.context("create the PipelineRun")?;
        self.timeline.reach(Stage::Ended, before + 1, LIMIT).await?;
        runs.delete(name, &DeleteParams::foreground()).await?;
        wait::until_gone(&runs, name, LIMIT).await
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

/// Notes when runs are seen live and succeeded. For a run that is no execution's, that is its end.
async fn follow(environment: Arc<Environment>, timeline: Timeline) {
    let changes = watcher(environment.pipeline_runs(), watcher::Config::default());
    let mut changes = pin!(changes.default_backoff().applied_objects());
    while let Some(run) = changes.next().await {
        // A watch that broke begins anew by itself.
        let Ok(run) = run else { continue };
        let name = name_of(&run);
        if run.data["spec"]["status"] != "PipelineRunPending" {
            timeline.note(&name, Stage::Live);
        }
        if run.data["status"]["conditions"][0]["status"] == "True" {
            timeline.note(&name, Stage::Done);
            if name == run.name_any() {
                timeline.note(&name, Stage::Ended);
            }
        }
    }
}

fn target(name: &str) -> String {
    format!("shop/Deployment/{name}")
}

/// A PipelineRun like the executor's, but for the marks of an execution.
fn pipeline_run(name: &str, bundle: &str) -> Value {
    let param = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "raw"}},
        "spec": {
            "pipelineRef": {"resolver": "bundles", "params": [
                param("bundle", bundle),
                param("name", "workflow"),
                param("kind", "pipeline"),
            ]},
            "params": [param("TARGET_RESOURCE", &target(name))],
            "timeouts": {"pipeline": "1800s"},
            "taskRunTemplate": {"podTemplate": {"securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            }}},
        },
    })
}
