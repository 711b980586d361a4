//! The two-phase start of a run, as a machine that is told what was seen and says what to do next.
//!
//! Kubernetes has no transaction over the lock (a Lease) and the run (a Job, say). The order of the
//! steps makes a late starter harmless all the same:
//!
//! 1. take the Lease, which yields a fencing token;
//! 2. *then* look under the run's name in every engine, and clear away what is dead; in the run's own
//!    engine its creation is the look, since it fails when the name is taken;
//! 3. create the run inert;
//! 4. write into the Lease that this very run goes live, on condition that it is still ours, under this
//!    token, and names no other run;
//! 5. make the run live, by the identity of its object.
//!
//! A Lease that names a run is never taken over, only released. So whoever takes it over did so before
//! step 4 of the one before, which then sees that the Lease has moved; and whoever takes it after a
//! release looks after taking it, and sees a run that is still live. An attempt whose Lease names a run
//! that is gone never starts again. `tests/start_model.rs` checks this over every interleaving of these
//! machines, and that leaving any rule out breaks it.
//!
//! Nothing here performs I/O. Whoever drives a machine performs exactly its [`Action`]s, each against the
//! API server and never against a cache, and hands back what came of it. A driver may stop at any step;
//! the next start of the same attempt carries on.

mod action;
mod rules;
mod view;

pub use action::{Action, Outcome, Seen};
pub use rules::{Rule, Rules};
pub use view::{Lease, Run, Stage};

/// One try of one attempt to start its run. `A` identifies attempts, `R` the objects of runs; engines
/// are numbered from zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start<A, R> {
    me: A,
    engine: u8,
    engines: u8,
    rules: Rules,
    /// The Lease as last read or written; what a conditional write compares with.
    lease: Option<Lease<A, R>>,
    /// Our own run, if one was seen while looking.
    own: Option<(u8, R, Stage)>,
    /// Whether our own engine need not be looked in: this try took the Lease, and creating the run will
    /// tell whether its name is free.
    fresh: bool,
    step: Step<A, R>,
}

/// Where a start is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step<A, R> {
    /// Reading the Lease, which should have this token.
    Read(i64),
    /// Looking before a takeover, so as not to disturb a live run.
    Peek(u8),
    Take,
    Look(u8),
    Clear(u8, R),
    AwaitGone(u8, R),
    /// Writing the Lease back to the owner of a live run.
    GiveBack(A),
    Create,
    /// Writing into the Lease that this run goes live.
    Mark(Own<R>, Lease<A, R>),
    /// Reading whether the Lease is still ours, and which run it names.
    Verify(Own<R>),
    /// This run must not go live: look whether it is there and inert, remove it, and end like this.
    Undo(u8, R, Outcome<A>),
    UndoRemove(u8, R, Outcome<A>),
    GoLive(Own<R>),
    /// The backend refuses the run for good: free the Lease.
    GiveUp,
    End(Outcome<A>),
}

/// Our own run, inert.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Own<R> {
    engine: u8,
    id: R,
    adopted: bool,
}

impl<A: Clone + Eq, R: Clone + Eq> Start<A, R> {
    /// A start of attempt `me` in `engine` (one of `engines`), decided when the token was `expected`.
    pub fn new(me: A, expected: i64, engine: u8, engines: u8) -> Self {
        let rules = Rules::default();
        // A token of zero says that there was no Lease, and creating one tells whether that is still so.
        let step = if expected == 0 { Step::Take } else { Step::Read(expected) };
        Self { me, engine, engines, rules, lease: None, own: None, fresh: false, step }
    }

