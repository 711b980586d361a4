//! What is read from the Lease, and what is written into it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use tokio::time::Instant;

use super::identity::{Identity, PROCESS};

/// The Lease as it was seen, and since when it has been like that.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) holder: String,
    pub(super) transitions: i32,
    process: String,
    version: String,
    lasts: Duration,
    since: Instant,
}

impl Seen {
    /// Looks at the Lease. The time counts from when this version of it was first seen.
    pub(super) fn of(lease: &Lease, before: Option<Self>, now: Instant) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let annotations = lease.metadata.annotations.as_ref();
        let since = before.filter(|before| before.version == version).map_or(now, |before| before.since);
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            process: annotations.and_then(|all| all.get(PROCESS)).cloned().unwrap_or_default(),
            version,
            lasts: Duration::from_secs(spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs().into()),
            transitions: spec.lease_transitions.unwrap_or(0),
            since,
        }
    }

    /// Whether it may be taken: it is free, or ours, or was left alone for as long as its holder
    /// said, or for as long as we would. A process that comes back to its place takes what the one
    /// before left there, once.
    pub(super) fn may_be_taken(&self, me: &Identity, is_first: bool, lease: Duration, now: Instant) -> bool {
        let is_ours = self.holder == me.name() && (is_first || self.process == me.process());
        let is_left = now.duration_since(self.since) >= self.lasts.max(lease);
        self.holder.is_empty() || is_ours || is_left
    }
}

/// The Lease in our hands.
#[derive(Clone, Debug)]
pub(super) struct Held {
    lasts: Duration,
    transitions: i32,
    acquired: Timestamp,
    version: Option<String>,
}

impl Held {
    /// Acquired now.
    pub(super) fn new(lasts: Duration, transitions: i32) -> Self {
        Self { lasts, transitions, acquired: Timestamp::now(), version: None }
    }

    /// To be written over the Lease as it was found or answered, and over no other.
    pub(super) fn over(self, lease: &Lease) -> Self {
        Self { version: lease.metadata.resource_version.clone(), ..self }
    }

    /// Whether it is to be written over one that was seen.
    pub(super) fn is_seen(&self) -> bool {
        self.version.is_some()
    }

    /// What says that it is ours.
    pub(super) fn lease(&self, name: &str, me: &Identity) -> Lease {
        let whole_seconds = self.lasts.as_millis().div_ceil(1000);
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                annotations: Some(BTreeMap::from([(PROCESS.to_owned(), me.process().to_owned())])),
                resource_version: self.version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(me.name().to_owned()),
                lease_duration_seconds: i32::try_from(whole_seconds).ok(),
                lease_transitions: Some(self.transitions),
                acquire_time: Some(MicroTime(self.acquired)),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        }
    }

    /// What says that it is nobody's.
    pub(super) fn released(&self, name: &str, me: &Identity) -> Lease {
        let mut lease = self.lease(name, me);
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
        }
        lease
    }
}
