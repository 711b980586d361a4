//! The status writes: what each transition stores, and what people are told of it.

use std::time::Duration;

use super::{Audit, Decision, Notice, Observed, Transition, Write, notice};
use crate::{
    conditions::{self, Millis, is_true, kind, reason},
    facts::Facts,
    failure::{self, Reason},
    gate::Hold,
    go_duration,
    phase::{Phase, Step},
    record::{Failure, Outcome, Status, StoredPhase},
    summary,
    target::run_name,
    workflow::Resolved,
};

/// A status under construction.
struct Draft<'a> {
    observed: &'a Observed<'a>,
    now: Millis,
    status: Status,
}

impl<'a> Draft<'a> {
    fn new(observed: &'a Observed<'a>, now: Millis) -> Self {
        let mut status = observed.record.status.clone();
        status.observed_generation = Some(observed.record.generation);
        Self { observed, now, status }
    }

    fn condition(&mut self, kind: &str, holds: bool, reason: &str, message: String) {
        let generation = self.observed.record.generation;
        conditions::set(&mut self.status.conditions, kind, holds, (reason, message), generation, self.now);
    }

    fn unblock(&mut self) {
        if is_true(&self.status.conditions, kind::BLOCKED) {
            self.condition(kind::BLOCKED, false, reason::UNBLOCKED, "the wait is over".to_owned());
        }
    }

    /// Says what is known of the audit; what is on its way is not known.
    fn audit(&mut self) {
        let (holds, reason, message) = match self.observed.audit {
            Audit::Pending => return,
            Audit::Acknowledged => (true, reason::AUDIT_SUCCEEDED, "the audit log has every event so far"),
            Audit::Failing => (
                false,
                reason::AUDIT_FAILED,
                "the audit log has not acknowledged every event yet; still trying",
            ),
            Audit::Refused => {
                (false, reason::AUDIT_FAILED, "the audit log refused an event; see the controller's log")
            }
            Audit::Off => (false, reason::AUDIT_FAILED, "no audit service is configured"),
        };
        self.condition(kind::AUDIT_RECORDED, holds, reason, message.to_owned());
    }

    /// Says who cleared the target, once the audit log was told, too.
    fn clearance(&mut self) -> Option<Notice> {
        let record = self.observed.record;
        let clearance = record.clearance()?;
        if self.observed.audit == Audit::Pending || record.tells_its_clearance() {
            return None;
        }
        let message = format!("{} cleared the target: {}", clearance.by, clearance.reason);
        self.condition(kind::CLEARED, true, reason::BLOCK_CLEARED, message);
        Some(notice::cleared(record, clearance))
    }

    fn settle(&mut self, resolved: &Resolved) {
        if resolved.engine.is_empty() {
            return;
        }
        self.status.engine = Some(resolved.engine.clone());
        self.status.workflow.clone_from(&resolved.selection);
        self.status.service_account.clone_from(&resolved.service_account);
    }

    fn write(self, notices: Vec<Notice>) -> Decision {
        Decision::Write(Box::new(Write { status: self.status, transition: None, notices }))
    }

    fn moved(mut self, to: Phase, took: Duration, mut notices: Vec<Notice>) -> Decision {
        let from = self.observed.record.phase().unwrap_or(Phase::Pending);
        debug_assert_eq!(from.step(to), Ok(Step::Moves), "a transition must be a step of the machine");
        self.status.phase = StoredPhase::Known(to);
        if to.is_terminal() {
            let message = format!("the execution ended as {to}");
            self.condition(kind::FINISHED, true, to.as_str(), message);
        }
        notices.push(notice::transition(from, to));
        let transition = Some(Transition { from, to, took });
        Decision::Write(Box::new(Write { status: self.status, transition, notices }))
    }
}

