//! Performs a release: does what the machine of `evenkeel_core::release` asks for.

use std::time::Duration;

use evenkeel_core::{
    release::{Action, Release, Seen},
    start::{Run, Stage},
    target::Target,
};
use evenkeel_kit::failpoint;
use evenkeel_proto::execution::v1::Execution;

use crate::{
    attempt::Owner,
    engine::{Engines, Found, Removal, Removed},
    error::{Error, Result},
    lease::{Leases, Lock, Stored},
    start::{STEPS_LIMIT, STEPS_SPENT},
};

/// How long one request waits for the run to be gone; the caller asks again after that.
const REMOVAL_LIMIT: Duration = Duration::from_secs(3);

/// Releases `owner` from `target`, given the facts of its run if that is known to have finished. False
/// when the run is still being removed.
pub(crate) async fn release(
    leases: &Leases,
    engines: &Engines,
    owner: &Owner,
    target: &Target,
    finished: Option<Execution>,
) -> Result<bool> {
    let (run, stored, stage) = (target.run_name(), Stored::default(), Stage::Done);
    let version = String::new();
    let mut drive = Drive { leases, engines, target, run, stored, stage, version };
    let mut machine: Release<String, String> = Release::new(owner.uid.clone(), engines.count());
    if let Some(run) = finished {
        let (engine, _) = engines.named(&run.engine)?;
        machine = machine.knowing_finished(engine, run.run_uid);
    }
    let mut action = machine.action();
    for _ in 0..STEPS_LIMIT {
        let seen = match action {
            Action::Done => return Ok(true),
            Action::AwaitGone(engine, uid) => {
                if !engines.at(engine).await_gone(&drive.run, &uid, REMOVAL_LIMIT).await? {
                    return Ok(false);
                }
                drive.look(engine).await?
            }
            other => match drive.perform(other).await? {
                Some(seen) => seen,
                None => return Ok(false),
            },
        };
        action = machine.next(seen);
    }
    Err(Error::Unsettled(STEPS_SPENT))
}

struct Drive<'a> {
    leases: &'a Leases,
    engines: &'a Engines,
    target: &'a Target,
    run: String,
    stored: Stored,
    /// Stage of the run as last looked at; what was not looked at is known to be done.
    stage: Stage,
    /// Its resourceVersion then.
    version: String,
}

impl Drive<'_> {
    /// What came of an action; none of the removal of a run that has yet to end.
    async fn perform(&mut self, action: Action<String, String>) -> Result<Option<Seen<String, String>>> {
        Ok(Some(match action {
            Action::ReadLease => {
                self.stored = self.leases.read(&self.run).await?;
                Seen::Lease(self.stored.lock.clone())
            }
            Action::WriteLease { to, .. } => self.write_lease(to).await?,
            Action::Look(engine) => self.look(engine).await?,
            Action::Remove(engine, uid) => {
                failpoint::hit("executor.release.delete.before");
                let removed = self.remove(engine, &uid).await?;
                failpoint::hit("executor.release.delete.after");
                match removed {
                    Removed::Gone => Seen::Gone,
                    Removed::Going | Removed::Changed => Seen::Removed,
                    Removed::Ending => return Ok(None),
                }
            }
            Action::AwaitGone(..) | Action::Done => Seen::Moved,
        }))
    }

    /// A start that was held up may wake what was asleep a moment ago: then it is looked at again, since
    /// what is live ends in another way.
    async fn remove(&self, engine: u8, uid: &str) -> Result<Removed> {
        let is_asleep = self.stage == Stage::Inert;
        let unchanged_since = Some(self.version.as_str()).filter(|_| is_asleep);
        self.engines.remove(engine, &self.run, Removal { uid, stage: self.stage, unchanged_since }).await
    }

    async fn look(&mut self, engine: u8) -> Result<Seen<String, String>> {
        let found = self.engines.at(engine).look(&self.run).await?;
        Ok(Seen::Run(found.map(|Found { owner, stage, going, uid, resource_version, .. }| {
            (self.stage, self.version) = (stage, resource_version);
            Run { owner: owner.uid, stage, going, id: uid }
        })))
    }

    async fn write_lease(&mut self, to: Lock) -> Result<Seen<String, String>> {
        // A foreign holder stays, and so does its name.
        let holder = self.stored.holder.clone().filter(|holder| to.holder.as_ref() == Some(&holder.uid));
        failpoint::hit("executor.release.lease.before");
        let target = self.target.as_str();
        let written = self.leases.write(&self.run, target, &self.stored, to, holder.as_ref()).await?;
        failpoint::hit("executor.release.lease.after");
        Ok(match written {
            Some(stored) => {
                self.stored = stored;
                Seen::Written
            }
            None => Seen::Moved,
        })
    }
}
