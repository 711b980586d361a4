//! The execution ended: its target rests, then the lock is given up exactly once.

use super::{Audit, Decision, Effect, Observed, ReleaseAnswer, Wait, notice, wait, write};
use crate::{
    conditions::{Millis, is_false, kind},
    target::Target,
};

/// How long to wait for the run's removal when nothing is heard of it.
const REMOVING_WAIT: Millis = 250;
/// How long to wait for an acknowledgement that is on its way; its arrival ends the wait.
const AUDIT_WAIT: Millis = 5_000;
/// A release this close carries the acknowledgement too, so that it needs no write of its own.
const RELEASE_IS_CLOSE: Millis = 10_000;

pub(super) fn plan(observed: &Observed<'_>, now: Millis) -> Decision {
    let record = observed.record;
    if record.holds(kind::RELEASED) {
        return report_audit(observed, None, now);
    }
    // What counts as ended without a time was released, and went above.
    let Some(due) = release_due(observed, now) else { return Decision::Rest };
    if now < due {
        return report_audit(observed, Some(due), now);
    }
    if Target::parse(&record.spec.target).is_err() {
        return write::released(observed, now);
    }
    // An acknowledgement on its way arrives in moments and saves a write; one that fails does not.
    if observed.audit == Audit::Pending && observed.answers.release.is_none() {
        return wait::quiet(AUDIT_WAIT);
    }
    match &observed.answers.release {
        None => Decision::Act(Effect::Release),
        Some(ReleaseAnswer::Removing) => wait::quiet(REMOVING_WAIT),
        Some(ReleaseAnswer::Released) => write::released(observed, now),
        Some(ReleaseAnswer::Unavailable(why)) => {
            let notices = vec![notice::cleanup_failed("after the cooldown", why)];
            Decision::Wait(Wait { millis: wait::backoff(observed.failures), notices })
        }
    }
}

/// When the lock is given up: after the cooldown, or at once when nothing ran. An end that is further
/// in the future than any rest lasts is a clock that was set back, and nothing to wait for: the next
/// execution rests by itself.
fn release_due(observed: &Observed<'_>, now: Millis) -> Option<Millis> {
    let record = observed.record;
    let end = record.status.completion?;
    let rest = observed.settings.cooldown_millis();
    let rests = record.was_executed() && end <= now + rest;
    Some(if rests { end + rest } else { end.min(now) })
}

/// Keeps `AuditRecorded` true to what the log acknowledged, with as few writes as that takes.
fn report_audit(observed: &Observed<'_>, release_due: Option<Millis>, now: Millis) -> Decision {
    let record = observed.record;
    let is_told = match observed.audit {
        Audit::Pending => {
            return wait::quiet(release_due.map_or(AUDIT_WAIT, |due| (due - now).min(AUDIT_WAIT)));
        }
        Audit::Acknowledged => {
            let is_said = record.holds(kind::AUDIT_RECORDED) && record.tells_its_clearance();
            is_said || release_due.is_some_and(|due| due - now < RELEASE_IS_CLOSE)
        }
        Audit::Failing => is_false(&record.status.conditions, kind::AUDIT_RECORDED),
        Audit::Off | Audit::Refused => {
            is_false(&record.status.conditions, kind::AUDIT_RECORDED) && record.tells_its_clearance()
        }
    };
    match release_due {
        _ if !is_told => write::audit(observed, now),
        Some(due) => wait::quiet(due - now),
        None => Decision::Rest,
    }
}
