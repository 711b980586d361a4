//! Nothing has started yet.

use super::{Answers, Decision, Effect, Observed, Reading, ReleaseAnswer, StartAnswer, notice, wait, write};
use crate::{
    conditions::Millis,
    facts::{Lock, Refusal},
    failure::{self, Reason},
    gate, validate,
    workflow::Unresolved,
};

/// How long to wait when the lock keeps moving.
const MOVED_WAIT: Millis = 50;
/// How long to wait for the removal of what a refused start left behind.
const REMOVING_WAIT: Millis = 250;

pub(super) fn plan(observed: &Observed<'_>, now: Millis) -> Decision {
    if let Err(problem) = validate::validate(&observed.record.spec) {
        let message = problem.to_string();
        let told = notice::validation_failed("the specification is not valid", &message);
        return write::never_started(observed, Reason::ConfigurationError, message, Some(told), now);
    }
    match &observed.answers {
        Answers { start: Some(StartAnswer::Started { facts, adopted }), .. } => {
            return write::running(observed, facts, *adopted, now);
        }
        Answers { start: Some(StartAnswer::Refused(Refusal { kind, message })), .. } => {
            let why = (failure::of_refusal(*kind), "the executor refused to start it");
            return refused(observed, why, message, now);
        }
        Answers { start: Some(StartAnswer::Busy { holder }), .. } => {
            return wait::explained(observed, gate::busy(&observed.record.spec.target, holder), now);
        }
        // It was launched, but the controller ended before it could write that down.
        Answers { start: Some(StartAnswer::Vanished), .. } => {
            return write::vanished_unrecorded(observed, now);
        }
        Answers { start: Some(StartAnswer::Moved), .. } => return wait::quiet(MOVED_WAIT),
        Answers { start: Some(StartAnswer::Unavailable(why)), .. } => {
            return wait::for_executor(observed, why, now);
        }
        Answers { start: None, .. } => {}
    }
    let lock = match &observed.lock {
        Reading::Found(lock) => lock,
        Reading::Unavailable(why) => return wait::for_executor(observed, why, now),
        Reading::Unread | Reading::Absent => {
            return wait::for_executor(observed, "no reading of the lock", now);
        }
    };
    // A launch whose status was never written is carried on, whatever the gates say by now.
    if let Some(facts) = lock.launched_run(&observed.record.uid) {
        return write::running(observed, facts, true, now);
    }
    if let Some(reason) = &observed.record.cancelled {
        return withdrawn(observed, reason, now);
    }
    match observed.resolved() {
        Ok(_) => {}
        Err(Unresolved::Waiting(why)) => return wait::for_catalogue(observed, &why, now),
        Err(Unresolved::Never(problem)) => {
            let why = (Reason::ConfigurationError, "the workflow cannot be resolved");
            return refused(observed, why, &problem.to_string(), now);
        }
    }
    match gate::hold(observed, now) {
        Some(hold) => wait::explained(observed, hold, now),
        None => start(lock),
    }
}

fn start(lock: &Lock) -> Decision {
    Decision::Act(Effect::Start { expected_token: lock.token })
}

/// Somebody cancelled it before it started. It ends as a refused one does: fenced first.
fn withdrawn(observed: &Observed<'_>, why: &str, now: Millis) -> Decision {
    match &observed.answers.release {
        None => Decision::Act(Effect::Release),
        Some(ReleaseAnswer::Removing) => wait::quiet(REMOVING_WAIT),
        Some(ReleaseAnswer::Unavailable(why)) => wait::for_executor(observed, why, now),
        Some(ReleaseAnswer::Released) => {
            let message = format!("cancelled before it started: {why}");
            write::never_started(observed, Reason::TaskFailed, message, None, now)
        }
    }
}

/// Before a refusal becomes final, the attempt is released: that fences every start of it that may
/// still be under way, so nothing can go live after its status says that nothing ran. A catalogue's
/// word is no different: a start may have been sent while it still said something else.
fn refused(observed: &Observed<'_>, (reason, check): (Reason, &str), message: &str, now: Millis) -> Decision {
    match &observed.answers.release {
        None => Decision::Act(Effect::Release),
        Some(ReleaseAnswer::Removing) => wait::quiet(REMOVING_WAIT),
        Some(ReleaseAnswer::Unavailable(why)) => wait::for_executor(observed, why, now),
        Some(ReleaseAnswer::Released) => {
            let told = notice::validation_failed(check, message);
            write::never_started(observed, reason, message.to_owned(), Some(told), now)
        }
    }
}
