//! One execution, looked at: observe, plan, do one thing, and again until there is nothing to do
//! but wait. Everything it knows between two looks is stored in the object or can be read again.

use std::{sync::Arc, time::Duration};

use evenkeel_api::WorkflowExecution;
use evenkeel_core::{
    facts::{Facts, Lock},
    gate,
    phase::Phase,
    plan::{Answers, Decision, Observed, Reading, Settings, Wait, plan},
    record::Record,
    workflow::{self, Entry},
};
use evenkeel_kit::{leader::Leadership, trace::Carrier};
use kube::runtime::controller::Action;
use tracing::{Instrument as _, Span};

use crate::{
    act::Went,
    audit::Deliveries,
    backoff::{self, Failures},
    catalogue::Catalogue,
    error::{Error, Result},
    events::Events,
    executors::{Executors, Subject},
    index::Index,
    latest::Latest,
    live::Live,
    metrics::Metrics,
    observe::Look,
    record, spans,
    status::Objects,
    watch::{Runs, Wake},
};

/// Steps of one look. The longest path takes about half of it; more means that somebody writes to
/// the object all the time, and others should have their turn.
const STEPS: usize = 16;
/// How soon to look again then.
const SOON: Duration = Duration::from_millis(20);

/// What every look needs.
pub struct Context {
    pub(crate) objects: Objects,
    pub(crate) executors: Executors,
    pub(crate) catalogue: Catalogue,
    pub(crate) audit: Deliveries,
    pub(crate) events: Events,
    pub(crate) index: Arc<Index>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) latest: Arc<Latest>,
    pub(crate) failures: Failures,
    pub(crate) metrics: Metrics,
    pub(crate) live: Live,
    pub(crate) wake: Wake,
    /// Whether this process may act.
    pub(crate) leadership: Leadership,
}

/// One look at one execution.
pub(crate) struct Pass<'a> {
    pub(crate) context: &'a Context,
    pub(crate) object: Arc<WorkflowExecution>,
    pub(crate) record: Record,
    pub(crate) carrier: Option<Carrier>,
    pub(crate) lock: Reading<Lock>,
    pub(crate) workflow: Reading<Entry>,
    pub(crate) run: Reading<Facts>,
    pub(crate) answers: Answers,
    pub(crate) moved: u32,
    /// What is configured at the beginning of the look.
    pub(crate) settings: Arc<Settings>,
    pub(crate) is_history_unread: bool,
    step: Option<(&'static str, Span)>,
}

/// Drives one execution as far as it goes now.
pub async fn reconcile(object: Arc<WorkflowExecution>, context: Arc<Context>) -> Result<Action> {
    let mut pass = Pass::new(&context, context.latest.newer(object));
    for _ in 0..STEPS {
        if pass.observe().await? == Look::Gone {
            return Ok(pass.gone());
        }
        let decision = pass.plan();
        if matches!(decision, Decision::Act(_) | Decision::Write(_)) && !context.leadership.holds() {
            return Err(Error::NotLeading);
        }
        let span = pass.span(spans::name(&decision));
        let went = match decision {
            Decision::Rest => return Ok(pass.rest()),
            Decision::Wait(wait) => return Ok(pass.wait(&wait)),
            Decision::Act(effect) => pass.act(effect).instrument(span).await?,
            Decision::Write(write) => pass.write(*write).instrument(span).await?,
        };
        if went == Went::Gone {
            return Ok(pass.gone());
        }
    }
    Ok(Action::requeue(SOON))
}

/// Decides when to look again after an error.
pub fn error_policy(object: Arc<WorkflowExecution>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.error(error.reason());
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    Action::requeue(backoff::delay(context.failures.add(uid)))
}

impl<'a> Pass<'a> {
    fn new(context: &'a Context, object: Arc<WorkflowExecution>) -> Self {
        Self {
            context,
            record: record::from_object(&object),
            carrier: record::carrier(&object),
            object,
            lock: Reading::Unread,
            workflow: Reading::Unread,
            run: Reading::Unread,
            answers: Answers::default(),
            moved: 0,
            settings: context.live.settings(),
            is_history_unread: false,
            step: None,
        }
    }

    /// Takes in a newer form of the object.
    pub(crate) fn renew(&mut self, object: WorkflowExecution) {
        self.record = record::from_object(&object);
        self.carrier = record::carrier(&object);
        self.object = Arc::new(object);
    }

    fn plan(&mut self) -> Decision {
        let context = self.context;
        let waits = self.record.phase() == Some(Phase::Pending);
        let history = waits.then(|| context.index.history(&self.record)).flatten();
        let observed = Observed {
            record: &self.record,
            lock: self.lock.clone(),
            workflow: self.workflow.clone(),
            run: self.run.clone(),
            history: history.as_ref(),
            audit: context.audit.follow(&self.record, self.carrier.as_ref()),
            answers: self.answers.clone(),
            failures: context.failures.count(&self.record.uid),
            settings: &self.settings,
        };
        self.is_history_unread = waits && gate::is_unread(&observed);
        plan(&observed, record::now())
    }

    /// The span of a step; steps of one name that follow each other are one.
    pub(crate) fn span(&mut self, name: &'static str) -> Span {
        match &self.step {
            _ if name.is_empty() => Span::none(),
            Some((current, span)) if *current == name => span.clone(),
            _ => {
                let span = spans::open(name, &self.record, self.carrier.as_ref());
                self.step = Some((name, span.clone()));
                span
            }
        }
    }

    fn rest(&self) -> Action {
        self.context.failures.reset(&self.record.uid);
        Action::await_change()
    }

    fn wait(&self, wait: &Wait) -> Action {
        self.context.events.publish(&self.object, &wait.notices);
        let pause = record::after(wait.millis);
        if self.is_unanswered() {
            self.context.failures.add(&self.record.uid);
            return Action::requeue(backoff::spread(pause));
        }
        self.context.failures.reset(&self.record.uid);
        // A poll is late by a little, so that not all come at once; a gate opens when it opens.
        let is_poll = self.record.phase() == Some(Phase::Running);
        Action::requeue(if is_poll { backoff::spread(pause) } else { pause })
    }

    /// What this execution is to the executors.
    pub(crate) fn subject<'b>(&'b self, engine: Option<&'b str>) -> Subject<'b> {
        Subject { engine, target: &self.record.spec.target }
    }

    /// Its engine, as far as that is settled.
    pub(crate) fn engine(&self) -> Option<String> {
        let given = |engine: &Option<String>| engine.clone().filter(|engine| !engine.is_empty());
        let settled = given(&self.record.status.engine).or_else(|| given(&self.record.spec.engine));
        settled.or_else(|| Some(workflow::resolve(&self.record, &self.workflow).ok()?.engine))
    }

    /// Forgets an execution that is gone.
    fn gone(&self) -> Action {
        let uid = &self.record.uid;
        self.context.latest.forget(uid);
        self.context.audit.forget(uid);
        self.context.failures.reset(uid);
        self.context.runs.forget(uid);
        Action::await_change()
    }
}

#[cfg(test)]
mod tests;