/// The first write: the run is live.
pub(super) fn running(observed: &Observed<'_>, facts: &Facts, adopted: bool, now: Millis) -> Decision {
    let mut draft = Draft::new(observed, now);
    let resolved = launched(observed, &facts.engine);
    draft.settle(&resolved);
    draft.status.start = Some(to_second(facts.start.unwrap_or(now)));
    draft.status.run_name = Some(facts.run_name.clone());
    let run = format!("{} run {}/{}", resolved.engine, facts.run_namespace, facts.run_name);
    draft.condition(kind::EXECUTION_CREATED, true, reason::EXECUTION_CREATED, format!("{run} exists"));
    draft.condition(kind::EXECUTION_RUNNING, true, reason::EXECUTION_STARTED, format!("{run} is live"));
    draft.unblock();
    let created = notice::created(&resolved.engine, facts, adopted);
    draft.moved(Phase::Running, Duration::ZERO, vec![notice::validated(observed.record, &resolved), created])
}

/// The second write, when all went well.
pub(super) fn completed(observed: &Observed<'_>, facts: &Facts, now: Millis) -> Decision {
    let mut draft = Draft::new(observed, now);
    let took = end(&mut draft, facts.completion.unwrap_or(now));
    draft.status.outcome = Some(outcome(facts));
    recover(&mut draft, facts);
    let message = format!("the workflow completed in {}", go_duration::format(took));
    draft.condition(kind::EXECUTION_COMPLETE, true, reason::EXECUTION_SUCCEEDED, message);
    draft.condition(kind::READY, true, reason::READY, "the execution succeeded".to_owned());
    draft.audit();
    draft.unblock();
    draft.moved(Phase::Completed, took, vec![notice::completed(observed.record, took)])
}

/// The second write, when the run failed.
pub(super) fn failed(observed: &Observed<'_>, facts: &Facts, now: Millis) -> Decision {
    let reason = failure::classify(facts);
    let at = facts.completion.unwrap_or(now);
    let failure = from_facts(facts, reason, failed_message(facts));
    ended(Draft::new(observed, now), Some(facts), failure, at)
}

/// The second write, when a run was cancelled because it could not start.
pub(super) fn gave_up(observed: &Observed<'_>, facts: &Facts, reason: Reason, now: Millis) -> Decision {
    let failure = from_facts(facts, reason, stuck_message(facts, reason));
    ended(Draft::new(observed, now), Some(facts), failure, now)
}

/// The second write, when the run is no longer there.
pub(super) fn vanished(observed: &Observed<'_>, now: Millis) -> Decision {
    gone(Draft::new(observed, now))
}

/// The same of a run whose launch was never recorded: both in one write.
pub(super) fn vanished_unrecorded(observed: &Observed<'_>, now: Millis) -> Decision {
    let mut draft = Draft::new(observed, now);
    let resolved = launched(observed, "");
    draft.settle(&resolved);
    // The lock was taken for this launch, and little else is known of when it was.
    let since = observed.lock().and_then(|lock| lock.held_since);
    draft.status.start = Some(to_second(since.unwrap_or(now).min(now)));
    let name = run_name(&observed.record.spec.target);
    let message = format!("{} run {name} existed", resolved.engine);
    draft.condition(kind::EXECUTION_CREATED, true, reason::EXECUTION_CREATED, message);
    draft.status.run_name = Some(name);
    gone(draft)
}

fn gone(draft: Draft<'_>) -> Decision {
    let name = draft.status.run_name.as_deref().unwrap_or("(unnamed)");
    let engine = draft.status.engine.as_deref().unwrap_or("(unknown)");
    let message = format!(
        "run {name} of engine {engine} was not found: it was deleted by somebody else, or removed after it ended (a time to live), \
         so its outcome is not known"
    );
    // The run was live, so what it did before it went is not known: better too careful.
    let failure = Failure { was_execution_failure: true, ..plain(Reason::Unknown, message) };
    let now = draft.now;
    ended(draft, None, failure, now)
}

/// What is settled about a workflow whose run was launched, whatever a catalogue says of it by now.
fn launched(observed: &Observed<'_>, engine: &str) -> Resolved {
    observed.resolved().unwrap_or_else(|_| Resolved::of_run(observed.record, engine))
}

