//! Reads what the plan needs to see, in the order that makes it safe to act on.

use evenkeel_api::WorkflowExecution;
use evenkeel_core::plan::{
    Answers, CancelAnswer, Decision, Effect, Need, Reading, ReleaseAnswer, StartAnswer, needs,
};
use tracing::Instrument as _;

use crate::{
    error::{Change, Result},
    request,
    service::Pass,
    spans,
};

/// Whether there is anything to plan for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The object is there.
    There,
    /// The object is gone.
    Gone,
}

impl Pass<'_> {
    /// Reads what is needed and was not read yet.
    pub(crate) async fn observe(&mut self) -> Result<Look> {
        loop {
            match needs(&self.record) {
                Need::Lock if self.lock == Reading::Unread => {
                    if self.read_lock().await? == Look::Gone {
                        return Ok(Look::Gone);
                    }
                }
                Need::Run if self.run == Reading::Unread => self.read_run().await,
                Need::Nothing | Need::Lock | Need::Run => return Ok(Look::There),
            }
        }
    }

    /// First the lock, then the object: a start is safe only if the object was still waiting
    /// after the token was read. The cache cannot tell that; the patch that accepts an object can,
    /// so an object that is about to be accepted need not be read as well.
    async fn read_lock(&mut self) -> Result<Look> {
        let accepting = !self.record.has_finalizer && !self.record.deleting;
        let span = if accepting {
            self.span(spans::name(&Decision::Act(Effect::Accept)))
        } else {
            spans::unrecorded(self.carrier.as_ref())
        };
        self.lock = self.context.executor.lock(&self.record.spec.target).instrument(span).await;
        if accepting { Ok(Look::There) } else { self.reload().await }
    }

    async fn read_run(&mut self) {
        let context = self.context;
        let uid = &self.record.uid;
        if let Some(facts) = context.runs.recent(uid, context.settings.poll) {
            self.run = Reading::Found(facts);
            return;
        }
        let owner = request::owner(&self.record);
        let span = spans::unrecorded(self.carrier.as_ref());
        self.run = context.executor.run(owner, &self.record.spec.target).instrument(span).await;
        match &self.run {
            Reading::Found(facts) => context.runs.note(facts),
            Reading::Absent => _ = context.runs.forget(uid),
            Reading::Unread | Reading::Unavailable(_) => {}
        }
    }

    /// Reads the object from the API server itself.
    pub(crate) async fn reload(&mut self) -> Result<Look> {
        match self.context.objects.read(&self.record.name).await? {
            Change::Done(object) if object.metadata.uid == self.object.metadata.uid => {
                self.renew(object);
                Ok(Look::There)
            }
            // Another object of the same name is none of this pass's business.
            Change::Done(_) | Change::Gone | Change::Conflict => Ok(Look::Gone),
        }
    }

    /// Whether something that was asked gave no usable answer.
    pub(crate) fn is_unanswered(&self) -> bool {
        let Answers { start, cancel, release } = &self.answers;
        matches!(self.lock, Reading::Unavailable(_))
            || matches!(self.run, Reading::Unavailable(_))
            || matches!(start, Some(StartAnswer::Unavailable(_)))
            || matches!(cancel, Some(CancelAnswer::Unavailable(_)))
            || matches!(release, Some(ReleaseAnswer::Unavailable(_)))
    }

    /// What a write or patch returned is newer than anything the watch has shown.
    pub(crate) fn commit(&mut self, object: WorkflowExecution) {
        self.renew(object);
        self.context.latest.remember(&self.object);
        self.context.index.put(&self.record);
    }
}
