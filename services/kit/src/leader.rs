//! Leader election: of several replicas one leads, the one that holds a Lease.
//!
//! A leader stops by its own clock before anybody else may take over by theirs: what it may do ends
//! [`Timing::deadline`] after the last renewal was *begun*, and others wait [`Timing::lease`] after
//! they *saw* that renewal, which is later. Wall clocks are written down for people and never read,
//! so clocks that differ or jump change nothing.
//!
//! This keeps replicas from getting in each other's way. It is not what makes effects happen once:
//! a process that is stopped between looking at its clock and writing can still be late, so every
//! write must be conditional all the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{failpoint, readiness::Readiness};

mod claim;
mod identity;

use claim::{Held, Seen};
pub use identity::Identity;

/// Readiness: the API server answers.
const KUBERNETES: &str = "kubernetes";
/// Readiness: the Lease can be read and written.
const LEASE: &str = "lease";
/// How many failures in a row are told as one.
const TOLD_ONCE: u32 = 60;
/// How long giving the Lease up may take; if it takes longer, it runs out.
const RELEASE_LIMIT: Duration = Duration::from_millis(500);

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others leave a Lease alone that is not renewed.
    pub lease: Duration,
    /// How long a leader leads on without a renewal that succeeded. Shorter than `lease`.
    pub deadline: Duration,
    /// How often a leader renews.
    pub renew: Duration,
    /// How often the others look, and a leader tries again.
    pub look: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(12),
            deadline: Duration::from_secs(8),
            renew: Duration::from_secs(2),
            look: Duration::from_millis(500),
        }
    }
}

/// Whether this process leads; cheap to clone and to ask.
#[derive(Clone)]
pub struct Leadership {
    begun: Instant,
    /// Milliseconds after `begun` until which it leads.
    until: Arc<AtomicU64>,
}

