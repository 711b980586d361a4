//! The executions that the demo is about, and how they are followed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use evenkeel_api::WorkflowExecution;
use futures::TryStreamExt as _;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
    runtime::{WatchStreamExt as _, watcher},
};

use super::render::{Tone, paint};
use crate::environment::Environment;

const LABEL: &str = "evenkeel.dev/demo";
const LIMIT: Duration = Duration::from_secs(90);

/// Three executions, two targets; and where there is Tekton, a pipeline on a third.
pub(super) struct Scene {
    id: String,
    pub(super) succeeds: WorkflowExecution,
    pub(super) fails: WorkflowExecution,
    /// Asks for the target of the first while that runs.
    pub(super) late: WorkflowExecution,
    pub(super) pipeline: Option<WorkflowExecution>,
}

impl Scene {
    /// The pipeline is that of the bundle.
    pub(super) fn new(environment: &Environment, bundle: Option<&str>) -> Self {
        // Targets of their own, since a target is held back for a while after a run.
        let id = uuid::Uuid::new_v4().simple().to_string()[..4].to_owned();
        let checkout = format!("shop/Deployment/checkout-{id}");
        let execution = |action: &str, target: &str, parameters: &[(&str, &str)]| {
            let mut execution = environment.execution(&format!("{action}-{id}"), target, parameters);
            execution.labels_mut().insert(LABEL.into(), id.clone());
            execution
        };
        let pipeline = bundle.map(|bundle| {
            let target = format!("shop/Deployment/orders-{id}");
            let mut pipeline = execution("repair-orders", &target, &[("SLEEP_SECONDS", "2")]);
            bundle.clone_into(&mut pipeline.spec.workflow_ref.execution_bundle);
            pipeline.spec.workflow_ref.execution_engine = Some("tekton".into());
            pipeline
        });
        Self {
            pipeline,
            succeeds: execution("restart-checkout", &checkout, &[("SLEEP_SECONDS", "4")]),
            fails: execution("scale-cart", &format!("shop/Deployment/cart-{id}"), &[("EXIT_CODE", "7")]),
            late: execution("rollback-checkout", &checkout, &[]),
            id,
        }
    }

    /// Removes what an earlier demo left.
    pub(super) async fn clear(environment: &Environment) -> anyhow::Result<()> {
        let earlier = ListParams::default().labels(LABEL);
        environment.executions().delete_collection(&DeleteParams::background(), &earlier).await?;
        Ok(())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &WorkflowExecution> {
        [&self.succeeds, &self.fails, &self.late].into_iter().chain(&self.pipeline)
    }

    /// Those to begin with.
    pub(super) fn first(&self) -> impl Iterator<Item = &WorkflowExecution> {
        [&self.succeeds, &self.fails].into_iter().chain(&self.pipeline)
    }

    /// Tells every change of phase until the first have ended and the late one has said whom it
    /// waits for.
    pub(super) async fn follow(&self, environment: &Environment) -> anyhow::Result<Told> {
        let mut told =
            Told { begun: Instant::now(), seen: BTreeMap::new(), late_applied: false, refusal: None };
        let followed = self.watch(environment, &mut told);
        match tokio::time::timeout(LIMIT, followed).await {
            Ok(Ok(())) => Ok(told),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("they had not ended after {LIMIT:?}"),
        }
    }

    async fn watch(&self, environment: &Environment, told: &mut Told) -> anyhow::Result<()> {
        let config = watcher::Config::default().labels(&format!("{LABEL}={}", self.id));
        let changes = watcher(environment.executions(), config).default_backoff().applied_objects();
        let mut changes = std::pin::pin!(changes);
        while let Some(execution) = changes.try_next().await.context("follow the executions")? {
            if told.refusal.is_none() && execution.name_any() == self.late.name_any() {
                told.refusal = self.holder_message(&execution);
            }
            told.tell(execution);
            if phase_of(told.last(&self.succeeds)) == "Running" && !told.late_applied {
                told.late_applied = true;
                environment.apply(&self.late).await?;
            }
            let ended = self.first().all(|execution| has_ended(told.last(execution)));
            if ended && told.late_applied && (told.refusal.is_some() || has_ended(told.last(&self.late))) {
                return Ok(());
            }
        }
        bail!("the watch ended")
    }

    /// What the third says about the holder of its target.
    fn holder_message(&self, late: &WorkflowExecution) -> Option<String> {
        let holder = self.succeeds.name_any();
        let status = late.status.as_ref()?;
        let failure = status.failure_details.iter().map(|details| &details.message);
        let messages = failure.chain(status.conditions.iter().map(|condition| &condition.message));
        messages.into_iter().find(|message| message.contains(&holder)).cloned()
    }
}

/// What was told so far.
pub(super) struct Told {
    begun: Instant,
    seen: BTreeMap<String, WorkflowExecution>,
    late_applied: bool,
    /// What the third said while the target was held.
    pub(super) refusal: Option<String>,
}

impl Told {
    fn tell(&mut self, execution: WorkflowExecution) {
        let name = execution.name_any();
        let before = self.seen.get(&name).map(phase_of);
        let now = phase_of(&execution);
        if before != Some(now) {
            let since = format!("{:>6.2} s", self.begun.elapsed().as_secs_f32());
            let shown = match now {
                "" => paint(Tone::Faint, "applied"),
                "Completed" => paint(Tone::Good, now),
                "Failed" => paint(Tone::Bad, now),
                _ => now.to_owned(),
            };
            println!("  {}  {name:<24} {shown}", paint(Tone::Faint, &since));
        }
        self.seen.insert(name, execution);
    }

    /// The execution as it was seen last, or as it was applied.
    pub(super) fn last<'a>(&'a self, execution: &'a WorkflowExecution) -> &'a WorkflowExecution {
        self.seen.get(&execution.name_any()).unwrap_or(execution)
    }
}

fn has_ended(execution: &WorkflowExecution) -> bool {
    ["Completed", "Failed"].contains(&phase_of(execution))
}

/// The phase; empty before the controller has seen the execution.
pub(super) fn phase_of(execution: &WorkflowExecution) -> &str {
    execution.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}
