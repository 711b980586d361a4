//! Waits. Every wait that is not over in moments is explained by the condition `Blocked`.

use super::{Decision, Observed, Wait, millis, write};
use crate::{
    conditions::{Millis, get, kind, reason},
    gate::Hold,
};

/// How often something may fail to answer before the wait is worth a status write.
const QUIET_FAILURES: u32 = 3;
/// How long to wait for what is heard of, should it not be.
const UNHEARD: Millis = 300_000;
const FIRST_RETRY: Millis = 100;
const LONGEST_RETRY: Millis = 15_000;

/// Waits without a word.
pub(super) fn quiet(millis: Millis) -> Decision {
    Decision::Wait(Wait { millis: millis.max(1), notices: Vec::new() })
}

/// How long to wait after so many failures in a row.
pub(super) fn backoff(failures: u32) -> Millis {
    FIRST_RETRY.saturating_mul(1 << failures.min(20)).min(LONGEST_RETRY)
}

/// Waits for what holds the execution, and says so unless it was said already.
pub(super) fn explained(observed: &Observed<'_>, hold: Hold, now: Millis) -> Decision {
    if hold.reason == reason::HISTORY_UNAVAILABLE {
        return for_answer(observed, &hold, now);
    }
    if is_told(observed, &hold) {
        // What other executions do is heard of; a lock may also be freed by somebody we do not watch.
        let longest =
            if hold.reason == reason::TARGET_BUSY { millis(observed.settings.poll) } else { UNHEARD };
        return quiet(hold.until.map_or(longest, |until| (until - now).min(longest)));
    }
    write::blocked(observed, &hold, now)
}

/// Waits for the executor to answer.
pub(super) fn for_executor(observed: &Observed<'_>, why: &str, now: Millis) -> Decision {
    let message = format!("the executor gives no usable answer ({why}); this goes on when it does");
    let hold = Hold { reason: reason::EXECUTOR_UNAVAILABLE, message, until: None };
    for_answer(observed, &hold, now)
}

/// Waits for a catalogue to say which workflow is meant.
pub(super) fn for_catalogue(observed: &Observed<'_>, why: &str, now: Millis) -> Decision {
    let id = &observed.record.spec.workflow_id;
    let message = format!(
        "the catalogue gives no usable answer about workflow '{id}' ({why}); this goes on when it does"
    );
    let hold = Hold { reason: reason::CATALOGUE_UNAVAILABLE, message, until: None };
    for_answer(observed, &hold, now)
}

/// Asks again and again, and says so when it lasts.
fn for_answer(observed: &Observed<'_>, hold: &Hold, now: Millis) -> Decision {
    if observed.failures < QUIET_FAILURES || is_told(observed, hold) {
        return quiet(backoff(observed.failures));
    }
    write::blocked(observed, hold, now)
}

fn is_told(observed: &Observed<'_>, hold: &Hold) -> bool {
    get(&observed.record.status.conditions, kind::BLOCKED).is_some_and(|blocked| {
        blocked.status == "True" && blocked.reason == hold.reason && blocked.message == hold.message
    })
}
