//! Gates: why an execution that could start does not start yet. Each gate is a function of what
//! was observed; a new one is a line in [`GATES`].

use crate::{
    conditions::{Millis, reason},
    facts::RunState,
    go_duration,
    moment::rfc3339,
    plan::{Observed, Reading},
};

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

/// One earlier execution on the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its unique id.
    pub uid: String,
    /// `namespace/name`.
    pub name: String,
    /// When it ended.
    pub completion: Millis,
    /// Whether anything of its workflow ran.
    pub executed: bool,
}

type Gate = fn(&Observed<'_>, Millis) -> Option<Hold>;

/// The gates, in the order they are asked; the first that holds is the one that is told.
const GATES: [Gate; 2] = [cooldown, lock];

/// What the execution waits for, if anything. One whose start is under way passed its gates.
pub fn hold(observed: &Observed<'_>, now: Millis) -> Option<Hold> {
    let holds_lock = observed
        .lock()
        .and_then(|lock| lock.holder.as_ref())
        .is_some_and(|holder| holder.uid == observed.record.uid);
    if holds_lock { None } else { GATES.iter().find_map(|gate| gate(observed, now)) }
}

/// The target rests after every execution that ran on it, whichever workflow it was.
fn cooldown(observed: &Observed<'_>, now: Millis) -> Option<Hold> {
    let rest = observed.settings.cooldown_millis();
    // Clocks differ: an end in the future counts as now, or the wait would exceed the cooldown.
    let end = |past: &Past| past.completion.min(now) + rest;
    let past = observed
        .history
        .iter()
        .filter(|past| past.executed && past.uid != observed.record.uid && now < end(past))
        .max_by_key(|past| end(past))?;
    let message = format!(
        "target {} rests until {} ({} after {} ended)",
        observed.record.spec.target,
        rfc3339(end(past)),
        go_duration::format(observed.settings.cooldown),
        past.name,
    );
    Some(Hold { reason: reason::COOLDOWN_ACTIVE, message, until: Some(end(past)) })
}

/// One execution at a time.
fn lock(observed: &Observed<'_>, now: Millis) -> Option<Hold> {
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
pub fn busy(target: &str, holder: &str) -> Hold {
    let message = format!("target {target} is held by {holder}; this execution starts when it is released");
    Hold { reason: reason::TARGET_BUSY, message, until: None }
}
