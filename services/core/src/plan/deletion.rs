//! The object is being deleted: give the lock up, see the record safe, let it go.

use super::{Audit, Decision, Effect, Observed, ReleaseAnswer, StartAnswer, Wait, notice, wait, write};
use crate::{
    conditions::{Millis, is_false, kind},
    phase::Phase,
    target::Target,
    validate,
};

/// How long to wait for the run's removal when nothing is heard of it.
const REMOVING_WAIT: Millis = 250;
/// How long to wait for an acknowledgement; its arrival ends the wait.
const AUDIT_WAIT: Millis = 5_000;

pub(super) fn plan(observed: &Observed<'_>, now: Millis) -> Decision {
    let record = observed.record;
    if !record.has_finalizer {
        return Decision::Rest;
    }
    if let Some(write) = unrecorded_launch(observed, now) {
        return write;
    }
    // Without a usable target nothing can ever have been started.
    let holds_nothing = record.holds(kind::RELEASED) || Target::parse(&record.spec.target).is_err();
    if !holds_nothing {
        match &observed.answers.release {
            None => return Decision::Act(Effect::Release),
            Some(ReleaseAnswer::Released) => {}
            Some(ReleaseAnswer::Removing) => return wait::quiet(REMOVING_WAIT),
            Some(ReleaseAnswer::Unavailable(why)) => {
                let notices = vec![notice::cleanup_failed("during finalization", why)];
                return Decision::Wait(Wait { millis: wait::backoff(observed.failures), notices });
            }
        }
    }
    match observed.audit {
        Audit::Off | Audit::Refused | Audit::Acknowledged => {
            Decision::Act(Effect::Finish { notices: vec![notice::deleted(record)] })
        }
        Audit::Failing if !is_false(&record.status.conditions, kind::AUDIT_RECORDED) => {
            write::audit(observed, now)
        }
        Audit::Failing | Audit::Pending => wait::quiet(AUDIT_WAIT),
    }
}

/// A launch whose status was never written gets its place in the record before it is removed.
fn unrecorded_launch(observed: &Observed<'_>, now: Millis) -> Option<Decision> {
    let record = observed.record;
    if record.phase() != Some(Phase::Pending) || observed.answers.release.is_some() {
        return None;
    }
    validate::validate(&record.spec).ok()?;
    let (facts, adopted) = match &observed.answers.start {
        Some(StartAnswer::Started { facts, adopted }) => (&**facts, *adopted),
        // The lock was read before the start, which may have gone through unheard: read it again.
        Some(StartAnswer::Unavailable(_) | StartAnswer::Moved) => return Some(wait::quiet(REMOVING_WAIT)),
        _ => (observed.lock()?.launched_run(&record.uid)?, true),
    };
    Some(write::running(observed, facts, adopted, now))
}
