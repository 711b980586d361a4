//! Waits. Every wait that is not over in moments is explained by the condition `Blocked`.

use super::{Decision, Observed, Wait, millis, write};
use crate::{
    conditions::{Millis, get, kind, reason},
    gate::Hold,
};

/// How often the executor may fail to answer before the wait is worth a status write.
const QUIET_FAILURES: u32 = 3;
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
    if is_told(observed, &hold) {
        let longest = millis(observed.settings.poll);
        let until = hold.until.map_or(longest, |until| until - now);
        // What ends by itself needs no poll; a lock may also be freed by somebody we do not watch.
        let wait = if hold.reason == reason::TARGET_BUSY { until.min(longest) } else { until };
        return quiet(wait);
    }
    write::blocked(observed, &hold, now)
}

/// Waits for the executor to answer.
pub(super) fn for_executor(observed: &Observed<'_>, why: &str, now: Millis) -> Decision {
    let message = format!("the executor gives no usable answer ({why}); this goes on when it does");
    let hold = Hold { reason: reason::EXECUTOR_UNAVAILABLE, message, until: None };
    if observed.failures < QUIET_FAILURES || is_told(observed, &hold) {
        return quiet(backoff(observed.failures));
    }
    write::blocked(observed, &hold, now)
}

fn is_told(observed: &Observed<'_>, hold: &Hold) -> bool {
    get(&observed.record.status.conditions, kind::BLOCKED).is_some_and(|blocked| {
        blocked.status == "True" && blocked.reason == hold.reason && blocked.message == hold.message
    })
}
