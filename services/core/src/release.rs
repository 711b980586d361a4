//! The release of an attempt, as a machine like [`crate::start`].
//!
//! The other way round: first the Lease, so that nothing of this attempt can go live any more, then the
//! run. The token grows even if the attempt never held the Lease, so that requests of this attempt that
//! are still under way find the Lease moved. At the end the Lease is read once more, because another
//! attempt that met our live run in between may have handed it back.
//!
//! Most releases come long after the run has finished, and the caller knows that. If that run is the one
//! the Lease names, nobody can meet it live once the Lease is free: removing it is all that is left to do.

use crate::start::{Lease, Rule, Rules, Run};

/// One try of releasing an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Release<A, R> {
    me: A,
    engines: u8,
    rules: Rules,
    /// The run of this attempt that is known to have finished, and its engine.
    finished: Option<(u8, R)>,
    /// Whether the Lease was freed, or its token grown.
    freed: bool,
    step: Step<A, R>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step<A, R> {
    Read,
    Write {
        from: Option<Lease<A, R>>,
        to: Lease<A, R>,
    },
    Look(u8),
    Remove(u8, R),
    /// Removing the run that the Lease named and that is known to have finished: the last step.
    RemoveFinished(u8, R),
    AwaitGone(u8, R),
    Done,
}

/// What a release wants done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action<A, R> {
    /// Read the Lease, uncached. Answer: [`Seen::Lease`].
    ReadLease,
    /// Write the Lease, on condition that it is as last read (create it when there was none).
    /// Answer: [`Seen::Written`] or [`Seen::Moved`].
    WriteLease {
        /// What the write is conditional on.
        from: Option<Lease<A, R>>,
        /// What is written.
        to: Lease<A, R>,
    },
    /// Look for a run under the run's name in this engine, uncached. Answer: [`Seen::Run`].
    Look(u8),
    /// Remove this very object and everything that belongs to it. Answer: [`Seen::Removed`], or
    /// [`Seen::Gone`] when there is no such object, or none any more.
    Remove(u8, R),
    /// Wait until this run is gone; then look again. Answer: [`Seen::Run`].
    AwaitGone(u8, R),
    /// Stop: the attempt is released.
    Done,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen<A, R> {
    /// The Lease, if there is one.
    Lease(Option<Lease<A, R>>),
    /// The conditional write succeeded.
    Written,
    /// The condition did not hold.
    Moved,
    /// The run found, if any.
    Run(Option<Run<A, R>>),
    /// The removal has begun.
    Removed,
    /// The object is gone.
    Gone,
}

impl<A: Clone + Eq, R: Clone + Eq> Release<A, R> {
    /// A release of attempt `me`, whose run may be in any of the `engines`.
    pub fn new(me: A, engines: u8) -> Self {
        let rules = Rules::default();
        Self { me, engines, rules, finished: None, freed: false, step: Step::Read }
    }

    /// The same, by a caller who has seen that this run of the attempt has finished.
    #[must_use]
    pub fn knowing_finished(self, engine: u8, run: R) -> Self {
        Self { finished: Some((engine, run)), ..self }
    }

