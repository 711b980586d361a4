//! The run is live, or was when last seen.

use super::{CancelAnswer, Decision, Effect, Observed, Reading, millis, wait, write};
use crate::{
    conditions::{Millis, kind, reason},
    facts::{Facts, RunState},
    failure::{self, Reason},
    gate::Hold,
    moment::rfc3339,
};

pub(super) fn plan(observed: &Observed<'_>, now: Millis) -> Decision {
    match &observed.run {
        Reading::Unread => wait::quiet(1),
        Reading::Unavailable(why) => wait::for_executor(observed, why, now),
        Reading::Absent => write::vanished(observed, now),
        Reading::Found(facts) => match facts.state {
            RunState::Succeeded => write::completed(observed, facts, now),
            RunState::Failed => write::failed(observed, facts, now),
            RunState::Inert | RunState::Running => live(observed, facts, now),
        },
    }
}

fn live(observed: &Observed<'_>, facts: &Facts, now: Millis) -> Decision {
    let poll = millis(observed.settings.poll);
    if let Some(reason) = &observed.record.cancelled {
        return match &observed.answers.cancel {
            None => Decision::Act(Effect::Cancel { reason: reason.clone() }),
            Some(CancelAnswer::Unavailable(why)) => wait::for_executor(observed, why, now),
            // It ends as the engine ends it, and that is heard of.
            Some(CancelAnswer::Done) => wait::quiet(poll),
        };
    }
    let since = observed.record.status.start.unwrap_or(now);
    let patience_ends = since + millis(observed.settings.stuck_grace);
    let stuck = failure::stuck(facts);
    if let Some(reason) = stuck
        && patience_ends <= now
    {
        return match &observed.answers.cancel {
            None => Decision::Act(Effect::Cancel { reason: write::stuck_message(facts, reason) }),
            Some(CancelAnswer::Unavailable(why)) => wait::for_executor(observed, why, now),
            Some(CancelAnswer::Done) => write::gave_up(observed, facts, reason, now),
        };
    }
    let record = observed.record;
    let is_known = record.status.run_name.is_some() || facts.run_name.is_empty();
    if let Some(reason) = stuck.filter(|_| is_known) {
        return wait::explained(observed, cannot_start(reason, patience_ends), now);
    }
    if !is_known || (record.holds(kind::BLOCKED) && !facts.run_name.is_empty()) {
        return write::recovered(observed, facts, now);
    }
    wait::quiet(poll)
}

/// The details change from one look of the kubelet to the next; the reason does not.
fn cannot_start(reason: Reason, until: Millis) -> Hold {
    let message = format!(
        "the workflow cannot start ({}); this is waited for until {}, and then its run is given up",
        reason.as_str(),
        rfc3339(until),
    );
    Hold { reason: reason::CANNOT_START, message, until: Some(until) }
}
