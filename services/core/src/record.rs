//! One execution as it is stored, in plain words: what was asked for and what became of it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    conditions::{Condition, Millis, is_false, is_true, kind},
    failure::Reason,
    go_duration,
    phase::Phase,
};

/// One execution as it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Its unique id, which is also the attempt id at the executor.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// When it was created.
    pub created: Millis,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether our finalizer holds it.
    pub has_finalizer: bool,
    /// Why somebody wants it to end before its time.
    pub cancelled: Option<String>,
    /// Trace that it belongs to, 32 hex digits, or empty.
    pub trace_id: String,
    /// Span that it was accepted in, 16 hex digits, or empty.
    pub span_id: String,
    /// What was asked for.
    pub spec: Spec,
    /// What became of it.
    pub status: Status,
}

/// What was asked for. Never changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// Name of the remediation request that it serves; may be empty.
    pub remediation_request: String,
    /// Identifier of the workflow.
    pub workflow_id: String,
    /// Version of the workflow.
    pub workflow_version: String,
    /// What the engine runs.
    pub bundle: String,
    /// Digest that the bundle must have.
    pub digest: Option<String>,
    /// What it acts on.
    pub target: String,
    /// Engine that was asked for.
    pub engine: Option<String>,
    /// ServiceAccount that was asked for.
    pub service_account: Option<String>,
    /// What only the engine understands.
    pub engine_config: Option<Value>,
    /// Objects that the workflow needs.
    pub dependencies: Option<Dependencies>,
    /// Parameters as given.
    pub parameters: BTreeMap<String, String>,
    /// The parameters that the workflow declares; none means that it says nothing about them.
    pub declared_parameters: Option<BTreeMap<String, bool>>,
    /// How long the run may take, as given.
    pub timeout: Option<String>,
}

impl Spec {
    /// The parameters that are passed on: all of them unless the workflow declares its own.
    pub fn effective_parameters(&self) -> BTreeMap<String, String> {
        let declared = |name: &str| match &self.declared_parameters {
            None => true,
            Some(names) => names.get(name).copied().unwrap_or(false),
        };
        self.parameters
            .iter()
            .filter(|(name, _)| declared(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// How long the run may take; none when nothing valid was given.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.as_deref().and_then(go_duration::parse)
    }
}

/// Objects of the execution namespace that a workflow needs, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Secrets.
    pub secrets: Vec<String>,
    /// ConfigMaps.
    pub config_maps: Vec<String>,
}

/// What was selected from a catalogue for an execution whose spec does not have it all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Which catalogue.
    pub source: String,
    /// Name of the workflow there.
    pub name: String,
    /// Its version there.
    pub version: String,
    /// What the engine runs.
    pub bundle: String,
    /// Digest that the bundle must have.
    pub digest: Option<String>,
    /// Names of the given parameters that are passed on; none when the workflow declares nothing.
    pub parameters: Option<Vec<String>>,
    /// Parameters that were not given and have a default.
    pub defaults: BTreeMap<String, String>,
}

impl Selection {
    /// The parameters that are passed on.
    pub fn effective_parameters(&self, spec: &Spec) -> BTreeMap<String, String> {
        let Some(names) = &self.parameters else { return spec.effective_parameters() };
        let given = names.iter().filter_map(|name| Some((name.clone(), spec.parameters.get(name)?.clone())));
        self.defaults.clone().into_iter().chain(given).collect()
    }
}

/// What became of an execution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Generation that this speaks of.
    pub observed_generation: Option<i64>,
    /// Where it stands.
    pub phase: StoredPhase,
    /// When the run went live.
    pub start: Option<Millis>,
    /// When it ended.
    pub completion: Option<Millis>,
    /// From start to completion, when both are known.
    pub duration: Option<Duration>,
    /// Name of the backend's object.
    pub run_name: Option<String>,
    /// What the backend said in the end.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Who cleared the target after this failure. Never written by us.
    pub clearance: Option<Clearance>,
    /// Engine that runs it, once that is settled.
    pub engine: Option<String>,
    /// ServiceAccount that it runs as.
    pub service_account: Option<String>,
    /// What was selected from a catalogue; none when the spec has it all.
    pub workflow: Option<Selection>,
    /// What holds for it.
    pub conditions: Vec<Condition>,
}

impl Status {
    /// The end that is shown by what every end is stored with: its time, and the condition that
    /// says how it ended or that nothing ever started.
    fn shown_end(&self) -> Option<Phase> {
        self.completion?;
        if is_true(&self.conditions, kind::EXECUTION_COMPLETE) {
            return Some(Phase::Completed);
        }
        let failed = [kind::EXECUTION_COMPLETE, kind::EXECUTION_CREATED];
        failed.iter().any(|kind| is_false(&self.conditions, kind)).then_some(Phase::Failed)
    }
}

/// A phase as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoredPhase {
    /// None yet, which counts as Pending.
    #[default]
    Unset,
    /// One of ours.
    Known(Phase),
    /// One of another release, left alone.
    Foreign(String),
}

