//! What every engine can do. The protocol is the same for all of them; an engine only knows how its
//! runs are created, found, woken, watched and removed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use evenkeel_core::start::Stage;
use evenkeel_kit::shutdown::CancellationToken;
use evenkeel_proto::execution::v1::{EngineCapability, Execution};

use crate::{
    attempt::{Attempt, Owner},
    error::{Error, Result},
    runs::Runs,
};

/// A run as the API server has it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) owner: Owner,
    pub(crate) stage: Stage,
    /// Whether its removal has begun.
    pub(crate) going: bool,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    /// Its facts, as far as the object itself tells them.
    pub(crate) facts: Execution,
}

/// What came of a creation.
pub(crate) enum Created {
    /// It was created under this uid.
    New(String),
    /// A run of this name exists.
    Exists,
    /// It is refused for good.
    Refused(Error),
}

/// How long one request waits for a run to end; the caller asks again after that.
const SETTLING_LIMIT: Duration = Duration::from_secs(3);

/// Which run is removed, and on what condition.
pub(crate) struct Removal<'a> {
    /// Uid of the object: another one under its name stays.
    pub(crate) uid: &'a str,
    /// How far it had got when it was seen. What is live has pods that must be gone first.
    pub(crate) stage: Stage,
    /// Its resourceVersion when it was looked at, if it must not have changed since.
    pub(crate) unchanged_since: Option<&'a str>,
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// There is no such object, or none any more.
    Gone,
    /// It will be gone.
    Going,
    /// It stays until it has ended, with everything that belongs to it.
    Ending,
    /// It has changed, and stays.
    Changed,
}

/// What would be created.
pub(crate) struct Rendered {
    pub(crate) manifests: Vec<String>,
    /// Why the API server would refuse it.
    pub(crate) refusal: Option<Error>,
}

/// One way of running workflows.
#[async_trait]
pub(crate) trait Engine: Send + Sync + 'static {
    /// Name used in requests.
    fn name(&self) -> &'static str;
    /// What it can do.
    fn capabilities(&self) -> &'static [EngineCapability];
    /// Why it cannot run workflows now, as last seen; none when it can.
    fn unavailable(&self) -> Option<String> {
        None
    }
    /// Checks, without effect, that what the run needs is there.
    async fn check(&self, attempt: &Attempt) -> Result<()>;
    /// Looks for a run under this name, uncached.
    async fn look(&self, run: &str) -> Result<Option<Found>>;
    /// All that is known of a run that was found, also what its object alone does not tell.
    async fn tell(&self, found: Found) -> Execution {
        found.facts
    }
    /// Creates the run inert, with the owner and the token on it.
    async fn create(&self, attempt: &Attempt, token: i64) -> Result<Created>;
    /// Makes this very object live and gives it as it is then. None when it is gone, going, or another
    /// object.
    async fn go_live(&self, run: &str, uid: &str) -> Result<Option<Found>>;
    /// Has a run that went live end, and waits until nothing of it is there or can still be made, but the
    /// object itself.
    async fn settle(&self, run: &str, uid: &str, stage: Stage) -> Result<()>;
    /// Removes the object of a run that has settled or never went live; see [`Engines::remove`].
    async fn remove(&self, run: &str, removal: Removal<'_>) -> Result<Removed>;
    /// Waits until this object is gone, for at most `limit`. False when it is still there.
    async fn await_gone(&self, run: &str, uid: &str, limit: Duration) -> Result<bool>;
    /// Makes a live run end, for this reason.
    async fn stop(&self, run: &str, uid: &str, reason: &str) -> Result<()>;
    /// Renders the run and has the API server check it, without effect.
    async fn render(&self, attempt: &Attempt, token: i64) -> Result<Rendered>;
    /// Follows all runs of this engine and publishes their facts, until shutdown.
    async fn follow(self: Arc<Self>, runs: Runs, shutdown: CancellationToken);
}

/// The engines of this executor, in the order in which the protocol numbers them.
#[derive(Clone)]
pub(crate) struct Engines(Arc<[Arc<dyn Engine>]>);

impl Engines {
    pub(crate) fn new(mut engines: Vec<Arc<dyn Engine>>) -> Self {
        engines.sort_by_key(|engine| engine.name());
        Self(engines.into())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Engine>> {
        self.0.iter()
    }

    /// Removes a run, with everything that belongs to it. What went live ends first: whoever finds no run
    /// may use its target, so none may still come up. Who asks again finds what was begun.
    pub(crate) async fn remove(&self, index: u8, run: &str, removal: Removal<'_>) -> Result<Removed> {
        let engine = self.at(index);
        if removal.stage != Stage::Inert {
            let settled = engine.settle(run, removal.uid, removal.stage);
            match tokio::time::timeout(SETTLING_LIMIT, settled).await {
                Ok(settled) => settled?,
                Err(_) => return Ok(Removed::Ending),
            }
        }
        engine.remove(run, removal).await
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }

    /// The engine that the protocol means by this number.
    pub(crate) fn at(&self, index: u8) -> &dyn Engine {
        self.0
            .get(usize::from(index))
            .expect("the protocol only uses numbers below the count it was given")
            .as_ref()
    }

    /// All that is known of a run that was found.
    pub(crate) async fn tell(&self, found: Found) -> Execution {
        match self.named(&found.facts.engine) {
            Ok((_, engine)) => engine.tell(found).await,
            Err(_) => found.facts,
        }
    }

    /// Number and engine of a name.
    pub(crate) fn named(&self, name: &str) -> Result<(u8, &dyn Engine)> {
        let found =
            (0..self.count()).map(|index| (index, self.at(index))).find(|(_, one)| one.name() == name);
        found.ok_or_else(|| {
            let usable = self.iter().filter(|engine| engine.unavailable().is_none());
            let available: Vec<&str> = usable.map(|engine| engine.name()).collect();
            Error::UnknownEngine { engine: name.to_owned(), available: available.join(", ") }
        })
    }

    /// Looks in every engine for the run of this attempt on a target.
    pub(crate) async fn owned(&self, run: &str, uid: &str) -> Result<Option<(u8, Found)>> {
        for index in 0..self.count() {
            if let Some(found) = self.at(index).look(run).await?.filter(|found| found.owner.uid == uid) {
                return Ok(Some((index, found)));
            }
        }
        Ok(None)
    }

    /// Looks in every engine for the run on a target.
    pub(crate) async fn look(&self, run: &str) -> Result<Option<(u8, Found)>> {
        for index in 0..self.count() {
            if let Some(found) = self.at(index).look(run).await? {
                return Ok(Some((index, found)));
            }
        }
        Ok(None)
    }
}
