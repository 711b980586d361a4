//! A target that an execution may have left half changed is not touched until somebody looked at it.

use super::{End, History, Hold};
use crate::{
    conditions::{Millis, reason},
    moment::rfc3339,
    plan::Observed,
};

pub(super) fn hold(observed: &Observed<'_>, history: &History, _: Millis) -> Option<Hold> {
    let past = history.last_run.as_ref().filter(|past| past.how == End::Failed)?;
    if !observed.settings.block {
        return None;
    }
    let target = &observed.record.spec.target;
    let (namespace, name) = past.name.split_once('/').unwrap_or(("", &past.name));
    let message = format!(
        "target {target} is blocked: {} failed while it ran ({}, at {}), so the target may be half changed; \
         look at it, then clear it with: evenkeel -n {namespace} clear {name} --reason '…'",
        past.name,
        past.reason,
        rfc3339(past.at),
    );
    Some(Hold { reason: reason::PREVIOUS_EXECUTION_FAILED, message, until: None })
}
