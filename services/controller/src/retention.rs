//! Deletes finished executions that were kept long enough, if that is wanted.
//!
//! Only what has nothing left to do goes, and nothing that a gate of its target still rests on: an
//! execution that blocks its target stays until somebody clears it.

use std::{sync::Arc, time::Duration};

use evenkeel_core::record::Record;
use evenkeel_kit::leader::Leadership;
use kube::runtime::reflector::ObjectRef;
use tokio::time::sleep;

use crate::{
    error::{Change, Result},
    index::Index,
    live::Live,
    record,
    status::Objects,
};

/// How often it looks for what may go, at most and at least.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// A pause after each deletion, so that the first round over a full cluster is no burden to it.
const BETWEEN: Duration = Duration::from_millis(20);

/// Deletes what was kept long enough.
pub(crate) struct Retention {
    pub(crate) objects: Objects,
    pub(crate) index: Arc<Index>,
    pub(crate) live: Live,
    pub(crate) leadership: Leadership,
    /// Whether there is an audit log that has to have everything first.
    pub(crate) has_audit: bool,
}

impl Retention {
    /// Looks again and again; ends by being dropped.
    pub(crate) async fn run(self) {
        loop {
            let pause = match self.live.retention() {
                Some(keep) => {
                    self.round(keep).await;
                    (keep / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
                }
                None => LONGEST_PAUSE.min(Duration::from_secs(5)),
            };
            sleep(pause).await;
        }
    }

    /// One round, the oldest first; gives how many went.
    async fn round(&self, keep: Duration) -> usize {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX / 4);
        let mut gone = 0;
        for reference in self.index.ended_before(record::now() - keep, self.has_audit) {
            match self.delete(&reference).await {
                Ok(true) => gone += 1,
                Ok(false) => continue,
                Err(error) => {
                    tracing::warn!(execution = %reference, reason = error.reason(), "could not delete it: {error}");
                    break;
                }
            }
            sleep(BETWEEN).await;
        }
        if gone > 0 {
            tracing::info!(count = gone, "deleted finished executions that were kept long enough");
        }
        gone
    }

    /// Decided on what is stored now, and done only if that is still so.
    async fn delete(&self, reference: &ObjectRef<evenkeel_api::WorkflowExecution>) -> Result<bool> {
        let Change::Done(object) = self.objects.read(&reference.name).await? else { return Ok(false) };
        let record = record::from_object(&object);
        if !self.may_go(&record) || !self.leadership.holds() {
            return Ok(false);
        }
        Ok(matches!(self.objects.delete(&object).await?, Change::Done(())))
    }

    fn may_go(&self, record: &Record) -> bool {
        let is_needed = self.index.is_needed(record, &self.live.settings(), record::now());
        record.is_at_rest(self.has_audit) && !is_needed
    }
}
