//! The target rests after every execution that ran on it, whichever workflow it was.

use super::{History, Hold, UNTIL, rest_ends};
use crate::{
    conditions::{Millis, reason},
    go_duration,
    moment::rfc3339,
    plan::Observed,
};

pub(super) fn hold(observed: &Observed<'_>, history: &History, now: Millis) -> Option<Hold> {
    let past = history.last_run.as_ref()?;
    let rest = observed.settings.cooldown_millis();
    let end = rest_ends(observed, reason::COOLDOWN_ACTIVE, past, rest, now);
    if end <= now {
        return None;
    }
    let message = format!(
        "target {} rests{UNTIL}{} ({} after {} ended)",
        observed.record.spec.target,
        rfc3339(end),
        go_duration::format(observed.settings.cooldown),
        past.name,
    );
    Some(Hold { reason: reason::COOLDOWN_ACTIVE, message, until: Some(end) })
}
