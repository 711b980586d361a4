//! Performs a start: does what the machine of `evenkeel_core::start` asks for, each step against the
//! API server, and tells it what came of it. Nothing is decided here.

use std::{collections::HashMap, time::Duration};

use evenkeel_core::start::{Action, Outcome, Run, Seen, Stage, Start};
use evenkeel_kit::failpoint;
use jiff::Timestamp;

use crate::{
    attempt::{Attempt, Owner},
    engine::{Created, Engines, Found, Removal, Removed},
    error::{Error, Result},
    lease::{Leases, Lock, Stored},
};

/// How long a start waits for runs that are being removed.
const REMOVAL_LIMIT: Duration = Duration::from_secs(5);
/// How many steps one start or release may take. An undisturbed one takes fewer than ten; only others
/// that keep changing the same lock or run make it more.
pub(crate) const STEPS_LIMIT: usize = 64;
pub(crate) const STEPS_SPENT: &str = "the lock or the run kept changing meanwhile";

/// What a start works with.
#[derive(Clone)]
pub(crate) struct Starter {
    pub(crate) leases: Leases,
    pub(crate) engines: Engines,
    /// How long a lock without a live run keeps others out.
    pub(crate) start_timeout: Duration,
}

/// A run that is live, or has even finished.
pub(crate) struct Started {
    pub(crate) run: Found,
    pub(crate) adopted: bool,
}

/// One start under way.
struct Drive<'a> {
    starter: &'a Starter,
    attempt: &'a Attempt,
    run: String,
    /// The lock as last read or written.
    stored: Stored,
    /// resourceVersion and stage of every run when it was last looked at, by uid.
    seen: HashMap<String, (String, Stage)>,
    /// The attempt's own run, as it was last seen.
    own: Option<Found>,
    /// Names of the attempts met, by uid, to tell the caller who is in the way.
    names: HashMap<String, Owner>,
    refusal: Option<Error>,
}

impl Starter {
    /// Starts the attempt, or carries its start on.
    pub(crate) async fn start(&self, attempt: &Attempt, expected: i64) -> Result<Started> {
        let (engine, backend) = self.engines.named(&attempt.engine)?;
        backend.check(attempt).await?;
        let uid = attempt.owner.uid.clone();
        let mut drive = Drive {
            starter: self,
            attempt,
            run: attempt.target.run_name(),
            stored: Stored::default(),
            seen: HashMap::new(),
            own: None,
            names: HashMap::from([(uid.clone(), attempt.owner.clone())]),
            refusal: None,
        };
        let mut machine = Start::new(uid, expected, engine, self.engines.count());
        let mut action = machine.action();
        for _ in 0..STEPS_LIMIT {
            if let Action::End(outcome) = action {
                return drive.conclude(outcome);
            }
            let seen = drive.perform(action).await?;
            action = machine.next(seen);
        }
        Err(Error::Unsettled(STEPS_SPENT))
    }
}

