//! All executors together. Each engine belongs to one of them, and what is asked for an execution
//! goes to the one that has its engine.
//!
//! An executor's lock speaks of what goes through that executor only. For "at most one run per
//! target" the locks of all of them count: see `docs/decisions/0013-one-target-several-executors.md`.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use evenkeel_core::{
    facts::{Facts, Lock, Refusal, RefusalKind},
    plan::{CancelAnswer, Reading, ReleaseAnswer, StartAnswer},
};
use evenkeel_kit::{channel, config::Security, readiness::Readiness};
use evenkeel_proto::execution::v1::{ExecutionSpec, Owner};
use futures::future::join_all;
use parking_lot::Mutex;

use crate::{executor::Executor, index::Index, record, watch::Runs};

mod locks;
mod offers;

use locks::{Taken, combine, taken};
pub(crate) use offers::keep;
use offers::{Offers, Route};

/// Readiness: at least one executor is followed.
pub(crate) const EXECUTOR: &str = "executor";

/// The executors; cheap to clone.
#[derive(Clone)]
pub struct Executors {
    all: Arc<[Remote]>,
    offers: Arc<Mutex<Offers>>,
    followed: Arc<Mutex<Vec<bool>>>,
    index: Arc<Index>,
    runs: Arc<Runs>,
    start_timeout: Duration,
}

/// One executor.
struct Remote {
    address: String,
    executor: Executor,
}

/// What an execution is to the executors.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Its engine, if that is settled.
    pub(crate) engine: Option<&'a str>,
    /// Its target.
    pub(crate) target: &'a str,
}

