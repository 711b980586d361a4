//! One execution at a time.

use std::time::Duration;

use super::{History, Hold};
use crate::{
    conditions::{Millis, reason},
    facts::RunState,
    plan::{Observed, Reading, millis},
};

pub(super) fn hold(observed: &Observed<'_>, _: &History, now: Millis) -> Option<Hold> {
    let Reading::Found(lock) = &observed.lock else { return None };
    let holder = lock.holder.as_ref()?;
    let has_run = lock.run.as_ref().is_some_and(|run| run.state != RunState::Inert);
    let (since, timeout) = (lock.held_since.unwrap_or(now), observed.settings.start_timeout);
    if !has_run && is_left_behind(since, timeout, now) {
        return None;
    }
    let until = (!has_run).then_some(since + millis(timeout));
    Some(Hold { until, ..busy(&observed.record.spec.target, &holder.to_string()) })
}

/// Whether an attempt that took a lock at `since`, and has no live run, had the time it may take for
/// its start. A moment further ahead than that comes from a clock that was set back, and would keep
/// the lock for as long as the clock jumped. To be wrong here costs an attempt its turn and no more:
/// whatever it sends later is fenced.
pub fn is_left_behind(since: Millis, timeout: Duration, now: Millis) -> bool {
    let timeout = millis(timeout);
    since + timeout <= now || now + timeout < since
}

/// The wait for whoever holds the target.
pub(crate) fn busy(target: &str, holder: &str) -> Hold {
    let message = format!("target {target} is held by {holder}; this execution starts when it is released");
    Hold { reason: reason::TARGET_BUSY, message, until: None }
}
