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
                    // It says which engine it is, and the engine says whose lock it is.
                    self.read_workflow().await;
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
        let engine = self.engine();
        let (subject, uid) = (self.subject(engine.as_deref()), &self.record.uid);
        self.lock = self.context.executors.lock(subject, uid).instrument(span).await;
        if accepting { Ok(Look::There) } else { self.reload().await }
    }

    /// Looks the workflow up, unless the spec has it all. What is being deleted needs none.
    async fn read_workflow(&mut self) {
        if self.workflow == Reading::Unread && !self.record.deleting {
            let span = spans::unrecorded(self.carrier.as_ref());
            self.workflow = self.context.catalogue.look_up(&self.record.spec).instrument(span).await;
        }
    }

    async fn read_run(&mut self) {
        let context = self.context;
        let uid = &self.record.uid;
        if let Some(facts) = context.runs.recent(uid, self.settings.poll) {
            self.run = Reading::Found(facts);
            return;
        }
        let (owner, engine) = (request::owner(&self.record), self.engine());
        let span = spans::unrecorded(self.carrier.as_ref());
        let run = context.executors.run(self.subject(engine.as_deref()), &owner).instrument(span).await;
        if run == Reading::Absent && !context.runs.has_left(uid) {
            context.runs.forget(uid);
        }
        self.run = run;
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
        self.is_history_unread
            || matches!(self.lock, Reading::Unavailable(_))
            || matches!(self.workflow, Reading::Unavailable(_))
            || matches!(self.run, Reading::Unavailable(_))
            || matches!(start, Some(StartAnswer::Unavailable(_)))
            || matches!(cancel, Some(CancelAnswer::Unavailable(_)))
            || matches!(release, Some(ReleaseAnswer::Unavailable(_)))
    }

    /// What a write or patch returned is newer than anything the watch has shown.
    pub(crate) fn commit(&mut self, object: WorkflowExecution) {
        self.renew(object);
        self.context.latest.remember(&self.object);
        self.context.index.put(&self.object).iter().for_each(|woken| self.context.wake.object(woken));
    }
}
