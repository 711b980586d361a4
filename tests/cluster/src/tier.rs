//! How much of a cluster.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::packages;

/// How much of a cluster runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// API server, etcd, controller manager and scheduler: objects live, pods stay pending.
    ControlPlane,
    /// All that and a node on which pods run.
    Node,
}

impl Tier {
    /// The highest tier this machine and user can have, and a sentence that says why.
    pub fn best() -> (Self, String) {
        match node_hindrance() {
            None => (Self::Node, "root on a machine with what a node needs: pods will run".into()),
            Some(why) => (Self::ControlPlane, format!("control plane only, no pods will run: {why}")),
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ControlPlane => "control plane",
            Self::Node => "node",
        })
    }
}

/// Why the node tier cannot run here, if so.
pub(crate) fn node_hindrance() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root".into());
    }
    // CAP_NET_ADMIN for bridges, CAP_SYS_ADMIN for mounts and namespaces.
    if !has_capability(12) || !has_capability(21) {
        return Some("a node needs the capabilities NET_ADMIN and SYS_ADMIN".into());
    }
    packages::hindrance()
}

fn has_capability(bit: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    set & (1 << bit) != 0
}
