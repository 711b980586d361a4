//! Who a replica is.

use std::{fmt, fs, net::SocketAddr};

use k8s_openapi::api::coordination::v1::Lease;
use uuid::Uuid;

/// Annotation that tells processes of one name apart.
pub(super) const PROCESS: &str = "evenkeel.dev/process";

/// Who a replica is: a name for its place, and an id for this very process.
///
/// The place is a port that this process listens on, in this network namespace of this machine
/// since it was started. Nobody else can listen there at the same time, so whoever had the same
/// name before is gone. That is why a process that comes back to its place need not wait for what
/// it left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: String,
    process: String,
}

impl Identity {
    /// The process that listens on `address` and has done so since before this call.
    pub fn listening_on(address: SocketAddr) -> Self {
        let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let host = read("/proc/sys/kernel/hostname").filter(|host| !host.is_empty());
        let boot = read("/proc/sys/kernel/random/boot_id");
        let network = fs::read_link("/proc/self/ns/net").ok();
        let place = match (boot, network) {
            (Some(boot), Some(network)) => {
                let place = format!("{boot} {} {address}", network.display());
                Uuid::new_v5(&Uuid::NAMESPACE_OID, place.as_bytes())
            }
            // Without them nothing is proved, so this name is never seen again.
            _ => Uuid::new_v4(),
        };
        let mark = place.simple().to_string();
        Self::new(&format!("{}_{}", host.as_deref().unwrap_or("replica"), mark.get(..12).unwrap_or(&mark)))
    }

    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), process: Uuid::new_v4().to_string() }
    }

    /// The name, as the Lease shows it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn process(&self) -> &str {
        &self.process
    }

    /// Whether this very process holds the Lease.
    pub(super) fn wrote(&self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        let process = lease.metadata.annotations.as_ref().and_then(|all| all.get(PROCESS));
        holder == Some(&self.name) && process == Some(&self.process)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
