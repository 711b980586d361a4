//! Carries out what was decided: one effect, or one status write and then what follows from it.

use evenkeel_api::WorkflowExecution;
use evenkeel_core::{
    plan::{Answers, Effect, Reading, ReleaseAnswer, StartAnswer, Write},
    workflow,
};
use evenkeel_kit::trace::Carrier;

use crate::{
    error::{Change, Result},
    observe::Look,
    request,
    service::Pass,
};

/// How often a start is decided again at once when the lock moved under it.
const MOVED_LIMIT: u32 = 5;

/// Whether there is anything to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// Plan again.
    On,
    /// The object is gone.
    Gone,
}

impl Pass<'_> {
    /// Carries out one effect.
    pub(crate) async fn act(&mut self, effect: Effect) -> Result<Went> {
        match effect {
            Effect::Accept => {
                let accepted = self.context.objects.accept(&self.object, Carrier::current()).await?;
                self.changed(accepted).await
            }
            Effect::Start { expected_token } => {
                self.start(expected_token).await;
                Ok(Went::On)
            }
            Effect::Cancel { reason } => {
                let (owner, engine) = (request::owner(&self.record), self.engine());
                let answer =
                    self.context.executors.cancel(self.subject(engine.as_deref()), &owner, &reason).await;
                self.answers.cancel = Some(answer);
                Ok(Went::On)
            }
            Effect::Release => {
                self.release().await;
                Ok(Went::On)
            }
            Effect::Finish { notices } => match self.context.objects.finish(&self.object).await? {
                Change::Done(_) | Change::Gone => {
                    self.context.events.publish(&self.object, &notices);
                    Ok(Went::Gone)
                }
                Change::Conflict => self.again().await,
            },
        }
    }

    async fn start(&mut self, expected_token: i64) {
        // The plan has decided on what is settled, and nothing was read since.
        let Ok(resolved) = workflow::resolve(&self.record, &self.workflow) else { return };
        if resolved.bundle != self.record.spec.bundle {
            tracing::info!(
                execution = %self.record.name, namespace = %self.record.namespace,
                asked = %self.record.spec.bundle, runs = %resolved.bundle, "the catalogue's bundle runs"
            );
        }
        let spec = request::spec(&self.record, resolved);
        let answer = self.context.executors.start(spec, expected_token).await;
        match &answer {
            StartAnswer::Moved if self.moved < MOVED_LIMIT => {
                self.moved += 1;
                self.lock = Reading::Unread;
                return;
            }
            StartAnswer::Started { facts, .. } => {
                // An end may have been heard of before the answer came.
                let known = self.context.runs.recent(&self.record.uid, self.settings.poll);
                self.run = Reading::Found(known.unwrap_or_else(|| (**facts).clone()));
            }
            _ => {}
        }
        self.answers.start = Some(answer);
    }

    async fn release(&mut self) {
        let context = self.context;
        let (owner, engine) = (request::owner(&self.record), self.engine());
        let answer = context.executors.release(self.subject(engine.as_deref()), &owner).await;
        if answer == ReleaseAnswer::Released {
            context.runs.forget(&self.record.uid);
            // Nobody has to tell us of what we did ourselves.
            context.index.next(&self.record.spec.target).iter().for_each(|next| context.wake.object(next));
        }
        self.answers.release = Some(answer);
    }

    /// Writes the status. What follows from it happens once it is committed, and only then.
    pub(crate) async fn write(&mut self, write: Write) -> Result<Went> {
        let statuses = (&self.record.status, &write.status);
        match self.context.objects.write(&self.object, statuses).await? {
            Change::Done(object) => {
                self.commit(object);
                self.context.events.publish(&self.object, &write.notices);
                if let Some(transition) = write.transition {
                    self.answers = Answers::default();
                    if transition.to.is_terminal() {
                        self.context.metrics.ended(transition.to.as_str(), transition.took);
                    }
                    tracing::info!(
                        execution = %self.record.name, namespace = %self.record.namespace,
                        trace_id = %self.record.trace_id, from = %transition.from, to = %transition.to,
                        reason = self.record.status.failure.as_ref().map(|failure| failure.reason.as_str()),
                        "phase changed"
                    );
                }
                Ok(Went::On)
            }
            Change::Conflict => self.again().await,
            Change::Gone => Ok(Went::Gone),
        }
    }

    async fn changed(&mut self, change: Change<WorkflowExecution>) -> Result<Went> {
        match change {
            Change::Done(object) => {
                self.commit(object);
                Ok(Went::On)
            }
            Change::Conflict => self.again().await,
            Change::Gone => Ok(Went::Gone),
        }
    }

    /// Somebody else wrote first: see what is there now, and plan again. What was read or answered
    /// before is older than the object and therefore still good.
    async fn again(&mut self) -> Result<Went> {
        Ok(match self.reload().await? {
            Look::There => Went::On,
            Look::Gone => Went::Gone,
        })
    }
}
