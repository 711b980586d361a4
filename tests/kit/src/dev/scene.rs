//! The executions that the demo is about, and how they are followed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use evenkeel_api::WorkflowExecution;
use futures::TryStreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
    runtime::{WatchStreamExt as _, watcher},
};

use super::render::{Tone, paint};
use crate::environment::Environment;

const LABEL: &str = "evenkeel.dev/demo";
const LIMIT: Duration = Duration::from_secs(90);

/// Three executions, two targets.
pub(super) struct Scene {
    id: String,
    pub(super) succeeds: WorkflowExecution,
    pub(super) fails: WorkflowExecution,
    /// Asks for the target of the first while that runs.
    pub(super) late: WorkflowExecution,
}

impl Scene {
    pub(super) fn new(environment: &Environment) -> Self {
        // Targets of their own, since a target is held back for a while after a run.
        let id = uuid::Uuid::new_v4().simple().to_string()[..4].to_owned();
        let checkout = format!("shop/Deployment/checkout-{id}");
        let execution = |action: &str, target: &str, parameters: &[(&str, &str)]| {
            let mut execution = environment.execution(&format!("{action}-{id}"), target, parameters);
            execution.labels_mut().insert(LABEL.into(), id.clone());
            execution
        };
        Self {
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

    pub(super) fn all(&self) -> [&WorkflowExecution; 3] {
        [&self.succeeds, &self.fails, &self.late]
    }

    /// Tells every change of phase until the first two have ended and the third has heard whom it
    /// waits for. What they then looked like, by name.
    pub(super) async fn follow(
        &self,
        environment: &Environment,
    ) -> anyhow::Result<BTreeMap<String, WorkflowExecution>> {
        let mut told = Told { begun: Instant::now(), seen: BTreeMap::new(), late_applied: false };
        let followed = self.watch(environment.executions(), environment, &mut told);
        match tokio::time::timeout(LIMIT, followed).await {
            Ok(Ok(())) => Ok(told.seen),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("they had not ended after {LIMIT:?}"),
        }
    }

    async fn watch(
        &self,
        executions: Api<WorkflowExecution>,
        environment: &Environment,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let config = watcher::Config::default().labels(&format!("{LABEL}={}", self.id));
        let changes = watcher(executions, config).default_backoff().applied_objects();
        let mut changes = std::pin::pin!(changes);
        while let Some(execution) = changes.try_next().await.context("follow the executions")? {
            told.tell(execution);
            if told.phase(&self.succeeds) == "Running" && !told.late_applied {
                told.late_applied = true;
                environment.apply(&self.late).await?;
            }
            let ended = [&self.succeeds, &self.fails].iter().all(|it| told.has_ended(it));
            if ended && told.late_applied && (self.names_owner(told) || told.has_ended(&self.late)) {
                return Ok(());
            }
        }
        bail!("the watch ended")
    }

    /// Whether the third says who holds the target that it asks for.
    fn names_owner(&self, told: &Told) -> bool {
        told.seen.get(&self.late.name_any()).is_some_and(|late| self.holder_message(late).is_some())
    }

    /// What the third says about the holder of its target.
    pub(super) fn holder_message(&self, late: &WorkflowExecution) -> Option<String> {
        let holder = self.succeeds.name_any();
        let status = late.status.as_ref()?;
        let failure = status.failure_details.iter().map(|details| &details.message);
        let messages = failure.chain(status.conditions.iter().map(|condition| &condition.message));
        messages.into_iter().find(|message| message.contains(&holder)).cloned()
    }
}

/// What was told so far.
struct Told {
    begun: Instant,
    seen: BTreeMap<String, WorkflowExecution>,
    late_applied: bool,
}

impl Told {
    fn tell(&mut self, execution: WorkflowExecution) {
        let name = execution.name_any();
        let before = self.seen.get(&name).map(phase_of);
        let now = phase_of(&execution);
        if before.as_deref() != Some(&now) {
            let since = format!("{:>6.2} s", self.begun.elapsed().as_secs_f32());
            let shown = match now.as_str() {
                "" => paint(Tone::Faint, "applied"),
                "Completed" => paint(Tone::Good, &now),
                "Failed" => paint(Tone::Bad, &now),
                _ => now,
            };
            println!("  {}  {name:<24} {shown}", paint(Tone::Faint, &since));
        }
        self.seen.insert(name, execution);
    }

    fn phase(&self, execution: &WorkflowExecution) -> String {
        self.seen.get(&execution.name_any()).map(phase_of).unwrap_or_default()
    }

    fn has_ended(&self, execution: &WorkflowExecution) -> bool {
        ["Completed", "Failed"].contains(&self.phase(execution).as_str())
    }
}

/// The phase; empty before the controller has seen the execution.
pub(super) fn phase_of(execution: &WorkflowExecution) -> String {
    execution.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default()
}