impl Executors {
    /// Speaks to these addresses; connects when first used.
    pub(crate) fn connect(
        addresses: &[String],
        security: &Security,
        (index, runs): (Arc<Index>, Arc<Runs>),
        start_timeout: Duration,
    ) -> anyhow::Result<Self> {
        let remote = |address: &String| {
            let connection = channel::connect(address, security);
            let executor = Executor::new(connection.with_context(|| format!("executor {address}"))?);
            anyhow::Ok(Remote { address: address.clone(), executor })
        };
        let all: Arc<[Remote]> = addresses.iter().map(remote).collect::<anyhow::Result<_>>()?;
        let offers = Arc::new(Mutex::new(Offers::new(all.len())));
        let followed = Arc::new(Mutex::new(vec![false; all.len()]));
        Ok(Self { all, offers, followed, index, runs, start_timeout })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// One of them, by its place in the configuration.
    pub(crate) fn at(&self, which: usize) -> Option<(&str, &Executor)> {
        self.all.get(which).map(|remote| (remote.address.as_str(), &remote.executor))
    }

    /// Says whether an executor is followed. One is needed to work at all.
    pub(crate) fn followed(&self, which: usize, followed: bool, readiness: &Readiness) {
        let mut all = self.followed.lock();
        if let Some(one) = all.get_mut(which) {
            *one = followed;
        }
        readiness.set(EXECUTOR, all.contains(&true));
        if let Some((address, _)) = self.at(which) {
            readiness.note(format!("executor {address}"), followed);
        }
    }

    /// Reads the lock of a target: that of the executor which has the engine, unless another one
    /// has the target.
    pub(crate) async fn lock(&self, subject: Subject<'_>, uid: &str) -> Reading<Lock> {
        if let [only] = &*self.all {
            return only.executor.lock(subject.target).await;
        }
        let own = self.own(subject.engine);
        let readings = join_all(self.all.iter().map(|remote| remote.executor.lock(subject.target))).await;
        combine(own, uid, &readings, |which, why| self.passes_over(which, why, uid, subject.target))
    }

    /// Reads the facts of a run. That it is gone is final, so everybody is asked before.
    pub(crate) async fn run(&self, subject: Subject<'_>, owner: &Owner) -> Reading<Facts> {
        let mut gone = Reading::Absent;
        for which in self.order(subject.engine) {
            let Some((address, executor)) = self.at(which) else { continue };
            match executor.run(owner.clone(), subject.target).await {
                Reading::Found(facts) => {
                    self.runs.note(which, &facts);
                    return Reading::Found(facts);
                }
                // The one that has the engine is believed when it has the run, and waited for when
                // it says nothing.
                Reading::Unavailable(why) if self.own(subject.engine) == Some(which) => {
                    return Reading::Unavailable(why);
                }
                Reading::Unavailable(why) => gone = Reading::Unavailable(format!("{why} from {address}")),
                Reading::Absent | Reading::Unread => {}
            }
        }
        if gone == Reading::Absent { self.gone(subject.engine, &owner.uid).await } else { gone }
    }

    /// That nobody has a run says something only as long as somebody has its engine, unless the run was
    /// seen to go: whoever gave the engine up cannot see its runs any more, and they may be there.
    async fn gone(&self, engine: Option<&str>, uid: &str) -> Reading<Facts> {
        let Some(engine) = engine.filter(|_| !self.runs.has_left(uid)) else { return Reading::Absent };
        self.ask_everybody().await;
        if let Route::At(_) = self.offers.lock().route(engine) {
            return Reading::Absent;
        }
        Reading::Unavailable(format!("no executor offers the engine '{engine}', so its runs cannot be seen"))
    }

    /// Starts a run at the executor that has its engine, when no other one has the target.
    pub(crate) async fn start(&self, spec: ExecutionSpec, expected_token: i64) -> StartAnswer {
        let own = match self.find(&spec.engine).await {
            Ok(own) => own,
            Err(answer) => return answer,
        };
        let owner = spec.owner.clone().unwrap_or_default();
        for (which, remote) in self.all.iter().enumerate().filter(|(which, _)| *which != own) {
            match self.keep_out(remote, &owner, &spec.target).await {
                Ok(None) => {}
                Ok(Some(Taken { holder })) => return StartAnswer::Busy { holder },
                Err(why) => {
                    if let Err(why) = self.passes_over(which, &why, &owner.uid, &spec.target) {
                        return StartAnswer::Unavailable(why);
                    }
                }
            }
        }
        let Some((_, executor)) = self.at(own) else {
            return StartAnswer::Unavailable("NO_EXECUTOR".to_owned());
        };
        let engine = spec.engine.clone();
        let answer = executor.start(spec, expected_token).await;
        match &answer {
            StartAnswer::Started { facts, .. } => self.runs.note(own, facts),
            StartAnswer::Refused(refusal)
                if refusal.kind == RefusalKind::UnknownEngine && self.count() > 1 =>
            {
                return self.lost(&engine, own, answer).await;
            }
            _ => {}
        }
        answer
    }

    /// An executor has an engine no longer, and did not say so yet: perhaps another one has it.
    async fn lost(&self, engine: &str, own: usize, answer: StartAnswer) -> StartAnswer {
        self.ask_everybody().await;
        match self.find(engine).await {
            Ok(now) if now != own => StartAnswer::Moved,
            Ok(_) => answer,
            Err(told) => told,
        }
    }

    /// Asks a run to stop.
    pub(crate) async fn cancel(&self, subject: Subject<'_>, owner: &Owner, reason: &str) -> CancelAnswer {
        for which in self.places(subject.engine) {
            let Some((_, executor)) = self.at(which) else { continue };
            let answer = executor.cancel(owner.clone(), subject.target, reason).await;
            if answer != CancelAnswer::Done {
                return answer;
            }
        }
        CancelAnswer::Done
    }

    /// Gives the lock up and removes the run.
    pub(crate) async fn release(&self, subject: Subject<'_>, owner: &Owner) -> ReleaseAnswer {
        for which in self.places(subject.engine) {
            let Some((_, executor)) = self.at(which) else { continue };
            let answer = executor.release(owner.clone(), subject.target).await;
            if answer != ReleaseAnswer::Released {
                return answer;
            }
        }
        ReleaseAnswer::Released
    }

    /// Refuses every start that is still under way at another executor, then sees whether it has the
    /// target. The order is what makes it safe: a start that comes later was decided after this.
    async fn keep_out(&self, remote: &Remote, owner: &Owner, target: &str) -> Result<Option<Taken>, String> {
        // Whoever releases makes the token grow, also one who never held the target.
        let fence = Owner { uid: format!("{}.fence", owner.uid), ..owner.clone() };
        // A lock that was left behind takes it twice: the holder's own requests may be one behind.
        for _ in 0..2 {
            if let ReleaseAnswer::Unavailable(why) = remote.executor.release(fence.clone(), target).await {
                return Err(why);
            }
            let lock = match remote.executor.lock(target).await {
                Reading::Found(lock) => lock,
                Reading::Unavailable(why) => return Err(why),
                Reading::Unread | Reading::Absent => return Ok(None),
            };
            let taken = taken(&lock, self.start_timeout, record::now());
            if taken.is_some() || lock.holder.is_none() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    /// An executor that cannot be asked is passed over when none of our executions can be there on
    /// this target: all that were ever sent to it stay until they are released.
    fn passes_over(&self, which: usize, why: &str, uid: &str, target: &str) -> Result<(), String> {
        let offers = self.offers.lock();
        let at_another = |engine: &Option<String>| {
            engine.as_deref().and_then(|engine| offers.known(engine)).is_some_and(|at| at != which)
        };
        if self.index.held_by_others(target, uid).is_some_and(|others| others.iter().all(at_another)) {
            return Ok(());
        }
        let address = self.at(which).map_or("", |(address, _)| address);
        Err(format!("{why} from {address}, where another execution may have this target"))
    }

    /// The executor that has an engine, after asking once more when none is known to.
    async fn find(&self, engine: &str) -> Result<usize, StartAnswer> {
        if self.count() == 1 {
            return Ok(0);
        }
        if let Route::At(own) = self.offers.lock().route(engine) {
            return Ok(own);
        }
        self.ask_everybody().await;
        match self.offers.lock().route(engine) {
            Route::At(own) => Ok(own),
            Route::Nowhere { available } => {
                let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
                let message = format!("no executor offers the engine '{engine}'; available are: {available}");
                Err(StartAnswer::Refused(Refusal { kind: RefusalKind::UnknownEngine, message }))
            }
            Route::Undecided { away } => {
                let away: Vec<_> = away.iter().filter_map(|which| Some(self.at(*which)?.0)).collect();
                let why =
                    format!("nobody who answers offers the engine '{engine}', and {} may", away.join(", "));
                Err(StartAnswer::Unavailable(why))
            }
        }
    }

    /// Has every executor say now what it offers.
    pub(crate) async fn ask_everybody(&self) {
        join_all((0..self.count()).map(|which| offers::ask(self, which))).await;
    }

    fn own(&self, engine: Option<&str>) -> Option<usize> {
        match &*self.all {
            [_] => Some(0),
            _ => self.offers.lock().known(engine?),
        }
    }

    /// Everybody, the one that has the engine first.
    fn order(&self, engine: Option<&str>) -> Vec<usize> {
        let own = self.own(engine);
        own.into_iter().chain((0..self.count()).filter(|which| Some(*which) != own)).collect()
    }

    /// Where a run of this engine can be: everywhere, when nobody is known to have the engine.
    fn places(&self, engine: Option<&str>) -> Vec<usize> {
        self.own(engine).map_or_else(|| (0..self.count()).collect(), |own| vec![own])
    }
}

#[cfg(test)]
mod model;