impl Leadership {
    /// That of a process that has nobody beside it.
    pub fn always() -> Self {
        Self { begun: Instant::now(), until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// That of a process that leads nothing.
    pub fn never() -> Self {
        Self { begun: Instant::now(), until: Arc::default() }
    }

    /// Whether this process may act now.
    pub fn holds(&self) -> bool {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        now < self.until.load(Ordering::Acquire)
    }

    fn extend(&self, until: Instant) {
        let millis = until.saturating_duration_since(self.begun).as_millis();
        self.until.store(u64::try_from(millis).unwrap_or(u64::MAX - 1), Ordering::Release);
    }

    fn end(&self) {
        self.until.store(0, Ordering::Release);
    }
}

/// Takes part in an election.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    me: Identity,
    timing: Timing,
    readiness: Readiness,
    seen: Option<Seen>,
    /// Whether the Lease was never looked at before.
    is_first: bool,
    waits_for: String,
    leadership: Leadership,
    /// The Lease as we wrote it last.
    held: Option<Held>,
    failures: u32,
}

impl Elector {
    /// Takes part for the Lease `name` of `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str, me: Identity, readiness: Readiness) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            me,
            timing: Timing::default(),
            readiness,
            seen: None,
            is_first: true,
            waits_for: String::new(),
            leadership: Leadership::never(),
            held: None,
            failures: 0,
        }
    }

    /// The same with other times.
    #[must_use]
    pub fn timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// Waits until this process leads. Cancelled at will: whoever does so calls [`Elector::release`].
    pub async fn win(&mut self) -> Leadership {
        loop {
            let begun = Instant::now();
            let attempt = self.attempt().await;
            self.readiness.set(LEASE, attempt.is_ok());
            match attempt {
                Ok(true) => {
                    self.failures = 0;
                    self.leadership = Leadership::never();
                    self.leadership.extend(begun + self.timing.deadline);
                    self.waits_for.clear();
                    tracing::info!(lease = self.name, holder = %self.me, "leading");
                    return self.leadership.clone();
                }
                Ok(false) => self.failures = 0,
                Err(error) => self.failed("could not take part in the leader election", &error),
            }
            sleep(self.timing.look).await;
        }
    }

    /// Renews until the leadership is lost.
    pub async fn keep(&mut self) {
        let mut ends = Instant::now() + self.timing.deadline;
        let mut pause = self.timing.renew;
        while self.leadership.holds() {
            sleep(pause).await;
            let begun = Instant::now();
            pause = self.timing.look;
            match timeout_at(ends, self.renew()).await {
                Ok(Ok(true)) => {
                    self.failures = 0;
                    ends = begun + self.timing.deadline;
                    self.leadership.extend(ends);
                    pause = self.timing.renew;
                }
                Ok(Ok(false)) | Err(_) => break,
                Ok(Err(error)) => self.failed("could not renew the lease", &error),
            }
        }
        self.leadership.end();
        self.held = None;
        tracing::warn!(lease = self.name, holder = %self.me, "no longer leading");
    }

    /// Stops leading and lets others take over at once. What must not overlap with them has ended.
    pub async fn release(&mut self) {
        self.leadership.end();
        let Some(held) = self.held.take() else { return };
        match timeout(RELEASE_LIMIT, self.give_up(held)).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "gave the lease up"),
            Ok(Err(error)) => tracing::info!("could not give the lease up, it runs out: {error}"),
            Err(_) => tracing::info!("could not give the lease up in time, it runs out"),
        }
    }

    async fn give_up(&self, held: Held) -> kube::Result<()> {
        let parameters = PostParams::default();
        let free = held.released(&self.name, &self.me);
        failpoint::hit("controller.lease.give_up.before");
        let given_up = self.api.replace(&self.name, &parameters, &free).await;
        failpoint::hit("controller.lease.give_up.after");
        match given_up {
            // A renewal may have been under way.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = self.api.get(&self.name).await?;
                if self.me.wrote(&found) {
                    let free = held.over(&found).released(&self.name, &self.me);
                    self.api.replace(&self.name, &parameters, &free).await?;
                }
                Ok(())
            }
            written => written.map(drop),
        }
    }

    /// Takes the Lease if it may be taken.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let found = self.limited(self.api.get_opt(&self.name)).await?;
        let is_first = std::mem::take(&mut self.is_first);
        let Some(found) = found else {
            let held = Held::new(self.timing.lease, 0);
            failpoint::hit("controller.lease.create.before");
            let created = self.api.create(&PostParams::default(), &held.lease(&self.name, &self.me)).await;
            failpoint::hit("controller.lease.create.after");
            return self.written(held, created);
        };
        let now = Instant::now();
        let seen = Seen::of(&found, self.seen.take(), now);
        let may_take = seen.may_be_taken(&self.me, is_first, self.timing.lease, now);
        if !may_take && self.waits_for != seen.holder {
            tracing::info!(lease = self.name, holder = seen.holder, "another replica leads, standing by");
            self.waits_for.clone_from(&seen.holder);
        }
        let held = Held::new(self.timing.lease, seen.transitions.saturating_add(1)).over(&found);
        self.seen = Some(seen);
        if !may_take {
            return Ok(false);
        }
        failpoint::hit("controller.lease.acquire.before");
        let taken = self.write(held).await;
        failpoint::hit("controller.lease.acquire.after");
        taken
    }

    /// Whether the Lease is still ours, and renewed.
    async fn renew(&mut self) -> kube::Result<bool> {
        let Some(held) = self.held.clone() else { return Ok(false) };
        failpoint::hit("controller.lease.renew.before");
        let renewed = self.write(held.clone()).await;
        failpoint::hit("controller.lease.renew.after");
        if renewed? {
            return Ok(true);
        }
        // It is not as it was written: somebody may have labelled it, or an earlier renewal may have
        // arrived although its answer did not.
        match self.limited(self.api.get_opt(&self.name)).await? {
            Some(found) if self.me.wrote(&found) => self.write(held.over(&found)).await,
            _ => Ok(false),
        }
    }

    /// Writes the Lease. False when it is not as it was last seen.
    async fn write(&mut self, held: Held) -> kube::Result<bool> {
        let lease = held.lease(&self.name, &self.me);
        let written = self.limited(self.api.replace(&self.name, &PostParams::default(), &lease)).await;
        self.written(held, written)
    }

    fn written(&mut self, held: Held, answer: kube::Result<Lease>) -> kube::Result<bool> {
        match answer {
            Ok(lease) => {
                self.held = Some(held.over(&lease));
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            // It was there when it was looked at.
            Err(kube::Error::Api(status)) if status.code == 404 && held.is_seen() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A request that is given up in time for another one. Notes whether there was an answer.
    async fn limited<T>(&self, request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        let answer = timeout(self.timing.deadline / 3, request).await;
        let answer = answer.unwrap_or_else(|_| Err(kube::Error::Service("no answer in time".into())));
        self.readiness.set(KUBERNETES, matches!(&answer, Ok(_) | Err(kube::Error::Api(_))));
        answer
    }

    fn failed(&mut self, what: &str, error: &kube::Error) {
        if self.failures.is_multiple_of(TOLD_ONCE) {
            tracing::warn!(lease = self.name, "{what}, trying on: {error}");
        }
        self.failures += 1;
    }
}

#[cfg(test)]
mod tests;
