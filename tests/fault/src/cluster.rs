//! The clusters that the faults happen in, each of their own, which end with their last user.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use evenkeel_cluster::{Bundle, Cluster, DEMO_STEP, Tier};
use serde_json::json;

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// A cluster, and what there is in it.
#[derive(Clone)]
pub struct Ground {
    cluster: Arc<Cluster>,
    /// Reference of the bundle that pipelines come from; none where there is no Tekton.
    pub bundle: Option<String>,
}

impl Ground {
    /// The one that everything in this process shares, started if there is none. Pods do not run in
    /// it: a stand-in plays the kubelet, so that rows are quick and many go side by side.
    pub async fn without_pods() -> anyhow::Result<Self> {
        let start = || {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(cluster) = shared.upgrade() {
                return Ok(cluster);
            }
            let cluster = Arc::new(Cluster::options().tier(Tier::ControlPlane).start()?);
            *shared = Arc::downgrade(&cluster);
            anyhow::Ok(cluster)
        };
        let cluster = tokio::task::spawn_blocking(start).await??;
        Ok(Self { cluster, bundle: None })
    }

    /// A new one where pods run, and pipelines by the real Tekton.
    pub async fn with_tekton() -> anyhow::Result<Self> {
        let start = || {
            let cluster = Cluster::options().tier(Tier::Node).tekton(true).start()?;
            let registry = cluster.registry()?;
            let bundle = registry.push_bundle("evenkeel/fault:1", &bundle(&registry.reference(DEMO_STEP)))?;
            anyhow::Ok(Self { cluster: Arc::new(cluster), bundle: Some(bundle) })
        };
        tokio::task::spawn_blocking(start).await?
    }

    /// Why there can be none with Tekton on this machine, if so.
    pub fn hindrance() -> Option<String> {
        let (tier, why) = Tier::best();
        (tier != Tier::Node).then_some(why)
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.kubeconfig_path()
    }

    /// Whether pods really run.
    pub fn has_node(&self) -> bool {
        self.cluster.tier() == Tier::Node
    }
}

/// The least pipeline that can take its time: one task, one step, this image.
fn bundle(image: &str) -> Bundle {
    let variables = ["TARGET_RESOURCE", "SLEEP_SECONDS"];
    let params = variables.map(|name| json!({"name": name, "type": "string", "default": ""}));
    let given = variables.map(|name| json!({"name": name, "value": format!("$(params.{name})")}));
    // It says what it runs, so that nobody has to read that from the image.
    let step = json!({"name": "act", "image": image, "command": ["/demo", "workflow"], "env": given});
    Bundle::new().object(json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": "workflow"},
        "spec": {
            "params": params,
            "tasks": [{
                "name": "repair",
                "params": given,
                "taskSpec": {"params": params, "steps": [step]},
            }],
        },
    }))
}
