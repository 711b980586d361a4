//! What people are told through Kubernetes Events.

use crate::{
    conditions::Millis,
    facts::Facts,
    go_duration,
    phase::Phase,
    record::{Failure, Record, StoredPhase},
};

/// How much attention a notice asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// As intended.
    Normal,
    /// Not as intended.
    Warning,
}

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much attention it asks for.
    pub severity: Severity,
    /// Machine-readable reason.
    pub reason: &'static str,
    /// For people.
    pub note: String,
}

fn normal(reason: &'static str, note: String) -> Notice {
    Notice { severity: Severity::Normal, reason, note }
}

fn warning(reason: &'static str, note: String) -> Notice {
    Notice { severity: Severity::Warning, reason, note }
}

pub(super) fn validated(record: &Record) -> Notice {
    let (workflow, target) = (&record.spec.workflow_id, &record.spec.target);
    normal("WorkflowValidated", format!("workflow {workflow} may run on target {target}"))
}

pub(super) fn validation_failed(check: &str, message: &str) -> Notice {
    warning("WorkflowValidationFailed", format!("{check}: {message}"))
}

pub(super) fn cooldown(record: &Record, until: Millis, now: Millis) -> Notice {
    let remaining = std::time::Duration::from_secs(((until - now + 500) / 1000).unsigned_abs());
    let target = &record.spec.target;
    normal("CooldownActive", format!("target {target} rests for another {}", go_duration::format(remaining)))
}

pub(super) fn created(engine: &str, facts: &Facts, adopted: bool) -> Notice {
    let how = if adopted { "carried on" } else { "created" };
    normal("ExecutionCreated", format!("{engine} run {}/{} {how}", facts.run_namespace, facts.run_name))
}

pub(super) fn transition(from: Phase, to: Phase) -> Notice {
    normal("PhaseTransition", format!("phase changed from {from} to {to}"))
}

pub(super) fn completed(record: &Record, took: std::time::Duration) -> Notice {
    let workflow = &record.spec.workflow_id;
    normal("WorkflowCompleted", format!("workflow {workflow} completed in {}", go_duration::format(took)))
}

pub(super) fn failed(record: &Record, failure: &Failure) -> Notice {
    let workflow = &record.spec.workflow_id;
    let when = if failure.was_execution_failure { "failed" } else { "failed before execution" };
    warning(
        "WorkflowFailed",
        format!("workflow {workflow} {when}: {}: {}", failure.reason.as_str(), failure.message),
    )
}

pub(super) fn released(record: &Record) -> Notice {
    normal("LockReleased", format!("target {} is free", record.spec.target))
}

pub(super) fn corrected(record: &Record, phase: Phase) -> Notice {
    let stored = match &record.status.phase {
        StoredPhase::Known(stored) => stored.as_str(),
        StoredPhase::Unset | StoredPhase::Foreign(_) => "(none)",
    };
    let note = format!("phase {stored} was written by somebody else and is not so; it is {phase} again");
    warning("PhaseCorrected", note)
}

pub(super) fn cleanup_failed(when: &str, why: &str) -> Notice {
    warning("CleanupFailed", format!("could not clean up {when}: {why}"))
}

pub(super) fn deleted(record: &Record) -> Notice {
    let phase = record.phase().map_or("unknown", Phase::as_str);
    normal("WorkflowExecutionDeleted", format!("deleted in phase {phase}"))
}
