//! What people are told through Kubernetes Events.

use crate::{
    conditions::{Millis, reason},
    facts::Facts,
    gate::Hold,
    go_duration,
    phase::Phase,
    record::{Clearance, Failure, Record, StoredPhase},
    workflow::Resolved,
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

/// How many parameters are named that are not passed on.
const DROPPED_NAMED: usize = 5;

pub(super) fn validated(record: &Record, resolved: &Resolved) -> Notice {
    let (workflow, target) = (&record.spec.workflow_id, &record.spec.target);
    let mut note = format!("workflow {workflow} may run on target {target}");
    let given = record.spec.parameters.keys().map(String::as_str);
    let dropped: Vec<&str> = given.filter(|name| !resolved.parameters.contains_key(*name)).collect();
    if !dropped.is_empty() {
        let named: Vec<&str> = dropped.iter().take(DROPPED_NAMED).copied().collect();
        let more = if dropped.len() > DROPPED_NAMED { ", …" } else { "" };
        note = format!("{note}; without parameters that it does not declare: {}{more}", named.join(", "));
    }
    normal("WorkflowValidated", note)
}

pub(super) fn validation_failed(check: &str, message: &str) -> Notice {
    warning("WorkflowValidationFailed", format!("{check}: {message}"))
}

/// What an execution waits for. That of a cooldown says how long it lasts, in whole seconds.
pub(super) fn waiting(record: &Record, hold: &Hold, now: Millis) -> Notice {
    match (hold.reason, hold.until) {
        (reason::COOLDOWN_ACTIVE, Some(until)) => {
            let remaining = std::time::Duration::from_secs(((until - now + 500) / 1000).unsigned_abs());
            let target = &record.spec.target;
            let remaining = go_duration::format(remaining);
            normal(hold.reason, format!("target {target} rests for another {remaining}"))
        }
        (reason::PREVIOUS_EXECUTION_FAILED, _) => warning(hold.reason, hold.message.clone()),
        _ => normal(hold.reason, hold.message.clone()),
    }
}

/// Somebody cleared the target.
pub(super) fn cleared(record: &Record, clearance: &Clearance) -> Notice {
    let target = &record.spec.target;
    normal(reason::BLOCK_CLEARED, format!("{} cleared target {target}: {}", clearance.by, clearance.reason))
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
