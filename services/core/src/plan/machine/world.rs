//! The world that the machine of tests lives in.

use std::collections::BTreeSet;

use super::{
    super::{fixtures::*, *},
    Action, EXECUTIONS, TARGETS,
};
use crate::{
    event::{Event, derive},
    facts::{Owner, RefusalKind, RunState},
    gate::{History, Known},
    record::Clearance,
};

pub(super) struct Execution {
    pub(super) record: Record,
    pub(super) version: u64,
    pub(super) exists: bool,
    pub(super) launches: u32,
    failures: u32,
    pub(super) moves: u32,
    pub(super) refused: bool,
    /// Its status when it ended.
    pub(super) ended: Option<Status>,
}

#[derive(Default)]
pub(super) struct Slot {
    token: i64,
    pub(super) holder: Option<usize>,
    since: Millis,
    released: Option<usize>,
    pub(super) run: Option<(usize, RunState)>,
    /// Whether the holder launched its run.
    launched: bool,
}

pub(super) struct World {
    pub(super) now: Millis,
    pub(super) executions: Vec<Execution>,
    pub(super) slots: Vec<Slot>,
    sent: Vec<(usize, i64)>,
    pub(super) paused: Vec<(usize, u64, Decision)>,
    pub(super) log: Vec<(usize, &'static str)>,
    acknowledged: BTreeSet<(usize, &'static str)>,
    pub(super) executor_up: bool,
    pub(super) audit_up: bool,
    pub(super) history_known: bool,
}

pub(super) fn slot_of(who: usize) -> usize {
    who % TARGETS
}

fn owner_of(who: usize) -> Owner {
    Owner { uid: format!("uid-{who}"), ..Owner::default() }
}

impl World {
    pub(super) fn new() -> Self {
        let execution = |who| {
            let mut record = Case::new(None).record;
            record.has_finalizer = false;
            record.uid = format!("uid-{who}");
            record.name = format!("we-{who}");
            record.spec.target = format!("Node/{}", slot_of(who));
            Execution {
                record,
                version: 0,
                exists: true,
                launches: 0,
                failures: 0,
                moves: 0,
                refused: false,
                ended: None,
            }
        };
        Self {
            now: NOW,
            executions: (0..EXECUTIONS).map(execution).collect(),
            slots: (0..TARGETS).map(|_| Slot::default()).collect(),
            sent: Vec::new(),
            paused: Vec::new(),
            log: Vec::new(),
            acknowledged: BTreeSet::new(),
            executor_up: true,
            audit_up: true,
            history_known: true,
        }
    }

    fn facts(&self, who: usize, state: RunState) -> Facts {
        let state_facts = facts(state);
        Facts {
            owner: owner_of(who),
            start: Some(self.now),
            completion: state.is_finished().then_some(self.now),
            reason: if state == RunState::Failed { "BackoffLimitExceeded" } else { "" }.to_owned(),
            ..state_facts
        }
    }

    fn lock(&self, who: usize) -> Reading<Lock> {
        if !self.executor_up {
            return Reading::Unavailable("UNAVAILABLE".to_owned());
        }
        let slot = &self.slots[slot_of(who)];
        Reading::Found(Lock {
            token: slot.token,
            holder: slot.holder.map(owner_of),
            held_since: slot.holder.map(|_| slot.since),
            released: slot.released.map(|who| owner_of(who).uid),
            run: slot.run.map(|(owner, state)| self.facts(owner, state)),
        })
    }

    fn run(&self, who: usize) -> Reading<Facts> {
        if !self.executor_up {
            return Reading::Unavailable("UNAVAILABLE".to_owned());
        }
        match self.slots[slot_of(who)].run {
            Some((owner, state)) if owner == who => Reading::Found(self.facts(who, state)),
            _ => Reading::Absent,
        }
    }

    fn audit(&self, who: usize) -> Audit {
        let known = |event: &Event| self.acknowledged.contains(&(who, event.event_type));
        match derive(&self.executions[who].record).iter().all(known) {
            true => Audit::Acknowledged,
            false if self.audit_up => Audit::Pending,
            false => Audit::Failing,
        }
    }

    /// What the gates of an execution see of the others.
    pub(super) fn history(&self, who: usize) -> History {
        let same =
            |(other, execution): &(usize, &Execution)| execution.exists && slot_of(*other) == slot_of(who);
        let others = self.executions.iter().enumerate().filter(same);
        let known: Vec<_> = others.map(|(_, execution)| Known::of(&execution.record)).collect();
        History::new(&self.executions[who].record, known.iter())
    }

    pub(super) fn decide(&self, who: usize, answers: &Answers) -> Decision {
        let record = &self.executions[who].record;
        let need = needs(record);
        let history = self.history_known.then(|| self.history(who));
        let observed = Observed {
            record,
            lock: if need == Need::Lock { self.lock(who) } else { Reading::Unread },
            workflow: Reading::Unread,
            run: if need == Need::Run { self.run(who) } else { Reading::Unread },
            history: history.as_ref(),
            audit: self.audit(who),
            answers: answers.clone(),
            failures: self.executions[who].failures,
            settings: &settings(),
        };
        plan(&observed, self.now)
    }

    pub(super) fn reconcile(&mut self, who: usize, steps: usize) {
        let mut answers = Answers::default();
        for _ in 0..steps {
            if !self.executions[who].exists {
                return;
            }
            let decision = self.decide(who, &answers);
            let version = self.executions[who].version;
            if !self.apply(who, version, &decision, &mut answers) {
                return;
            }
        }
    }

    /// Carries a decision out; false when there is nothing to go on with.
    fn apply(&mut self, who: usize, version: u64, decision: &Decision, answers: &mut Answers) -> bool {
        match decision {
            Decision::Rest => false,
            Decision::Wait(_) => {
                let failed = !self.executor_up || !self.history_known;
                self.executions[who].failures = if failed { self.executions[who].failures + 1 } else { 0 };
                false
            }
            Decision::Write(write) => {
                *answers = Answers::default();
                self.store(who, version, |execution| {
                    execution.record.status = write.status.clone();
                    execution.moves += u32::from(write.transition.is_some());
                })
            }
            Decision::Act(Effect::Accept) => {
                self.store(who, version, |execution| execution.record.has_finalizer = true)
            }
            Decision::Act(Effect::Finish { .. }) => {
                self.store(who, version, |execution| execution.exists = false)
            }
            Decision::Act(Effect::Start { expected_token }) => {
                self.sent.push((who, *expected_token));
                answers.start = Some(self.start(who, *expected_token));
                true
            }
            Decision::Act(Effect::Cancel { .. }) => {
                answers.cancel = Some(CancelAnswer::Done);
                true
            }
            Decision::Act(Effect::Release) => {
                answers.release = Some(self.release(who));
                true
            }
        }
    }

    fn store(&mut self, who: usize, version: u64, change: impl FnOnce(&mut Execution)) -> bool {
        let execution = &mut self.executions[who];
        if execution.version != version || !execution.exists {
            return false;
        }
        change(execution);
        execution.version += 1;
        if execution.record.deleting && !execution.record.has_finalizer {
            execution.exists = false;
        }
        execution.exists
    }

    fn start(&mut self, who: usize, expected: i64) -> StartAnswer {
        if !self.executor_up {
            return StartAnswer::Unavailable("UNAVAILABLE".to_owned());
        }
        if std::mem::take(&mut self.executions[who].refused) {
            let (kind, message) = (RefusalKind::DependencyMissing, "no such Secret".to_owned());
            return StartAnswer::Refused(Refusal { kind, message });
        }
        let now = self.now;
        let slot = &mut self.slots[slot_of(who)];
        if slot.token != expected {
            return StartAnswer::Moved;
        }
        let foreign_run = slot.run.filter(|(owner, _)| *owner != who && slot.released != Some(*owner));
        if slot.holder.is_some_and(|holder| holder != who)
            && (foreign_run.is_some() || slot.launched || now - slot.since < 30_000)
        {
            return StartAnswer::Busy { holder: "somebody".to_owned() };
        }
        if slot.holder != Some(who) {
            *slot = Slot {
                token: slot.token + 1,
                holder: Some(who),
                since: now,
                released: slot.released,
                run: slot.run,
                launched: false,
            };
        }
        if let Some((owner, _)) = foreign_run {
            slot.holder = Some(owner);
            slot.token += 1;
            return StartAnswer::Busy { holder: "somebody".to_owned() };
        }
        let adopted = slot.run.is_some_and(|(owner, _)| owner == who);
        if !adopted {
            if slot.launched {
                return StartAnswer::Vanished;
            }
            self.check_launch(who);
            let slot = &mut self.slots[slot_of(who)];
            slot.run = Some((who, RunState::Running));
            slot.launched = true;
            self.executions[who].launches += 1;
        }
        let (_, state) = self.slots[slot_of(who)].run.unwrap();
        StartAnswer::Started { facts: Box::new(self.facts(who, state)), adopted }
    }

    fn release(&mut self, who: usize) -> ReleaseAnswer {
        if !self.executor_up {
            return ReleaseAnswer::Unavailable("UNAVAILABLE".to_owned());
        }
        let is_deleting = self.executions[who].record.deleting;
        let slot = &mut self.slots[slot_of(who)];
        let is_live = slot.run == Some((who, RunState::Running));
        assert!(is_deleting || !is_live, "the run of execution {who} was released while it was live");
        slot.token += 1;
        if slot.holder == Some(who) {
            slot.holder = None;
            slot.launched = false;
            slot.released = Some(who);
        }
        slot.run = slot.run.filter(|(owner, _)| *owner != who);
        ReleaseAnswer::Released
    }

    pub(super) fn deliver(&mut self, who: usize) {
        if !self.audit_up || !self.executions[who].exists {
            return;
        }
        for event in derive(&self.executions[who].record) {
            if self.acknowledged.insert((who, event.event_type)) {
                self.log.push((who, event.event_type));
            }
        }
    }

    /// Anything but a phase that hides where it stands: without a word of its start, nothing tells
    /// a Running that was written by hand from a real one, nor a Pending from the truth.
    fn edit(&mut self, who: usize, phase: Phase) {
        let status = &self.executions[who].record.status;
        let tells = phase.is_terminal() || status.completion.is_some();
        if tells {
            let version = self.executions[who].version;
            self.store(who, version, |execution| {
                execution.record.status.phase = StoredPhase::Known(phase);
            });
        }
    }

    pub(super) fn step(&mut self, action: &Action) {
        match *action {
            Action::Reconcile { who, steps } => self.reconcile(who, steps),
            Action::Pause { who } if self.executions[who].exists => {
                let decision = self.decide(who, &Answers::default());
                self.paused.push((who, self.executions[who].version, decision));
            }
            Action::Pause { .. } => {}
            Action::Resume => {
                if let Some((who, version, decision)) = self.paused.pop() {
                    self.apply(who, version, &decision, &mut Answers::default());
                }
            }
            Action::Repeat { which } => {
                if let Some((who, token)) = self.sent.get(which).copied() {
                    self.start(who, token);
                }
            }
            Action::End { target, well } => {
                if let Some((_, state @ RunState::Running)) = &mut self.slots[target].run {
                    *state = if well { RunState::Succeeded } else { RunState::Failed };
                }
            }
            Action::Remove { target } => self.slots[target].run = None,
            Action::Delete { who } => {
                let version = self.executions[who].version;
                self.store(who, version, |execution| execution.record.deleting = true);
            }
            Action::Clear { who } => self.clear(who),
            Action::Cancel { who } => {
                let version = self.executions[who].version;
                self.store(who, version, |one| one.record.cancelled = Some("enough".to_owned()));
            }
            Action::Refuse { who } => self.executions[who].refused = true,
            Action::History { known } => self.history_known = known,
            Action::Edit { who, phase } => self.edit(who, phase),
            Action::Deliver { who } => self.deliver(who),
            Action::Executor { up } => self.executor_up = up,
            Action::Audit { up } => self.audit_up = up,
            Action::Advance { seconds } => self.now += seconds * 1000,
        }
    }

    /// What the API server's policy lets a person do: clear what failed while it ran, once.
    pub(super) fn clear(&mut self, who: usize) {
        let execution = &self.executions[who];
        if !execution.record.failed_while_running() || execution.record.clearance().is_some() {
            return;
        }
        let (by, reason) = ("mary".to_owned(), "looked at it".to_owned());
        let clearance = Clearance { by, reason, at: Some(self.now) };
        let version = execution.version;
        self.store(who, version, |execution| execution.record.status.clearance = Some(clearance));
    }
}