impl Drive<'_> {
    /// Does one thing and says what came of it. An error leaves everything as it is: whatever was
    /// begun is carried on by the next start of the same attempt.
    async fn perform(&mut self, action: Action<String, String>) -> Result<Seen<String, String>> {
        let engines = &self.starter.engines;
        Ok(match action {
            Action::ReadLease => {
                self.read_lease().await?;
                let aged = self.stored.is_left_behind(self.starter.start_timeout, Timestamp::now());
                Seen::Lease(self.stored.lock.clone(), aged)
            }
            Action::WriteLease { to, .. } => self.write_lease(to).await?,
            Action::Look(engine) => {
                let found = engines.at(engine).look(&self.run).await?;
                Seen::Run(found.map(|found| self.met(found)))
            }
            Action::RemoveUnchanged(engine, uid) => self.remove_unchanged(engine, &uid).await?,
            Action::AwaitGone(engine, uid) => {
                if !engines.at(engine).await_gone(&self.run, &uid, REMOVAL_LIMIT).await? {
                    return Err(Error::Unsettled("the run before is still being removed"));
                }
                let found = engines.at(engine).look(&self.run).await?;
                Seen::Run(found.map(|found| self.met(found)))
            }
            Action::Create { engine, token } => self.create(engine, token).await?,
            Action::GoLive(engine, uid) => {
                failpoint::hit("executor.golive.before");
                self.own = engines.at(engine).go_live(&self.run, &uid).await?;
                failpoint::hit("executor.golive.after");
                if self.own.is_some() { Seen::Live } else { Seen::Gone }
            }
            Action::End(_) => Seen::Moved,
        })
    }

    async fn read_lease(&mut self) -> Result<()> {
        failpoint::hit("executor.read.before");
        self.stored = self.starter.leases.read(&self.run).await?;
        failpoint::hit("executor.read.after");
        self.names.extend(self.stored.holder.iter().map(|owner| (owner.uid.clone(), owner.clone())));
        Ok(())
    }

    async fn write_lease(&mut self, to: Lock) -> Result<Seen<String, String>> {
        let holder = to.holder.as_ref().and_then(|uid| self.names.get(uid));
        let (before, after) = match to.launched {
            None => ("executor.lease.before", "executor.lease.after"),
            Some(_) => ("executor.mark.before", "executor.mark.after"),
        };
        failpoint::hit(before);
        let target = self.attempt.target.as_str();
        let written = self.starter.leases.write(&self.run, target, &self.stored, to, holder).await?;
        failpoint::hit(after);
        Ok(match written {
            Some(stored) => {
                self.stored = stored;
                Seen::Written
            }
            None => Seen::Moved,
        })
    }

    async fn remove_unchanged(&mut self, engine: u8, uid: &str) -> Result<Seen<String, String>> {
        let Some((resource_version, stage)) = self.seen.get(uid) else { return Ok(Seen::Moved) };
        let removal = Removal { uid, stage: *stage, unchanged_since: Some(resource_version) };
        let removed = self.starter.engines.remove(engine, &self.run, removal).await?;
        match removed {
            Removed::Changed => Ok(Seen::Moved),
            Removed::Gone | Removed::Going => Ok(Seen::Removed),
            Removed::Ending => Err(Error::Unsettled("the run before is still ending")),
        }
    }

    async fn create(&mut self, engine: u8, token: i64) -> Result<Seen<String, String>> {
        failpoint::hit("executor.create.before");
        let created = self.starter.engines.at(engine).create(self.attempt, token).await?;
        failpoint::hit("executor.create.after");
        Ok(match created {
            Created::New(uid) => Seen::Created(uid),
            Created::Exists => Seen::Exists,
            Created::Refused(error) => {
                self.refusal = Some(error);
                Seen::Refused
            }
        })
    }

    /// Remembers what a run was like, for the steps that depend on it.
    fn met(&mut self, found: Found) -> Run<String, String> {
        self.seen.insert(found.uid.clone(), (found.resource_version.clone(), found.stage));
        self.names.insert(found.owner.uid.clone(), found.owner.clone());
        if found.owner.uid == self.attempt.owner.uid {
            self.own = Some(found.clone());
        }
        Run { owner: found.owner.uid, stage: found.stage, going: found.going, id: found.uid }
    }

    fn conclude(mut self, outcome: Outcome<String>) -> Result<Started> {
        Err(match outcome {
            Outcome::Started { adopted, .. } => match self.own {
                Some(run) => return Ok(Started { run, adopted }),
                None => Error::Unsettled("the run went live and was removed at once"),
            },
            Outcome::Busy(uid) => {
                let holder = self.names.remove(&uid).unwrap_or_else(|| Owner { uid, ..Owner::default() });
                Error::Busy { holder: holder.into(), run: self.run }
            }
            Outcome::TokenMoved { current } => Error::TokenMoved { current },
            Outcome::RunGone => Error::Unsettled("the run was removed before it went live"),
            Outcome::Vanished => Error::Vanished,
            Outcome::Refused => self.refusal.unwrap_or(Error::Unsettled("the run was refused")),
        })
    }
}
