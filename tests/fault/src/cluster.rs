//! The cluster the faults happen in: a control plane of their own, which ends with its last user.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use evenkeel_cluster::{Cluster, Tier};

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// The cluster that everything in this process shares, started if there is none. Pods do not run
/// in it: a stand-in plays the kubelet, so that rows are quick and many go side by side.
pub async fn shared() -> anyhow::Result<Arc<Cluster>> {
    let start = || {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Ok(cluster);
        }
        let cluster = Arc::new(Cluster::options().tier(Tier::ControlPlane).start()?);
        *shared = Arc::downgrade(&cluster);
        Ok(cluster)
    };
    tokio::task::spawn_blocking(start).await?
}
