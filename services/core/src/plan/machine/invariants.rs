//! What has to hold after every step, by the ids of the design: I1 one live run per target, I2 one
//! launch per execution, I3 nothing vanishes unseen, I4 every transition in the log once and in
//! order, I5 nobody waits without a word; and for every launch, that its gates were open.

use super::{
    super::{fixtures::*, *},
    Action, EXECUTIONS, TARGETS,
    world::{World, slot_of},
};
use crate::{
    conditions::{get, kind},
    event::derive,
    facts::RunState,
    gate::End,
};

/// The longest that an execution may wait without saying what for.
const SILENT: Millis = 15_000;

impl World {
    /// Nothing goes wrong any more: everything has to end, or to wait for somebody who clears it; and
    /// once that is done, everything ends.
    pub(super) fn calm_down(&mut self) {
        (self.executor_up, self.audit_up, self.history_known) = (true, true, true);
        self.paused.clear();
        self.settle();
        self.check_ends(|waits| waits == "PreviousExecutionFailed" || waits == "Queued");
        for who in 0..EXECUTIONS {
            self.clear(who);
        }
        self.settle();
        self.check_ends(|_| false);
        self.check_log_is_whole();
    }

    fn settle(&mut self) {
        for _ in 0..25 {
            for target in 0..TARGETS {
                self.step(&Action::End { target, well: true });
            }
            for who in 0..EXECUTIONS {
                self.deliver(who);
                self.reconcile(who, 12);
            }
            self.check();
            self.now += 151_000;
        }
    }

    /// Checks everything that has to hold at any time.
    pub(super) fn check(&mut self) {
        for who in 0..EXECUTIONS {
            self.check_run(who);
            self.check_end(who);
            self.check_log(who);
            self.check_wait(who);
        }
    }

    /// What has to hold at the moment at which an execution goes live. Nobody else's run is live then,
    /// and its gates are open by what is true then, not by what was known when it was decided.
    pub(super) fn check_launch(&self, who: usize) {
        let slot = &self.slots[slot_of(who)];
        let others = slot.run.filter(|(owner, state)| *owner != who && *state == RunState::Running);
        assert_eq!(others, None, "I1: execution {who} goes live beside another");
        let history = self.history(who);
        assert_eq!(history.ahead, None, "execution {who} starts before its turn");
        let Some(last) = history.last_run else { return };
        assert_ne!(last.how, End::Failed, "execution {who} starts on a blocked target");
        let rests_until = last.at + settings().cooldown_millis();
        assert!(self.now >= rests_until, "execution {who} starts {} ms too early", rests_until - self.now);
    }

    fn check_run(&self, who: usize) {
        let execution = &self.executions[who];
        assert!(execution.launches <= 1, "I2: execution {who} launched {} times", execution.launches);
        let run = self.slots[slot_of(who)].run;
        let live = run.is_some_and(|(owner, state)| owner == who && state == RunState::Running);
        let record = &execution.record;
        assert!(!(record.holds(kind::RELEASED) && live), "I1: execution {who} runs after its release");
        assert!(execution.exists || !live, "I3: execution {who} is gone and its run is not");
    }

    /// What ended stays as it is, but for its conditions and the clearance.
    fn check_end(&mut self, who: usize) {
        let execution = &mut self.executions[who];
        assert!(execution.moves <= 2, "I4: execution {who} moved {} times", execution.moves);
        if !execution.record.is_terminal() {
            return;
        }
        let record = &execution.record;
        // The phase may be one that somebody wrote, until it is put back.
        let phase = record.phase().map_or(StoredPhase::Unset, StoredPhase::Known);
        let ended = Status { phase, conditions: Vec::new(), clearance: None, ..record.status.clone() };
        let before = execution.ended.get_or_insert_with(|| ended.clone());
        assert_eq!(before, &ended, "I4: execution {who} changed after its end");
        assert!(record.holds(kind::FINISHED), "I5: execution {who} does not say that it ended");
    }

    /// The log has what the record calls for, from its beginning, once and in order; and of what is
    /// gone it has everything, and somebody deleted it.
    fn check_log(&self, who: usize) {
        let execution = &self.executions[who];
        let logged = self.logged(who);
        let due: Vec<_> = derive(&execution.record).iter().map(|event| event.event_type).collect();
        assert!(due.starts_with(&logged), "I4: the log of execution {who} has {logged:?} of {due:?}");
        if !execution.exists {
            assert!(execution.record.deleting, "I3: nobody deleted execution {who}");
            assert_eq!(logged, due, "I3: execution {who} is gone and not all of it is recorded");
        }
    }

    /// Whoever waits for longer than moments says what for.
    fn check_wait(&self, who: usize) {
        let execution = &self.executions[who];
        let record = &execution.record;
        if !execution.exists || record.phase() != Some(Phase::Pending) || record.deleting {
            return;
        }
        let wait = match self.decide(who, &Answers::default()) {
            Decision::Wait(wait) => wait.millis,
            Decision::Rest => Millis::MAX,
            Decision::Act(_) | Decision::Write(_) => return,
        };
        let says = get(&record.status.conditions, kind::BLOCKED).filter(|blocked| blocked.status == "True");
        assert!(wait <= SILENT || says.is_some(), "I5: execution {who} waits for {wait} ms without a word");
    }

    fn logged(&self, who: usize) -> Vec<&'static str> {
        self.log.iter().filter(|(owner, _)| *owner == who).map(|(_, kind)| *kind).collect()
    }

    /// Everything ended, or waits for something that may last.
    pub(super) fn check_ends(&self, may_wait: impl Fn(&str) -> bool) {
        for (who, execution) in self.executions.iter().enumerate() {
            let record = &execution.record;
            if !execution.exists || record.is_settled() {
                continue;
            }
            let blocked = get(&record.status.conditions, kind::BLOCKED);
            let waits = blocked.filter(|blocked| blocked.status == "True").map(|blocked| &*blocked.reason);
            assert!(waits.is_some_and(&may_wait), "I5: execution {who} does not end: {record:#?}");
        }
    }

    /// The log has all that it should have.
    pub(super) fn check_log_is_whole(&self) {
        for (who, execution) in self.executions.iter().enumerate() {
            let due: Vec<_> = derive(&execution.record).iter().map(|event| event.event_type).collect();
            assert_eq!(self.logged(who), due, "I4: the log of execution {who} in order, once each");
        }
    }
}

#[test]
fn the_machine_lines_executions_up_by_who_came_first() {
    let world = World::new();
    assert_eq!(world.history(0).ahead, None);
    assert_eq!(world.history(2).ahead.as_deref(), Some("ops/we-0"));
    assert_eq!(world.history(4).ahead.as_deref(), Some("ops/we-2"));
}
