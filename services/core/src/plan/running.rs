//! The run is live, or was when last seen.

use super::{CancelAnswer, Decision, Effect, Observed, Reading, millis, wait, write};
use crate::{
    conditions::{Millis, kind},
    facts::{Facts, RunState},
    failure,
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
    let is_recovered = record.holds(kind::BLOCKED) || record.status.run_name.is_none();
    if is_recovered && !facts.run_name.is_empty() {
        return write::recovered(observed, facts, now);
    }
    let wait = if stuck.is_some() { poll.min(patience_ends - now) } else { poll };
    wait::quiet(wait)
}
