//! One execution at a time.

use super::{History, Hold};
use crate::{
    conditions::{Millis, reason},
    facts::RunState,
    plan::{Observed, Reading},
};

pub(super) fn hold(observed: &Observed<'_>, _: &History, now: Millis) -> Option<Hold> {
    let Reading::Found(lock) = &observed.lock else { return None };
    let holder = lock.holder.as_ref()?;
    let has_run = lock.run.as_ref().is_some_and(|run| run.state != RunState::Inert);
    let abandoned = lock.held_since.unwrap_or(now) + observed.settings.start_timeout_millis();
    if !has_run && abandoned <= now {
        return None;
    }
    let until = (!has_run).then_some(abandoned);
    Some(Hold { until, ..busy(&observed.record.spec.target, &holder.to_string()) })
}

/// The wait for whoever holds the target.
pub(crate) fn busy(target: &str, holder: &str) -> Hold {
    let message = format!("target {target} is held by {holder}; this execution starts when it is released");
    Hold { reason: reason::TARGET_BUSY, message, until: None }
}