/// What the backend said of a run in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The backend's reason.
    pub reason: String,
    /// The backend's message.
    pub message: String,
    /// Number of tasks that succeeded.
    pub completed_tasks: i64,
    /// Number of tasks.
    pub total_tasks: i64,
}

/// Who cleared a target that a failed execution blocked, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clearance {
    /// The user, as the API server knows it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, as that user says.
    pub at: Option<Millis>,
}

/// Why an execution failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Machine-readable reason.
    pub reason: Reason,
    /// What happened.
    pub message: String,
    /// Zero-based position of the task that failed.
    pub task_index: i64,
    /// Name of that task; empty when none is known.
    pub task_name: String,
    /// Step of that task.
    pub step_name: Option<String>,
    /// Exit code of that step.
    pub exit_code: Option<i32>,
    /// When.
    pub at: Millis,
    /// How long it ran before.
    pub ran_for: Option<Duration>,
    /// In plain language.
    pub summary: String,
    /// Whether anything of the workflow ran.
    pub was_execution_failure: bool,
}

impl Record {
    /// Where it stands; none for a phase of another release. Anybody with the permission can write
    /// a phase, so an end counts only with what comes with every end, and then whatever the phase.
    pub fn phase(&self) -> Option<Phase> {
        let stored = match &self.status.phase {
            StoredPhase::Unset => Phase::Pending,
            StoredPhase::Known(phase) => *phase,
            StoredPhase::Foreign(_) => return None,
        };
        let status = &self.status;
        let was_started = status.start.is_some() || status.run_name.is_some();
        Some(match status.shown_end() {
            Some(end) => end,
            None if !stored.is_terminal() || self.holds(kind::RELEASED) => stored,
            None if was_started => Phase::Running,
            None => Phase::Pending,
        })
    }

    /// Whether the stored phase is not where it stands.
    pub fn is_misplaced(&self) -> bool {
        match self.status.phase {
            StoredPhase::Known(stored) => self.phase() != Some(stored),
            StoredPhase::Unset => self.is_terminal(),
            StoredPhase::Foreign(_) => false,
        }
    }

    /// What the engine runs, as far as that is settled.
    pub fn bundle(&self) -> &str {
        self.status.workflow.as_ref().map_or(&self.spec.bundle, |selected| &selected.bundle)
    }

    /// The parameters that are passed on, as far as that is settled.
    pub fn effective_parameters(&self) -> BTreeMap<String, String> {
        let selected = self.status.workflow.as_ref();
        selected.map_or_else(
            || self.spec.effective_parameters(),
            |selected| selected.effective_parameters(&self.spec),
        )
    }

    /// Whether it ended.
    pub fn is_terminal(&self) -> bool {
        self.phase().is_some_and(Phase::is_terminal)
    }

    /// Whether anything of the workflow ran. Decides whether the target has to rest afterwards.
    pub fn was_executed(&self) -> bool {
        match &self.status.failure {
            Some(failure) => failure.was_execution_failure,
            None => self.phase() == Some(Phase::Completed),
        }
    }

    /// Whether it failed while it ran: then its target is blocked until somebody clears it.
    pub fn failed_while_running(&self) -> bool {
        self.phase() == Some(Phase::Failed) && self.was_executed()
    }

    /// Who cleared the target after it. A clearance of anything else than a failure while it ran
    /// says nothing.
    pub fn clearance(&self) -> Option<&Clearance> {
        let clearance = self.status.clearance.as_ref()?;
        (self.failed_while_running() && !clearance.by.is_empty()).then_some(clearance)
    }

    /// Whether a condition is true.
    pub fn holds(&self, condition: &str) -> bool {
        is_true(&self.status.conditions, condition)
    }

    /// Whether nothing is done for it until somebody changes or deletes it. Without an audit log it
    /// is enough that it says so.
    pub fn is_at_rest(&self, has_audit: bool) -> bool {
        let tells_that_nothing_is_recorded =
            !has_audit && is_false(&self.status.conditions, kind::AUDIT_RECORDED);
        let is_unrecorded = self.is_terminal()
            && self.holds(kind::RELEASED)
            && tells_that_nothing_is_recorded
            && self.tells_its_clearance();
        !self.deleting && !self.is_misplaced() && (self.is_settled() || is_unrecorded)
    }

    /// Whether nothing is left to do for it.
    pub fn is_settled(&self) -> bool {
        self.is_terminal()
            && self.holds(kind::RELEASED)
            && self.holds(kind::AUDIT_RECORDED)
            && self.tells_its_clearance()
    }

    /// Whether what its conditions say of the record speaks of its clearance, too.
    pub fn tells_its_clearance(&self) -> bool {
        self.clearance().is_none() || self.holds(kind::CLEARED)
    }
}

#[cfg(test)]
#[path = "record/tests.rs"]
pub(crate) mod tests;