    /// The same without one rule of the protocol. Only for showing that the rule is needed.
    #[doc(hidden)]
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        self.rules = self.rules.without(rule);
        self
    }

    /// The attempt this start is for.
    pub fn attempt(&self) -> &A {
        &self.me
    }

    /// The action that is due.
    pub fn action(&self) -> Action<A, R> {
        match &self.step {
            Step::Read(_) | Step::Verify(_) => Action::ReadLease,
            Step::Peek(engine) | Step::Look(engine) | Step::Undo(engine, ..) => Action::Look(*engine),
            Step::Take => self.write(Some(self.me.clone())),
            Step::Clear(engine, run) | Step::UndoRemove(engine, run, _) => {
                Action::RemoveUnchanged(*engine, run.clone())
            }
            Step::AwaitGone(engine, run) => Action::AwaitGone(*engine, run.clone()),
            Step::GiveBack(owner) => self.write(Some(owner.clone())),
            Step::Create => Action::Create { engine: self.engine, token: self.token() },
            Step::Mark(_, to) => Action::WriteLease { from: self.lease.clone(), to: to.clone() },
            Step::GoLive(own) => Action::GoLive(own.engine, own.id.clone()),
            Step::GiveUp => self.write(None),
            Step::End(outcome) => Action::End(outcome.clone()),
        }
    }

    /// Takes in what came of the last action and says what to do next. An answer that does not belong to
    /// the action changes nothing: the same action is due again.
    pub fn next(&mut self, seen: Seen<A, R>) -> Action<A, R> {
        let step = self.step.clone();
        self.step = match (step, seen) {
            (Step::Read(expected), Seen::Lease(lease, aged)) => self.decide(expected, lease, aged),
            (Step::Peek(engine), Seen::Run(run)) => self.peeked(engine, run),
            (Step::Take, Seen::Written) => self.taken(),
            // What was taken was the Lease with the expected token.
            (Step::Take, Seen::Moved) => Step::Read(self.token()),
            (Step::Look(engine) | Step::AwaitGone(engine, _), Seen::Run(run)) => self.looked(engine, run),
            (Step::Clear(engine, _), Seen::Removed | Seen::Moved) => Step::Look(engine),
            (Step::GiveBack(owner), Seen::Written | Seen::Moved) => self.end(Outcome::Busy(owner)),
            (Step::Create, Seen::Created(run)) => self.created(run),
            (Step::Create, Seen::Exists) => self.first_look(false),
            (Step::Create, Seen::Refused) => Step::GiveUp,
            (Step::GiveUp, Seen::Written | Seen::Moved) => self.end(Outcome::Refused),
            (Step::Mark(own, _), Seen::Written) => self.go_live(own),
            (Step::Mark(own, _), Seen::Moved) => Step::Verify(own),
            (Step::Verify(own), Seen::Lease(lease, _)) => self.verified(own, lease),
            (Step::Undo(engine, run, outcome), Seen::Run(found)) => self.undoing(engine, run, outcome, found),
            (Step::UndoRemove(_, _, outcome), Seen::Removed) => self.end(outcome),
            (Step::UndoRemove(engine, run, outcome), Seen::Moved) => Step::Undo(engine, run, outcome),
            (Step::GoLive(Own { engine, adopted, .. }), Seen::Live) => {
                self.end(Outcome::Started { engine, adopted })
            }
            (Step::GoLive(_), Seen::Gone) => self.end(Outcome::RunGone),
            (step, _) => step,
        };
        self.action()
    }

    /// Step 1: may we take this Lease, or carry on with it?
    fn decide(&mut self, expected: i64, lease: Option<Lease<A, R>>, aged: bool) -> Step<A, R> {
        let current = lease.as_ref().map_or(0, |lease| lease.token);
        let holder = lease.as_ref().and_then(|lease| lease.holder.clone());
        self.lease = lease;
        let is_left = aged && (self.launched().is_none() || self.rules.lacks(Rule::MarkStays));
        let is_expected = expected == current || self.rules.lacks(Rule::ExpectedToken);
        // Late requests of a released attempt are refused for their token. One that has read the newest is
        // of a client that uses the id of an attempt again.
        if expected == current && self.was_released() {
            return self.end(Outcome::Vanished);
        }
        match holder {
            // Our own Lease has moved once since the caller looked if it was this attempt's acquisition
            // that moved it. More than once, and somebody else was there in between.
            Some(holder) if holder == self.me => {
                if expected >= current - 1 || self.rules.lacks(Rule::ResumeOnlyNext) {
                    self.first_look(false)
                } else {
                    self.moved()
                }
            }
            // Its run went live, or may at any time, even if nobody can see it.
            Some(holder) if !is_left => self.end(Outcome::Busy(holder)),
            _ if !is_expected => self.moved(),
            Some(_) => self.next_engine(0).map_or(Step::Take, Step::Peek),
            None => Step::Take,
        }
    }

    /// Before a takeover: any run that is not ours and may not be cleared away keeps the target.
    fn peeked(&mut self, engine: u8, run: Option<Run<A, R>>) -> Step<A, R> {
        match run {
            Some(run) if run.owner != self.me && !self.may_clear(&run) => self.end(Outcome::Busy(run.owner)),
            _ => self.next_engine(engine + 1).map_or(Step::Take, Step::Peek),
        }
    }

    fn taken(&mut self) -> Step<A, R> {
        self.lease = Some(self.lease_of(Some(self.me.clone())));
        if self.rules.lacks(Rule::LookAfterTaking) { Step::Create } else { self.first_look(true) }
    }

    /// Step 2: what is under the run's name in this engine?
    fn looked(&mut self, engine: u8, run: Option<Run<A, R>>) -> Step<A, R> {
        match run {
            Some(run) if run.owner == self.me => {
                if run.going && run.stage == Stage::Inert {
                    return Step::AwaitGone(engine, run.id);
                }
                self.own = Some((engine, run.id, run.stage));
            }
            Some(run) if !self.may_clear(&run) => {
                // Giving the Lease away would forget that this attempt has launched. It has, so the run in
                // the way came from outside of the protocol and is nobody's to resume.
                if self.launched().is_some() {
                    return self.end(Outcome::Busy(run.owner));
                }
                self.own = None;
                return Step::GiveBack(run.owner);
            }
            Some(run) if run.going => return Step::AwaitGone(engine, run.id),
            Some(run) => return Step::Clear(engine, run.id),
            None => {}
        }
        self.look_from(engine + 1)
    }

    /// Looks on in this engine or a later one; when all were looked in, it is clear what to do.
    fn look_from(&mut self, engine: u8) -> Step<A, R> {
        if let Some(engine) = self.next_engine(engine) {
            return Step::Look(engine);
        }
        match self.own.take() {
            None if self.launched().is_some() => self.end(Outcome::Vanished),
            None => Step::Create,
            Some((engine, id, Stage::Inert)) => self.mark(Own { engine, id, adopted: true }),
            // Live or finished: this attempt has started already, and never starts again.
            Some((engine, ..)) => self.end(Outcome::Started { engine, adopted: true }),
        }
    }

    /// Whether a stranger's run may be removed: it never went live, or the attempt that was released
    /// last has finished it. Everything else keeps the target until its own attempt is released.
    fn may_clear(&self, run: &Run<A, R>) -> bool {
        let released = self.lease.as_ref().and_then(|lease| lease.released.as_ref());
        match run.stage {
            Stage::Inert => true,
            Stage::Live => false,
            Stage::Done => released == Some(&run.owner),
        }
    }

    /// Step 3 is done; step 4 is next.
    fn created(&mut self, id: R) -> Step<A, R> {
        self.mark(Own { engine: self.engine, id, adopted: false })
    }

    fn mark(&mut self, own: Own<R>) -> Step<A, R> {
        if self.rules.lacks(Rule::Verify) {
            return self.go_live(own);
        }
        match &self.lease {
            Some(lease) if lease.launched.is_none() && !self.rules.lacks(Rule::LaunchedMark) => {
                let to = Lease { launched: Some(own.id.clone()), ..lease.clone() };
                Step::Mark(own, to)
            }
            _ => Step::Verify(own),
        }
    }

    /// Step 4: is the Lease still this attempt's, under the token it created the run with, and does it
    /// name this run or none?
    fn verified(&mut self, own: Own<R>, lease: Option<Lease<A, R>>) -> Step<A, R> {
        let is_ours = lease.as_ref().is_some_and(|lease| lease.holder.as_ref() == Some(&self.me));
        let token = lease.as_ref().map_or(0, |lease| lease.token);
        let launched = lease.as_ref().and_then(|lease| lease.launched.as_ref());
        let moved = Outcome::TokenMoved { current: token };
        match launched {
            _ if !is_ours => Step::Undo(own.engine, own.id, moved),
            // The Lease has not changed hands since, or it would not name this run any more.
            Some(launched) if *launched == own.id => self.go_live(own),
            Some(_) => Step::Undo(own.engine, own.id, Outcome::Vanished),
            // The run may be left to whoever carries this attempt on.
            None if token != self.token() => self.end(moved),
            None if self.rules.lacks(Rule::LaunchedMark) => self.go_live(own),
            None => {
                self.lease = lease;
                self.mark(own)
            }
        }
    }

    fn go_live(&mut self, own: Own<R>) -> Step<A, R> {
        self.lease = None;
        Step::GoLive(own)
    }

    fn undoing(&mut self, engine: u8, run: R, outcome: Outcome<A>, found: Option<Run<A, R>>) -> Step<A, R> {
        match found {
            Some(found)
                if found.owner == self.me
                    && found.id == run
                    && found.stage == Stage::Inert
                    && !found.going =>
            {
                Step::UndoRemove(engine, run, outcome)
            }
            _ => self.end(outcome),
        }
    }

    fn was_released(&self) -> bool {
        let released = self.lease.as_ref().and_then(|lease| lease.released.as_ref());
        released == Some(&self.me)
    }

    fn first_look(&mut self, fresh: bool) -> Step<A, R> {
        self.own = None;
        self.fresh = fresh;
        self.look_from(0)
    }

    fn moved(&mut self) -> Step<A, R> {
        let current = self.token();
        self.end(Outcome::TokenMoved { current })
    }

    fn end(&mut self, outcome: Outcome<A>) -> Step<A, R> {
        self.lease = None;
        self.own = None;
        self.fresh = false;
        Step::End(outcome)
    }

    /// The first engine to look in, from this one on.
    fn next_engine(&self, from: u8) -> Option<u8> {
        let everywhere = !self.rules.lacks(Rule::LookEverywhere);
        (from..self.engines).find(|&engine| if engine == self.engine { !self.fresh } else { everywhere })
    }

    fn token(&self) -> i64 {
        self.lease.as_ref().map_or(0, |lease| lease.token)
    }

    /// The run that the Lease names.
    fn launched(&self) -> Option<&R> {
        self.lease.as_ref().and_then(|lease| lease.launched.as_ref())
    }

    fn write(&self, holder: Option<A>) -> Action<A, R> {
        Action::WriteLease { from: self.lease.clone(), to: self.lease_of(holder) }
    }

    /// The Lease with another holder. The token grows with every change of holder, and no run is named:
    /// a new holder has none yet, and one that gets the Lease back has been released or is no attempt.
    fn lease_of(&self, holder: Option<A>) -> Lease<A, R> {
        let released = self.lease.as_ref().and_then(|lease| lease.released.clone());
        Lease { holder, token: self.token() + 1, released, launched: None }
    }
}

#[cfg(test)]
mod tests;
