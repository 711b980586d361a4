//! The two-phase start of a run, as a machine that is told what was seen and says what to do next.
//!
//! Kubernetes has no transaction over the lock (a Lease) and the run (a Job, say). The order of the
//! steps makes a late starter harmless all the same:
//!
//! 1. take the Lease, which yields a fencing token;
//! 2. *then* look under the run's name in every engine, and clear away what is dead;
//! 3. create the run inert;
//! 4. read the Lease again: is it still ours, under this token?
//! 5. make the run live, by the identity of its object.
//!
//! Whoever takes the Lease over looks after taking it, so it either sees the run of the one before, or
//! the one before sees in step 4 that the Lease has moved. `tests/start_model.rs` checks this over every
//! interleaving of these machines, and that leaving any rule out breaks it.
//!
//! Nothing here performs I/O. Whoever drives a machine performs exactly its [`Action`]s, each against the
//! API server and never against a cache, and hands back what came of it. A driver may stop at any step;
//! the next start of the same attempt carries on.

mod rules;
mod view;

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
    lease: Option<Lease<A>>,
    /// Our own run, if one was seen while looking.
    own: Option<(u8, R, Stage)>,
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
    Verify {
        engine: u8,
        run: R,
        adopted: bool,
    },
    /// The Lease has moved: look for our inert run, to remove it.
    Undo(u8, R),
    UndoRemove(u8, R),
    GoLive {
        engine: u8,
        run: R,
        adopted: bool,
    },
    /// The backend refuses the run for good: free the Lease.
    GiveUp,
    End(Outcome<A>),
}

/// What a start wants done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action<A, R> {
    /// Read the Lease, uncached. Answer: [`Seen::Lease`].
    ReadLease,
    /// Write the Lease, on condition that it is as this start last read or wrote it (`from`; create it
    /// when `from` is none). Answer: [`Seen::Written`] or [`Seen::Moved`].
    WriteLease {
        /// What the write is conditional on.
        from: Option<Lease<A>>,
        /// What is written.
        to: Lease<A>,
    },
    /// Look for a run under the run's name in this engine, uncached. Answer: [`Seen::Run`].
    Look(u8),
    /// Remove the run that was just looked at, on condition that the object has not changed since.
    /// Answer: [`Seen::Removed`] or [`Seen::Moved`].
    RemoveUnchanged(u8, R),
    /// Wait until this run, which is being removed, is gone; then look again. Answer: [`Seen::Run`].
    AwaitGone(u8, R),
    /// Create the run inert in this engine, with the attempt and this token on it.
    /// Answer: [`Seen::Created`], [`Seen::Exists`] or [`Seen::Refused`].
    Create {
        /// Where.
        engine: u8,
        /// Token to put on it.
        token: i64,
    },
    /// Make this very object live. Answer: [`Seen::Live`], or [`Seen::Gone`] when it no longer exists,
    /// is being removed, or is another object.
    GoLive(u8, R),
    /// Stop; this came of it.
    End(Outcome<A>),
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen<A, R> {
    /// The Lease, if there is one, and whether its holder took it longer ago than the start timeout.
    Lease(Option<Lease<A>>, bool),
    /// The conditional write succeeded.
    Written,
    /// The condition did not hold.
    Moved,
    /// The run found, if any.
    Run(Option<Run<A, R>>),
    /// The run was removed, or its removal has begun.
    Removed,
    /// The run was created, inert.
    Created(R),
    /// A run of this name exists.
    Exists,
    /// The backend refuses this run for good.
    Refused,
    /// The run is live.
    Live,
    /// There is nothing to make live.
    Gone,
}

/// How a start ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<A> {
    /// The run is live, or has even finished.
    Started {
        /// Engine that has the run.
        engine: u8,
        /// Whether the run had existed before this try.
        adopted: bool,
    },
    /// Another attempt holds the target, or has a run on it.
    Busy(A),
    /// The Lease is not as the caller or this start had seen it. Read it again and decide again.
    TokenMoved {
        /// Token as last read.
        current: i64,
    },
    /// The run was removed before it could go live. Trying again is safe.
    RunGone,
    /// The backend refused the run for good, and the target is free again.
    Refused,
}

