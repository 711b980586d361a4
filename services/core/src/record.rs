//! One execution as it is stored, in plain words: what was asked for and what became of it.

use std::{collections::BTreeMap, time::Duration};

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
    /// What it acts on.
    pub target: String,
    /// Engine that was asked for.
    pub engine: Option<String>,
    /// ServiceAccount that was asked for.
    pub service_account: Option<String>,
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
    /// Engine that runs it, once that is settled.
    pub engine: Option<String>,
    /// ServiceAccount that it runs as.
    pub service_account: Option<String>,
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

    /// Whether a condition is true.
    pub fn holds(&self, condition: &str) -> bool {
        is_true(&self.status.conditions, condition)
    }

    /// Whether nothing is left to do for it.
    pub fn is_settled(&self) -> bool {
        self.is_terminal() && self.holds(kind::RELEASED) && self.holds(kind::AUDIT_RECORDED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(declared: Option<&[(&str, bool)]>) -> Spec {
        Spec {
            parameters: [("A", "1"), ("B", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            declared_parameters: declared
                .map(|names| names.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect()),
            ..Spec::default()
        }
    }

    fn names(spec: &Spec) -> Vec<String> {
        spec.effective_parameters().into_keys().collect()
    }

    #[test]
    fn undeclared_parameters_pass_only_when_nothing_is_declared() {
        assert_eq!(names(&spec(None)), ["A", "B"]);
        assert_eq!(names(&spec(Some(&[]))), [""; 0]);
        assert_eq!(names(&spec(Some(&[("A", true), ("C", true)]))), ["A"]);
        assert_eq!(names(&spec(Some(&[("A", false), ("B", true)]))), ["B"]);
    }

    #[test]
    fn an_execution_is_settled_when_released_and_recorded() {
        let mut record = Record::default();
        record.status.phase = StoredPhase::Known(Phase::Completed);
        assert!(!record.is_settled());
        for kind in [kind::RELEASED, kind::AUDIT_RECORDED] {
            crate::conditions::set(&mut record.status.conditions, kind, true, ("R", String::new()), 1, 0);
        }
        assert!(record.is_settled());
    }

    /// A record with this phase and these conditions, which true ones begin with a plus.
    fn stored(phase: Phase, completion: Option<Millis>, conditions: &[&str]) -> Record {
        let mut record = Record::default();
        record.status.phase = StoredPhase::Known(phase);
        record.status.completion = completion;
        for text in conditions {
            let (kind, holds) = (text.trim_start_matches(['+', '-']), text.starts_with('+'));
            let why = ("R", String::new());
            crate::conditions::set(&mut record.status.conditions, kind, holds, why, 1, 0);
        }
        record
    }

    #[test]
    fn an_end_counts_only_with_its_time_and_its_condition() {
        use Phase::{Completed, Failed, Pending};
        for (phase, completion, conditions, expected) in [
            (Completed, Some(5), &["+ExecutionCreated", "+ExecutionComplete"][..], Completed),
            (Failed, Some(5), &["+ExecutionCreated", "-ExecutionComplete"], Failed),
            (Failed, Some(5), &["-ExecutionCreated"], Failed),
            (Completed, None, &[], Pending),
            (Failed, None, &[], Pending),
            (Completed, Some(5), &["+ExecutionCreated"], Pending),
            (Failed, Some(5), &["-Ready"], Pending),
            (Completed, None, &["+ExecutionComplete"], Pending),
            (Failed, None, &["-ExecutionCreated"], Pending),
            // A release comes after the end only.
            (Completed, None, &["+Released"], Completed),
        ] {
            let mut record = stored(phase, completion, conditions);
            assert_eq!(record.phase(), Some(expected), "{phase} {completion:?} {conditions:?}");
            assert_eq!(record.is_misplaced(), phase != expected);
            record.status.start = Some(1);
            let started = if expected == Pending { Phase::Running } else { expected };
            assert_eq!(record.phase(), Some(started), "{phase} {completion:?} {conditions:?}, started");
        }
    }

    #[test]
    fn what_ended_stays_ended_whatever_is_written_over_its_phase() {
        for (condition, end) in
            [("+ExecutionComplete", Phase::Completed), ("-ExecutionComplete", Phase::Failed)]
        {
            for phase in Phase::ALL {
                let mut record = stored(phase, Some(5), &[condition]);
                assert_eq!((record.phase(), record.is_misplaced()), (Some(end), phase != end));
                record.status.phase = StoredPhase::Unset;
                assert_eq!((record.phase(), record.is_misplaced()), (Some(end), true));
            }
        }
    }
}
