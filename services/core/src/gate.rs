//! Gates: why an execution that could start does not start yet. Each gate is a function of what
//! was observed; a new one is a line in [`GATES`].

use crate::{
    conditions::{Millis, get, kind, reason},
    moment,
    plan::Observed,
};

mod backoff;
mod block;
mod cooldown;
mod history;
mod lock;
mod turn;

pub use history::{End, History, Known, Past, Stands};
pub(crate) use lock::busy;
pub use lock::is_left_behind;

/// Something that makes an execution wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Reason of the condition `Blocked`.
    pub reason: &'static str,
    /// Names who or what it waits for, and until when if that is known. The same wait always has
    /// the same message, so that saying it again changes nothing.
    pub message: String,
    /// When it ends by itself.
    pub until: Option<Millis>,
}

type Gate = fn(&Observed<'_>, &History, Millis) -> Option<Hold>;

/// The gates, in the order they are asked; the first that holds is the one that is told. Whose turn
/// it is comes first: only the one who is next has to know what the target itself waits for.
const GATES: [Gate; 5] = [turn::hold, block::hold, cooldown::hold, backoff::hold, lock::hold];

/// What the execution waits for, if anything. One whose start is under way passed its gates.
pub fn hold(observed: &Observed<'_>, now: Millis) -> Option<Hold> {
    let holds_lock = observed
        .lock()
        .and_then(|lock| lock.holder.as_ref())
        .is_some_and(|holder| holder.uid == observed.record.uid);
    if holds_lock {
        return None;
    }
    match observed.history {
        Some(history) if !is_behind(observed, history) => {
            GATES.iter().find_map(|gate| gate(observed, history, now))
        }
        _ => Some(unread(observed)),
    }
}

/// Whether the history cannot be relied on: it is not read yet, or the lock was released by an
/// execution that it still takes for one that has not ended.
pub fn is_unread(observed: &Observed<'_>) -> bool {
    observed.history.is_none_or(|history| is_behind(observed, history))
}

fn is_behind(observed: &Observed<'_>, history: &History) -> bool {
    let released = observed.lock().and_then(|lock| lock.released.as_ref());
    released.is_some_and(|uid| history.open.contains(uid))
}

/// Without the history nobody can say that the target may be used, so it may not.
fn unread(observed: &Observed<'_>) -> Hold {
    let target = &observed.record.spec.target;
    let message =
        format!("what happened on target {target} before is not known yet; this goes on when it is");
    Hold { reason: reason::HISTORY_UNAVAILABLE, message, until: None }
}

/// When a rest of this length after `past` ends. Clocks differ: an end in the future counts as now,
/// and the moment that was told then is kept, or the rest would begin again at every look.
fn rest_ends(observed: &Observed<'_>, why: &str, past: &Past, rest: Millis, now: Millis) -> Millis {
    if past.at <= now {
        return past.at + rest;
    }
    let told = get(&observed.record.status.conditions, kind::BLOCKED)
        .filter(|blocked| blocked.reason == why && blocked.message.contains(&past.name))
        .and_then(|blocked| ends_at(&blocked.message));
    told.filter(|told| *told <= now + rest).unwrap_or(now + rest)
}

/// The moment that the message of a hold names as its end.
pub fn ends_at(message: &str) -> Option<Millis> {
    let (_, rest) = message.split_once(UNTIL)?;
    moment::parse(rest.get(..moment::LENGTH)?)
}

/// What stands before the moment of the end in a message.
const UNTIL: &str = " until ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_wait_can_be_read_from_its_message() {
        let message = "target ns/Deployment/api rests until 2026-01-31T09:05:00Z (5m0s after ops/a ended)";
        assert_eq!(ends_at(message), Some(1_769_850_300_000));
        for other in
            ["target x is blocked until somebody clears it", "", " until ", "rests until ü2026-01-31T09:0"]
        {
            assert_eq!(ends_at(other), None, "{other}");
        }
    }
}