impl<A: Clone + Eq, R: Clone + Eq> Start<A, R> {
    /// A start of attempt `me` in `engine` (one of `engines`), decided when the token was `expected`.
    pub fn new(me: A, expected: i64, engine: u8, engines: u8) -> Self {
        let rules = Rules::default();
        Self { me, engine, engines, rules, lease: None, own: None, step: Step::Read(expected) }
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
            Step::Read(_) | Step::Verify { .. } => Action::ReadLease,
            Step::Peek(engine) | Step::Look(engine) | Step::Undo(engine, _) => Action::Look(*engine),
            Step::Take => self.write(Some(self.me.clone())),
            Step::Clear(engine, run) | Step::UndoRemove(engine, run) => {
                Action::RemoveUnchanged(*engine, run.clone())
            }
            Step::AwaitGone(engine, run) => Action::AwaitGone(*engine, run.clone()),
            Step::GiveBack(owner) => self.write(Some(owner.clone())),
            Step::Create => Action::Create { engine: self.engine, token: self.token() },
            Step::GoLive { engine, run, .. } => Action::GoLive(*engine, run.clone()),
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
            (Step::Create, Seen::Exists) => self.first_look(),
            (Step::Create, Seen::Refused) => Step::GiveUp,
            (Step::GiveUp, Seen::Written | Seen::Moved) => self.end(Outcome::Refused),
            (Step::Verify { engine, run, adopted }, Seen::Lease(lease, _)) => {
                self.verified(engine, run, adopted, lease)
            }
            (Step::Undo(engine, run), Seen::Run(found)) => self.undoing(engine, run, found),
            (Step::UndoRemove(..), Seen::Removed) => self.moved(),
            (Step::UndoRemove(engine, run), Seen::Moved) => Step::Undo(engine, run),
            (Step::GoLive { engine, adopted, .. }, Seen::Live) => {
                self.end(Outcome::Started { engine, adopted })
            }
            (Step::GoLive { .. }, Seen::Gone) => self.end(Outcome::RunGone),
            (step, _) => step,
        };
        self.action()
    }

    /// Step 1: may we take this Lease, or carry on with it?
    fn decide(&mut self, expected: i64, lease: Option<Lease<A>>, aged: bool) -> Step<A, R> {
        let current = lease.as_ref().map_or(0, |lease| lease.token);
        let holder = lease.as_ref().and_then(|lease| lease.holder.clone());
        self.lease = lease;
        let is_expected = expected == current || self.rules.lacks(Rule::ExpectedToken);
        match holder {
            // Our own Lease has moved once since the caller looked if it was this attempt's acquisition
            // that moved it. More than once, and somebody else was there in between.
            Some(holder) if holder == self.me => {
                if expected >= current - 1 || self.rules.lacks(Rule::ResumeOnlyNext) {
                    self.first_look()
                } else {
                    self.moved()
                }
            }
            Some(holder) if !aged => self.end(Outcome::Busy(holder)),
            _ if !is_expected => self.moved(),
            Some(_) => Step::Peek(self.from(0)),
            None => Step::Take,
        }
    }

    /// Before a takeover: any run that is not ours and may not be cleared away keeps the target.
    fn peeked(&mut self, engine: u8, run: Option<Run<A, R>>) -> Step<A, R> {
        match run {
            Some(run) if run.owner != self.me && !self.may_clear(&run) => self.end(Outcome::Busy(run.owner)),
            _ => self.following(engine).map_or(Step::Take, Step::Peek),
        }
    }

    fn taken(&mut self) -> Step<A, R> {
        self.lease = Some(self.lease_of(Some(self.me.clone())));
        if self.rules.lacks(Rule::LookAfterTaking) { Step::Create } else { self.first_look() }
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
                self.own = None;
                return Step::GiveBack(run.owner);
            }
            Some(run) if run.going => return Step::AwaitGone(engine, run.id),
            Some(run) => return Step::Clear(engine, run.id),
            None => {}
        }
        if let Some(engine) = self.following(engine) {
            return Step::Look(engine);
        }
        match self.own.take() {
            None => Step::Create,
            Some((engine, run, Stage::Inert)) => self.verify(engine, run, true),
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
    fn created(&mut self, run: R) -> Step<A, R> {
        self.verify(self.engine, run, false)
    }

    fn verify(&mut self, engine: u8, run: R, adopted: bool) -> Step<A, R> {
        if self.rules.lacks(Rule::Verify) {
            self.lease = None;
            return Step::GoLive { engine, run, adopted };
        }
        Step::Verify { engine, run, adopted }
    }

    /// Step 4: is the Lease still this attempt's, under the token it created the run with?
    fn verified(&mut self, engine: u8, run: R, adopted: bool, lease: Option<Lease<A>>) -> Step<A, R> {
        let is_ours = lease
            .as_ref()
            .is_some_and(|lease| lease.holder.as_ref() == Some(&self.me) && lease.token == self.token());
        if is_ours {
            self.lease = None;
            Step::GoLive { engine, run, adopted }
        } else {
            self.lease = lease;
            Step::Undo(engine, run)
        }
    }

    fn undoing(&mut self, engine: u8, run: R, found: Option<Run<A, R>>) -> Step<A, R> {
        match found {
            Some(found)
                if found.owner == self.me
                    && found.id == run
                    && found.stage == Stage::Inert
                    && !found.going =>
            {
                Step::UndoRemove(engine, run)
            }
            _ => self.moved(),
        }
    }

    fn first_look(&mut self) -> Step<A, R> {
        self.own = None;
        Step::Look(self.from(0))
    }

    fn moved(&mut self) -> Step<A, R> {
        let current = self.token();
        self.end(Outcome::TokenMoved { current })
    }

    fn end(&mut self, outcome: Outcome<A>) -> Step<A, R> {
        self.lease = None;
        self.own = None;
        Step::End(outcome)
    }

    /// The engine to look in after this one.
    fn following(&self, engine: u8) -> Option<u8> {
        let next = engine + 1;
        (next < self.engines && !self.rules.lacks(Rule::LookEverywhere)).then_some(next)
    }

    /// The engine to look in first.
    fn from(&self, first: u8) -> u8 {
        if self.rules.lacks(Rule::LookEverywhere) { self.engine } else { first }
    }

    fn token(&self) -> i64 {
        self.lease.as_ref().map_or(0, |lease| lease.token)
    }

    fn write(&self, holder: Option<A>) -> Action<A, R> {
        Action::WriteLease { from: self.lease.clone(), to: self.lease_of(holder) }
    }

    /// The Lease with another holder. The token grows with every change of holder.
    fn lease_of(&self, holder: Option<A>) -> Lease<A> {
        let released = self.lease.as_ref().and_then(|lease| lease.released.clone());
        Lease { holder, token: self.token() + 1, released }
    }
}

#[cfg(test)]
mod tests;
