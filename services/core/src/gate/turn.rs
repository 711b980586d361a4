//! Who comes first, goes first.

use super::{History, Hold};
use crate::{
    conditions::{Millis, reason},
    plan::Observed,
};

pub(super) fn hold(observed: &Observed<'_>, history: &History, _: Millis) -> Option<Hold> {
    let ahead = history.ahead.as_ref()?;
    let target = &observed.record.spec.target;
    let message = format!("{ahead} came first to target {target}; this execution waits for its turn");
    Some(Hold { reason: reason::QUEUED, message, until: None })
}