/// The only write of an execution that never started. Nothing is held, so nothing is left to release.
pub(super) fn never_started(
    observed: &Observed<'_>,
    reason: Reason,
    message: String,
    told: Option<Notice>,
    now: Millis,
) -> Decision {
    let mut draft = Draft::new(observed, now);
    if let Ok(resolved) = observed.resolved() {
        draft.settle(&resolved);
    }
    let now_second = to_second(now);
    draft.status.completion = Some(now_second);
    let failure = Failure { at: now_second, ..plain(reason, message.clone()) };
    draft.condition(kind::EXECUTION_CREATED, false, reason.when_not_created(), message);
    let held = "the execution never started and holds nothing".to_owned();
    draft.condition(kind::RELEASED, true, reason::NOTHING_HELD, held);
    let failure = fail(&mut draft, None, failure);
    let notices = told.into_iter().chain([notice::failed(observed.record, &failure)]).collect();
    draft.moved(Phase::Failed, Duration::ZERO, notices)
}

/// The third write: the lock is given up and the run removed.
pub(super) fn released(observed: &Observed<'_>, now: Millis) -> Decision {
    let mut draft = Draft::new(observed, now);
    let message = "the target's lock was given up and the run removed".to_owned();
    draft.condition(kind::RELEASED, true, reason::LOCK_RELEASED, message);
    draft.audit();
    let cleared = draft.clearance();
    draft.write([notice::released(observed.record)].into_iter().chain(cleared).collect())
}

/// Says what became of the audit events, when no other write is near.
pub(super) fn audit(observed: &Observed<'_>, now: Millis) -> Decision {
    let mut draft = Draft::new(observed, now);
    draft.audit();
    let cleared = draft.clearance();
    draft.write(cleared.into_iter().collect())
}

/// Says what the execution waits for.
pub(super) fn blocked(observed: &Observed<'_>, hold: &Hold, now: Millis) -> Decision {
    let record = observed.record;
    let mut draft = Draft::new(observed, now);
    draft.condition(kind::BLOCKED, true, hold.reason, hold.message.clone());
    let mut notices = Vec::new();
    if record.phase() == Some(Phase::Pending) {
        draft.status.phase = StoredPhase::Known(Phase::Pending);
        if let Ok(resolved) = observed.resolved() {
            draft.settle(&resolved);
            notices.push(notice::validated(record, &resolved));
        }
    }
    notices.push(notice::waiting(record, hold, now));
    draft.write(notices)
}

/// Puts the phase back to where the execution stands, after somebody else wrote one.
pub(super) fn corrected(observed: &Observed<'_>, now: Millis) -> Decision {
    let record = observed.record;
    let mut draft = Draft::new(observed, now);
    let Some(phase) = record.phase() else { return draft.write(Vec::new()) };
    draft.status.phase = StoredPhase::Known(phase);
    if !phase.is_terminal() {
        // What was said of an end that did not happen must not be found when the real one comes.
        let Status { completion, duration, outcome, failure, conditions, .. } = &mut draft.status;
        (*completion, *duration, *outcome, *failure) = (None, None, None, None);
        let ends = [kind::EXECUTION_COMPLETE, kind::READY, kind::RELEASED, kind::FINISHED];
        conditions.retain(|condition| !ends.contains(&condition.kind.as_str()));
    }
    draft.write(vec![notice::corrected(record, phase)])
}

/// Says that a live run was found again.
pub(super) fn recovered(observed: &Observed<'_>, facts: &Facts, now: Millis) -> Decision {
    let mut draft = Draft::new(observed, now);
    recover(&mut draft, facts);
    draft.unblock();
    draft.write(Vec::new())
}

/// Why a run that could not start was given up.
pub(super) fn stuck_message(facts: &Facts, reason: Reason) -> String {
    let task = facts.failed_task.as_ref();
    let cause = task.map_or(reason.as_str(), |task| task.cause.as_str());
    let detail = task.map(|task| task.message.as_str()).filter(|text| !text.is_empty());
    let detail = detail.map(|text| format!(": {text}")).unwrap_or_default();
    format!("the workflow could not start ({cause}){detail}")
}

