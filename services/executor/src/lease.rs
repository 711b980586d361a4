//! The lock of a target: one Lease, whose holder is an attempt and whose `leaseTransitions` is the
//! fencing token.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_core::gate;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};

use crate::{
    attempt::Owner,
    error::{Error, Result},
};

const TARGET: &str = "evenkeel.dev/target";
const HOLDER: &str = "evenkeel.dev/holder";
const RELEASED: &str = "evenkeel.dev/released";
const LAUNCHED: &str = "evenkeel.dev/launched";

/// What the protocol sees of a lock: attempts and runs are known by their uids.
pub(crate) type Lock = evenkeel_core::start::Lease<String, String>;

/// The locks of one namespace.
#[derive(Clone)]
pub(crate) struct Leases {
    api: Api<Lease>,
    namespace: String,
}

/// A lock as it is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// What the protocol sees of it; none when there is no Lease yet.
    pub(crate) lock: Option<Lock>,
    /// Who holds it, for people; none when it is free.
    pub(crate) holder: Option<Owner>,
    /// Since when it is held.
    pub(crate) since: Option<Timestamp>,
    resource_version: Option<String>,
}

impl Stored {
    /// Whether whoever took it had the time for a start.
    pub(crate) fn is_left_behind(&self, timeout: Duration, now: Timestamp) -> bool {
        let now = now.as_millisecond();
        self.since.is_none_or(|since| gate::is_left_behind(since.as_millisecond(), timeout, now))
    }

    fn of(lease: Lease) -> Self {
        let annotations = lease.metadata.annotations.unwrap_or_default();
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.filter(|uid| !uid.is_empty());
        let path = annotations.get(HOLDER).map_or("", String::as_str);
        Self {
            holder: holder.as_ref().map(|uid| Owner::from_path(path, uid)),
            since: holder.as_ref().and(spec.acquire_time).map(|time| time.0),
            lock: Some(Lock {
                holder,
                token: i64::from(spec.lease_transitions.unwrap_or(0)),
                released: annotations.get(RELEASED).cloned(),
                launched: annotations.get(LAUNCHED).cloned(),
            }),
            resource_version: lease.metadata.resource_version,
        }
    }
}

impl Leases {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned() }
    }

    /// Reads the lock from the API server.
    #[tracing::instrument(name = "k8s.lease.read", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.lease.name = name))]
    pub(crate) async fn read(&self, name: &str) -> Result<Stored> {
        Ok(self.api.get_opt(name).await?.map(Stored::of).unwrap_or_default())
    }

    /// Writes the lock if it is still as it was read. None when it has changed meanwhile.
    #[tracing::instrument(name = "k8s.lease.write", skip_all, fields(otel.kind = "client",
        k8s.namespace.name = self.namespace, k8s.lease.name = name, evenkeel.token = to.token))]
    pub(crate) async fn write(
        &self,
        name: &str,
        target: &str,
        from: &Stored,
        to: Lock,
        holder: Option<&Owner>,
    ) -> Result<Option<Stored>> {
        let same_holder = from.lock.as_ref().is_some_and(|lock| lock.holder == to.holder);
        let since = if same_holder { from.since } else { Some(Timestamp::now()) };
        let lease = render(name, target, from, to, holder, since);
        let written = match &from.resource_version {
            None => self.api.create(&PostParams::default(), &lease).await,
            Some(_) => self.api.replace(name, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => Ok(Some(Stored::of(lease))),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => match &from.resource_version {
                // Somebody deleted it meanwhile, so it has moved, too.
                Some(_) => Ok(None),
                None => Err(Error::NamespaceMissing(self.namespace.clone())),
            },
            Err(error) => Err(error.into()),
        }
    }
}

fn render(
    name: &str,
    target: &str,
    from: &Stored,
    to: Lock,
    holder: Option<&Owner>,
    since: Option<Timestamp>,
) -> Lease {
    let mut annotations = BTreeMap::from([(TARGET.to_owned(), target.to_owned())]);
    annotations.extend(holder.map(|owner| (HOLDER.to_owned(), owner.path())));
    annotations.extend(to.released.map(|uid| (RELEASED.to_owned(), uid)));
    annotations.extend(to.launched.map(|uid| (LAUNCHED.to_owned(), uid)));
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: from.resource_version.clone(),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            acquire_time: to.holder.as_ref().and(since).map(MicroTime),
            holder_identity: Some(to.holder.unwrap_or_default()),
            // Transitions of one target in a lifetime stay far below 2^31.
            lease_transitions: Some(i32::try_from(to.token).unwrap_or(i32::MAX)),
            ..LeaseSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(holder: Option<&str>, token: i64, launched: Option<&str>) -> Lock {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Lock { holder: text(holder), token, released: Some("before".to_owned()), launched: text(launched) }
    }

    fn stored(to: Lock, since: Timestamp) -> Stored {
        let holder =
            to.holder.as_ref().map(|uid| Owner { uid: uid.clone(), ..Owner::from_path("ops/fix", "") });
        Stored::of(render("wfe-1", "Node/a", &Stored::default(), to, holder.as_ref(), Some(since)))
    }

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let since: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for held in [lock(Some("u-1"), 4, None), lock(Some("u-1"), 4, Some("run-1"))] {
            let stored = stored(held.clone(), since);
            assert_eq!((stored.lock, stored.since), (Some(held), Some(since)));
            assert_eq!(stored.holder.unwrap().path(), "ops/fix");
        }
    }

    #[test]
    fn a_free_lock_has_no_holder_no_run_and_no_age() {
        let free = stored(lock(None, 5, None), Timestamp::UNIX_EPOCH);
        assert_eq!((free.holder, free.since), (None, None));
        assert_eq!(free.lock, Some(lock(None, 5, None)));
    }

    #[test]
    fn an_attempt_is_late_once_the_timeout_is_over_and_a_clock_that_was_set_back_keeps_no_lock() {
        let timeout = Duration::from_secs(30);
        let held = stored(lock(Some("u-1"), 1, None), Timestamp::UNIX_EPOCH);
        for (seconds, late) in [(-3600, true), (-31, true), (-30, false), (0, false), (29, false), (30, true)]
        {
            let now = Timestamp::from_second(seconds).unwrap();
            assert_eq!(held.is_left_behind(timeout, now), late, "{seconds}");
        }
    }
}
