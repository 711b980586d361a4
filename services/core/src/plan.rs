//! What to do next for one execution. A pure function of what was observed: the caller observes,
//! asks, does the one thing it is told, and asks again.

use std::time::Duration;

use crate::{
    conditions::Millis,
    facts::{Facts, Lock, Refusal},
    gate::History,
    phase::Phase,
    record::{Record, Status, StoredPhase},
    validate,
    workflow::{self, Resolved, Unresolved},
};

mod deletion;
mod notice;
mod pending;
mod running;
mod terminal;
mod wait;
mod write;

pub use notice::{Notice, Severity};

/// How long to leave an execution alone whose phase another release wrote.
const FOREIGN_PHASE_WAIT: Millis = 30_000;

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a target rests after an execution; zero when it does not.
    pub cooldown: Duration,
    /// How long a target rests after a failure before execution, at first; zero when it does not.
    pub backoff: Duration,
    /// How long it rests at most after several of them.
    pub backoff_max: Duration,
    /// Whether a target is blocked after an execution failed while it ran, until it is cleared.
    pub block: bool,
    /// How often a run is asked for when nothing is heard of it.
    pub poll: Duration,
    /// How long a lock without a live run keeps others out.
    pub start_timeout: Duration,
    /// How long a run may be unable to start before it is given up.
    pub stuck_grace: Duration,
}

impl Settings {
    pub(crate) fn cooldown_millis(&self) -> Millis {
        millis(self.cooldown)
    }
}

/// What was observed.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The execution as stored.
    pub record: &'a Record,
    /// The lock of its target. Must have been read *before* the record: then a record that is
    /// still Pending proves that the attempt was not released before the token was read, and any
    /// later release makes the token useless.
    pub lock: Reading<Lock>,
    /// Its workflow, as a catalogue has it; looked up only when the spec does not have it all.
    pub workflow: Reading<workflow::Entry>,
    /// Its run, as the executor reports it.
    pub run: Reading<Facts>,
    /// The other executions on its target; none when they are not known. Must have been read after
    /// the lock: then whoever released the target before the token was read is in it.
    pub history: Option<&'a History>,
    /// How far the audit events of the record are.
    pub audit: Audit,
    /// What the executor answered since the record was read.
    pub answers: Answers,
    /// How often in a row the executor could not be asked for this execution.
    pub failures: u32,
    /// What is configured.
    pub settings: &'a Settings,
}

impl Observed<'_> {
    pub(crate) fn lock(&self) -> Option<&Lock> {
        match &self.lock {
            Reading::Found(lock) => Some(lock),
            _ => None,
        }
    }

    /// What is settled about its workflow.
    pub(crate) fn resolved(&self) -> Result<Resolved, Unresolved> {
        workflow::resolve(self.record, &self.workflow)
    }
}

/// What reading something came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// It was not asked for.
    #[default]
    Unread,
    /// It could not be read; says why in a word.
    Unavailable(String),
    /// There is none.
    Absent,
    /// Here it is.
    Found(T),
}

/// How far the audit events of a record are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audit {
    /// There is no audit service.
    Off,
    /// On their way.
    #[default]
    Pending,
    /// Tried and not acknowledged; still being tried.
    Failing,
    /// At least one was refused for what it is; trying again is useless.
    Refused,
    /// All durable.
    Acknowledged,
}

/// What the executor answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// To a start.
    pub start: Option<StartAnswer>,
    /// To a cancel.
    pub cancel: Option<CancelAnswer>,
    /// To a release.
    pub release: Option<ReleaseAnswer>,
}

/// Answer to a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartAnswer {
    /// The run is live, or finished already; `adopted` when it existed before.
    Started {
        /// The run.
        facts: Box<Facts>,
        /// Whether an earlier request had started it.
        adopted: bool,
    },
    /// It will never be started as it is.
    Refused(Refusal),
    /// Somebody else holds the target.
    Busy {
        /// Who.
        holder: String,
    },
    /// The lock changed since it was read.
    Moved,
    /// Its run was launched already and is gone. It is never started again.
    Vanished,
    /// No answer; says why in a word.
    Unavailable(String),
}

/// Answer to a cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It will end, or has.
    Done,
    /// No answer; says why in a word.
    Unavailable(String),
}

/// Answer to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseAnswer {
    /// Everything is gone.
    Released,
    /// The lock is free, the run is still being removed.
    Removing,
    /// No answer; says why in a word.
    Unavailable(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing, until something changes.
    Rest,
    /// Nothing, until something changes or time has passed.
    Wait(Wait),
    /// One effect outside of the status.
    Act(Effect),
    /// One write of the status.
    Write(Box<Write>),
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long at most.
    pub millis: Millis,
    /// What people should know meanwhile.
    pub notices: Vec<Notice>,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put our finalizer and the trace on the object.
    Accept,
    /// Ask the executor to start the run.
    Start {
        /// The lock's token when this was decided.
        expected_token: i64,
    },
    /// Ask the executor to stop the run.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Ask the executor to give the lock up and to remove the run.
    Release,
    /// Take our finalizer off the object, which then goes.
    Finish {
        /// What people should know.
        notices: Vec<Notice>,
    },
}

/// One write of the status, and what is done once it is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The whole status to store.
    pub status: Status,
    /// The change of phase, if it is one.
    pub transition: Option<Transition>,
    /// What people should know.
    pub notices: Vec<Notice>,
}

/// A change of phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From here.
    pub from: Phase,
    /// To here.
    pub to: Phase,
    /// How long the run took; zero when it never ran.
    pub took: Duration,
}

/// What has to be read before planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing more than the record.
    Nothing,
    /// The lock of the target, then the record again, and the workflow if it has to be looked up.
    Lock,
    /// The run.
    Run,
}

/// Says what a plan for this record has to look at.
pub fn needs(record: &Record) -> Need {
    let startable = validate::validate(&record.spec).is_ok();
    match record.phase() {
        _ if record.deleting && !record.has_finalizer => Need::Nothing,
        Some(Phase::Pending) if startable => Need::Lock,
        Some(Phase::Running) if !record.deleting => Need::Run,
        _ => Need::Nothing,
    }
}

/// Decides what to do next.
pub fn plan(observed: &Observed<'_>, now: Millis) -> Decision {
    let record = observed.record;
    if record.deleting {
        return deletion::plan(observed, now);
    }
    if let StoredPhase::Foreign(_) = record.status.phase {
        return Decision::Wait(Wait { millis: FOREIGN_PHASE_WAIT, notices: Vec::new() });
    }
    if !record.has_finalizer {
        return Decision::Act(Effect::Accept);
    }
    if record.is_misplaced() {
        return write::corrected(observed, now);
    }
    match record.phase() {
        Some(Phase::Running) => running::plan(observed, now),
        Some(Phase::Completed | Phase::Failed) => terminal::plan(observed, now),
        Some(Phase::Pending) | None => pending::plan(observed, now),
    }
}

pub(crate) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4)
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod tests;
