//! A stand-in for the kubelet where there is no node: it gives pods the status that a kubelet
//! would, from what their environment tells the demo workflow to do. No container runs.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Plays the kubelet for the pods of one namespace until it is dropped.
pub struct StandIn(JoinHandle<()>);

impl StandIn {
    /// Begins.
    pub fn begin(pods: Api<Pod>) -> Self {
        Self(tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            let changes =
                watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects();
            let played = changes.for_each(|pod| {
                // A watch that broke begins anew by itself.
                if let Ok(pod) = pod
                    && seen.insert(pod.uid())
                {
                    tokio::spawn(play(pods.clone(), pod));
                }
                std::future::ready(())
            });
            played.await;
        }))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The life of one pod.
async fn play(pods: Api<Pod>, pod: Pod) {
    let Some(container) = pod.spec.as_ref().and_then(|spec| spec.containers.first()) else { return };
    let begun = Timestamp::now();
    let running = json!({"running": {"startedAt": begun.to_string()}});
    if !set(&pods, &pod, container, "Running", running).await {
        return;
    }
    // The workflow's own time, not a wait for something to happen.
    tokio::time::sleep(Duration::from_secs_f64(number(container, "SLEEP_SECONDS").max(0.0))).await;
    #[expect(clippy::cast_possible_truncation, reason = "exit codes are small")]
    let code = number(container, "EXIT_CODE") as i32;
    let (phase, reason) = if code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
    let ended = json!({"terminated": {
        "exitCode": code,
        "reason": reason,
        "startedAt": begun.to_string(),
        "finishedAt": Timestamp::now().to_string(),
    }});
    set(&pods, &pod, container, phase, ended).await;
}

/// Whether the pod still exists.
async fn set(pods: &Api<Pod>, pod: &Pod, container: &Container, phase: &str, state: Value) -> bool {
    let status = json!({"status": {
        "phase": phase,
        "containerStatuses": [{
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "ready": phase == "Running",
            "restartCount": 0,
            "state": state,
        }],
    }});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await.is_ok()
}

fn number(container: &Container, name: &str) -> f64 {
    let set = container.env.iter().flatten().find(|variable| variable.name == name);
    set.and_then(|variable| variable.value.as_ref()?.parse().ok()).unwrap_or(0.0)
}