    /// The same without one rule of the protocol. Only for showing that the rule is needed.
    #[doc(hidden)]
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        self.rules = self.rules.without(rule);
        if self.rules.lacks(Rule::FreeFirst) {
            self.step = Step::Look(0);
        }
        self
    }

    /// The action that is due.
    pub fn action(&self) -> Action<A, R> {
        match &self.step {
            Step::Read => Action::ReadLease,
            Step::Write { from, to } => Action::WriteLease { from: from.clone(), to: to.clone() },
            Step::Look(engine) => Action::Look(*engine),
            Step::Remove(engine, run) | Step::RemoveFinished(engine, run) => {
                Action::Remove(*engine, run.clone())
            }
            Step::AwaitGone(engine, run) => Action::AwaitGone(*engine, run.clone()),
            Step::Done => Action::Done,
        }
    }

    /// Takes in what came of the last action and says what to do next. An answer that does not belong to
    /// the action changes nothing: the same action is due again.
    pub fn next(&mut self, seen: Seen<A, R>) -> Action<A, R> {
        let step = self.step.clone();
        self.step = match (step, seen) {
            (Step::Read, Seen::Lease(lease)) => self.free(lease),
            (Step::Write { from, .. }, Seen::Written) => self.written(from),
            (Step::Write { .. }, Seen::Moved) => Step::Read,
            (Step::Look(engine) | Step::AwaitGone(engine, _), Seen::Run(run)) => self.looked(engine, run),
            (Step::Remove(engine, _) | Step::RemoveFinished(engine, _), Seen::Removed) => Step::Look(engine),
            (Step::Remove(engine, _), Seen::Gone) => self.look_on(engine),
            (Step::RemoveFinished(..), Seen::Gone) => Step::Done,
            (step, _) => step,
        };
        self.action()
    }

    /// The write that the Lease needs; none when it is not ours and our requests are refused already.
    fn free(&mut self, lease: Option<Lease<A, R>>) -> Step<A, R> {
        let token = lease.as_ref().map_or(0, |lease| lease.token);
        let released = lease.as_ref().and_then(|lease| lease.released.clone());
        let holder = lease.as_ref().and_then(|lease| lease.holder.clone());
        let launched = lease.as_ref().and_then(|lease| lease.launched.clone());
        let grown = token + i64::from(!self.rules.lacks(Rule::ReleaseGrowsToken));
        if holder.as_ref() == Some(&self.me) {
            let to = Lease { holder: None, token: grown, released: Some(self.me.clone()), launched: None };
            return Step::Write { from: lease, to };
        }
        let was_released = released.as_ref() == Some(&self.me);
        if self.freed || was_released || self.rules.lacks(Rule::ReleaseGrowsForeignToken) {
            return self.freed_already();
        }
        Step::Write { from: lease, to: Lease { holder, token: grown, released, launched } }
    }

    fn written(&mut self, from: Option<Lease<A, R>>) -> Step<A, R> {
        let ours = from.filter(|lease| lease.holder.as_ref() == Some(&self.me));
        let named = ours.and_then(|lease| lease.launched);
        let look = self.freed();
        match self.finished.take() {
            Some((engine, run)) if named.as_ref() == Some(&run) => Step::RemoveFinished(engine, run),
            _ => look,
        }
    }

    fn freed(&mut self) -> Step<A, R> {
        self.freed = true;
        if self.rules.lacks(Rule::FreeFirst) { Step::Done } else { Step::Look(0) }
    }

    /// The Lease is not ours. That ends a release which has removed the run; otherwise the run is next.
    fn freed_already(&mut self) -> Step<A, R> {
        if self.freed || self.rules.lacks(Rule::FreeFirst) {
            return Step::Done;
        }
        self.freed()
    }

    fn looked(&self, engine: u8, run: Option<Run<A, R>>) -> Step<A, R> {
        match run {
            Some(run) if run.owner == self.me && run.going => Step::AwaitGone(engine, run.id),
            Some(run) if run.owner == self.me => Step::Remove(engine, run.id),
            _ => self.look_on(engine),
        }
    }

    fn look_on(&self, engine: u8) -> Step<A, R> {
        if engine + 1 < self.engines { Step::Look(engine + 1) } else { Step::Read }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::Stage;

    type Machine = Release<&'static str, u8>;

    fn lease(
        holder: Option<&'static str>,
        token: i64,
        released: Option<&'static str>,
    ) -> Lease<&'static str, u8> {
        Lease { holder, token, released, launched: None }
    }

    fn run(owner: &'static str, stage: Stage, going: bool) -> Run<&'static str, u8> {
        Run { owner, stage, going, id: 7 }
    }

    #[test]
    fn frees_the_lease_before_it_removes_the_run() {
        let mut release = Machine::new("me", 2);
        let held = Lease { launched: Some(7), ..lease(Some("me"), 4, None) };
        let action = release.next(Seen::Lease(Some(held.clone())));
        assert_eq!(action, Action::WriteLease { from: Some(held), to: lease(None, 5, Some("me")) });
        assert_eq!(release.next(Seen::Written), Action::Look(0));
        assert_eq!(release.next(Seen::Run(None)), Action::Look(1));
        assert_eq!(release.next(Seen::Run(Some(run("me", Stage::Live, false)))), Action::Remove(1, 7));
        assert_eq!(release.next(Seen::Removed), Action::Look(1));
        assert_eq!(release.next(Seen::Run(Some(run("me", Stage::Live, true)))), Action::AwaitGone(1, 7));
        assert_eq!(release.next(Seen::Run(None)), Action::ReadLease);
        assert_eq!(release.next(Seen::Lease(Some(lease(None, 5, Some("me"))))), Action::Done);
    }

    /// A release whose caller has seen run 7 finished, after the Lease was freed.
    fn knowing(launched: Option<u8>) -> Machine {
        let mut release = Machine::new("me", 2).knowing_finished(1, 7);
        release.next(Seen::Lease(Some(Lease { launched, ..lease(Some("me"), 4, None) })));
        release.next(Seen::Written);
        release
    }

    #[test]
    fn a_run_known_to_have_finished_is_removed_without_a_look() {
        let mut release = knowing(Some(7));
        assert_eq!(release.action(), Action::Remove(1, 7));
        let mut slow = release.clone();
        assert_eq!(release.next(Seen::Gone), Action::Done);
        assert_eq!(slow.next(Seen::Removed), Action::Look(1));
        assert_eq!(slow.next(Seen::Run(None)), Action::ReadLease);
    }

    #[test]
    fn another_run_than_the_lease_names_is_looked_for() {
        for launched in [None, Some(8)] {
            assert_eq!(knowing(launched).action(), Action::Look(0));
        }
    }

    #[test]
    fn a_release_that_was_cut_short_reads_the_lease_again_whatever_it_knows() {
        let mut release = Machine::new("me", 1).knowing_finished(0, 7);
        release.next(Seen::Lease(Some(lease(Some("other"), 6, Some("me")))));
        assert_eq!(release.next(Seen::Run(Some(run("me", Stage::Done, false)))), Action::Remove(0, 7));
        assert_eq!(release.next(Seen::Gone), Action::ReadLease);
    }

    #[test]
    fn a_run_that_is_gone_at_once_needs_no_second_look() {
        let mut release = Machine::new("me", 2);
        release.next(Seen::Lease(Some(lease(None, 5, Some("me")))));
        release.next(Seen::Run(Some(run("me", Stage::Done, false))));
        assert_eq!(release.next(Seen::Gone), Action::Look(1));
        assert_eq!(release.next(Seen::Run(None)), Action::ReadLease);
    }

    #[test]
    fn grows_the_token_of_a_lease_it_never_held() {
        let mut release = Machine::new("me", 1);
        let action = release.next(Seen::Lease(None));
        assert_eq!(action, Action::WriteLease { from: None, to: lease(None, 1, None) });
        let mut release = Machine::new("me", 1);
        let held = Lease { launched: Some(7), ..lease(Some("other"), 8, Some("third")) };
        let action = release.next(Seen::Lease(Some(held.clone())));
        let to = Lease { token: 9, ..held.clone() };
        assert_eq!(action, Action::WriteLease { from: Some(held), to });
    }

    #[test]
    fn repeating_it_writes_nothing() {
        let mut release = Machine::new("me", 1);
        assert_eq!(release.next(Seen::Lease(Some(lease(None, 5, Some("me"))))), Action::Look(0));
        assert_eq!(release.next(Seen::Run(Some(run("other", Stage::Live, false)))), Action::ReadLease);
        assert_eq!(release.next(Seen::Lease(Some(lease(Some("other"), 6, Some("me"))))), Action::Done);
    }

    #[test]
    fn frees_a_lease_that_was_handed_back_meanwhile() {
        let mut release = Machine::new("me", 1);
        release.next(Seen::Lease(Some(lease(None, 5, Some("me")))));
        assert_eq!(release.next(Seen::Run(None)), Action::ReadLease);
        let back = lease(Some("me"), 7, Some("me"));
        let action = release.next(Seen::Lease(Some(back.clone())));
        assert_eq!(action, Action::WriteLease { from: Some(back), to: lease(None, 8, Some("me")) });
        assert_eq!(release.next(Seen::Written), Action::Look(0));
    }

    #[test]
    fn a_lost_race_on_the_lease_is_read_again() {
        let mut release = Machine::new("me", 1);
        release.next(Seen::Lease(Some(lease(Some("me"), 4, None))));
        assert_eq!(release.next(Seen::Moved), Action::ReadLease);
        // An answer to another question changes nothing.
        assert_eq!(release.next(Seen::Removed), Action::ReadLease);
    }
}