fn ended(mut draft: Draft<'_>, facts: Option<&Facts>, failure: Failure, at: Millis) -> Decision {
    let took = end(&mut draft, at);
    let ran_for = draft.status.start.map(|_| took);
    if let Some(facts) = facts {
        draft.status.outcome = Some(outcome(facts));
        recover(&mut draft, facts);
    }
    let failure = Failure { at: draft.status.completion.unwrap_or(at), ran_for, ..failure };
    draft.condition(
        kind::EXECUTION_COMPLETE,
        false,
        failure.reason.when_incomplete(),
        failure.message.clone(),
    );
    draft.audit();
    let failure = fail(&mut draft, facts, failure);
    let notices = vec![notice::failed(draft.observed.record, &failure)];
    draft.moved(Phase::Failed, took, notices)
}

/// Stores a failure with its plain-language summary.
fn fail(draft: &mut Draft<'_>, facts: Option<&Facts>, failure: Failure) -> Failure {
    let summary = summary::summarise(&draft.observed.record.spec, Some(&failure), facts);
    let failure = Failure { summary, ..failure };
    draft.condition(
        kind::READY,
        false,
        reason::NOT_READY,
        format!("the execution failed: {}", failure.reason.as_str()),
    );
    draft.unblock();
    draft.status.failure = Some(failure.clone());
    failure
}

/// Stores the end and gives how long the run took, in whole seconds.
fn end(draft: &mut Draft<'_>, at: Millis) -> Duration {
    let at = to_second(at).max(draft.status.start.unwrap_or(Millis::MIN));
    draft.status.completion = Some(at);
    draft.status.duration =
        draft.status.start.map(|start| Duration::from_millis((at - start).unsigned_abs()));
    draft.status.duration.unwrap_or_default()
}

/// A run that the status lost the name of is named again.
fn recover(draft: &mut Draft<'_>, facts: &Facts) {
    if draft.status.run_name.is_none() && !facts.run_name.is_empty() {
        draft.status.run_name = Some(facts.run_name.clone());
    }
}

fn outcome(facts: &Facts) -> Outcome {
    Outcome {
        succeeded: facts.state == crate::facts::RunState::Succeeded,
        reason: facts.reason.clone(),
        message: facts.message.clone(),
        completed_tasks: facts.completed_tasks,
        total_tasks: facts.total_tasks,
    }
}

fn plain(reason: Reason, message: String) -> Failure {
    Failure {
        reason,
        message,
        task_index: 0,
        task_name: String::new(),
        step_name: None,
        exit_code: None,
        at: 0,
        ran_for: None,
        summary: String::new(),
        was_execution_failure: false,
    }
}

fn from_facts(facts: &Facts, reason: Reason, message: String) -> Failure {
    let failure = Failure { was_execution_failure: failure::may_have_run(facts), ..plain(reason, message) };
    let Some(task) = &facts.failed_task else { return failure };
    Failure {
        task_index: task.index,
        task_name: task.name.clone(),
        step_name: Some(task.step.clone()).filter(|step| !step.is_empty()),
        exit_code: task.exit_code,
        ..failure
    }
}

/// The run's own message, and the task's where it adds something.
fn failed_message(facts: &Facts) -> String {
    let task = facts.failed_task.as_ref().map_or("", |task| task.message.as_str());
    match (facts.message.as_str(), task) {
        ("", "") if facts.reason.is_empty() => "the run failed without a word".to_owned(),
        ("", "") => format!("the run failed ({})", facts.reason),
        (message, "") | ("", message) => message.to_owned(),
        (message, task) if message.contains(task) => message.to_owned(),
        (message, task) => format!("{message} ({task})"),
    }
}

fn to_second(moment: Millis) -> Millis {
    moment.div_euclid(1000) * 1000
}
