//! Conditions: what holds for an execution, since when, and why.

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// Types of conditions.
pub mod kind {
    /// The run was created.
    pub const EXECUTION_CREATED: &str = "ExecutionCreated";
    /// The run went live. Stays true when it ends.
    pub const EXECUTION_RUNNING: &str = "ExecutionRunning";
    /// The run ended: true when it succeeded. Absent when nothing ever ran.
    pub const EXECUTION_COMPLETE: &str = "ExecutionComplete";
    /// The audit log acknowledged the events of the execution.
    pub const AUDIT_RECORDED: &str = "AuditRecorded";
    /// The execution succeeded.
    pub const READY: &str = "Ready";
    /// The execution waits; the reason and the message say what for.
    pub const BLOCKED: &str = "Blocked";
    /// The target's lock was given up and the run removed, exactly once.
    pub const RELEASED: &str = "Released";
    /// It ended, whichever way; the reason is the phase.
    pub const FINISHED: &str = "Finished";
    /// Somebody cleared the target after this execution failed while it ran.
    pub const CLEARED: &str = "Cleared";
}

/// Reasons of conditions.
pub mod reason {
    /// `ExecutionCreated` is true.
    pub const EXECUTION_CREATED: &str = "ExecutionCreated";
    /// The run could not be created.
    pub const EXECUTION_CREATION_FAILED: &str = "ExecutionCreationFailed";
    /// It could not be created: a quota.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// It could not be created: a permission.
    pub const RBAC_DENIED: &str = "RBACDenied";
    /// It could not be created: the image.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// `ExecutionRunning` is true.
    pub const EXECUTION_STARTED: &str = "ExecutionStarted";
    /// `ExecutionComplete` is true.
    pub const EXECUTION_SUCCEEDED: &str = "ExecutionSucceeded";
    /// The run failed for a reason that has no condition reason of its own.
    pub const EXECUTION_FAILED: &str = "ExecutionFailed";
    /// A task failed.
    pub const TASK_FAILED: &str = "TaskFailed";
    /// It took too long.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// It ran out of memory.
    pub const OOM_KILLED: &str = "OOMKilled";
    /// The audit log has everything so far.
    pub const AUDIT_SUCCEEDED: &str = "AuditSucceeded";
    /// The audit log does not have everything.
    pub const AUDIT_FAILED: &str = "AuditFailed";
    /// `Ready` is true.
    pub const READY: &str = "Ready";
    /// `Ready` is false.
    pub const NOT_READY: &str = "NotReady";
    /// Another execution holds the target.
    pub const TARGET_BUSY: &str = "TargetBusy";
    /// The target rests after another execution.
    pub const COOLDOWN_ACTIVE: &str = "CooldownActive";
    /// The target rests after executions that failed before they began.
    pub const EXPONENTIAL_BACKOFF: &str = "ExponentialBackoff";
    /// The last execution on the target failed while it ran, and nobody cleared the target yet.
    pub const PREVIOUS_EXECUTION_FAILED: &str = "PreviousExecutionFailed";
    /// Another execution came first to the target.
    pub const QUEUED: &str = "Queued";
    /// What happened on the target before is not known now.
    pub const HISTORY_UNAVAILABLE: &str = "HistoryUnavailable";
    /// The workflow has to be looked up, and no catalogue can say now which it is.
    pub const CATALOGUE_UNAVAILABLE: &str = "CatalogueUnavailable";
    /// The executor cannot be asked, or cannot answer now.
    pub const EXECUTOR_UNAVAILABLE: &str = "ExecutorUnavailable";
    /// Its run is live, and something keeps the workflow from starting.
    pub const CANNOT_START: &str = "CannotStart";
    /// `Blocked` is false again.
    pub const UNBLOCKED: &str = "Unblocked";
    /// The lock was held and given up.
    pub const LOCK_RELEASED: &str = "LockReleased";
    /// `Cleared` is true.
    pub const BLOCK_CLEARED: &str = "BlockCleared";
    /// There was never anything to release.
    pub const NOTHING_HELD: &str = "NothingHeld";
}

/// One condition, as `metav1.Condition` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it speaks of.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Machine-readable reason.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Generation of the spec that it speaks of.
    pub observed_generation: Option<i64>,
    /// Since when it has this status.
    pub since: Millis,
}

/// Sets a condition. Its time moves only when its status flips; reason, message and generation are
/// always those of the newest say.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    holds: bool,
    (reason, message): (&str, String),
    generation: i64,
    now: Millis,
) {
    let fresh = Condition {
        kind: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: Some(generation),
        since: now,
    };
    match conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(old) if old.status == fresh.status => *old = Condition { since: old.since, ..fresh },
        Some(old) => *old = fresh,
        None => conditions.push(fresh),
    }
}

/// The condition of a type.
pub fn get<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Whether a condition is there and true.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// Whether a condition is there and false.
pub fn is_false(conditions: &[Condition], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|condition| condition.status == "False")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_moves_only_when_the_status_flips() {
        let mut conditions = Vec::new();
        set(&mut conditions, kind::READY, false, (reason::NOT_READY, "first".to_owned()), 1, 10);
        set(&mut conditions, kind::READY, false, (reason::NOT_READY, "second".to_owned()), 2, 20);
        let ready = get(&conditions, kind::READY).unwrap();
        assert_eq!((ready.since, ready.message.as_str(), ready.observed_generation), (10, "second", Some(2)));
        set(&mut conditions, kind::READY, true, (reason::READY, "third".to_owned()), 2, 30);
        assert_eq!(get(&conditions, kind::READY).unwrap().since, 30);
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn an_absent_condition_is_neither_true_nor_false() {
        assert!(!is_true(&[], kind::READY));
        assert!(!is_false(&[], kind::READY));
    }

    #[test]
    fn conditions_of_others_are_kept_in_place() {
        let foreign = Condition {
            kind: "example.com/Seen".to_owned(),
            status: "Unknown".to_owned(),
            reason: "Other".to_owned(),
            message: String::new(),
            observed_generation: None,
            since: 1,
        };
        let mut conditions = vec![foreign.clone()];
        set(&mut conditions, kind::READY, true, (reason::READY, String::new()), 1, 5);
        assert_eq!(conditions[0], foreign);
    }
}
