//! The logs of pods, read while these run: a run is removed with its pods once its target is
//! released, which may be soon.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures::{AsyncReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::LogParams,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::task::JoinHandle;

const RUN: &str = "batch.kubernetes.io/job-name";
const LIMIT: Duration = Duration::from_secs(10);

type Reading = JoinHandle<anyhow::Result<String>>;

/// Reads the logs of all pods of a namespace until it is dropped.
pub(super) struct PodLogs {
    /// By the name of the run.
    readings: Arc<Mutex<BTreeMap<String, Reading>>>,
    task: JoinHandle<()>,
}

impl PodLogs {
    /// Begins.
    pub(super) fn follow(pods: Api<Pod>) -> Self {
        let readings = Arc::<Mutex<BTreeMap<String, Reading>>>::default();
        let known = readings.clone();
        let task = tokio::spawn(async move {
            let changes =
                watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects();
            let noted = changes.try_for_each(|pod| {
                if let (Some(run), true) = (pod.labels().get(RUN), has_begun(&pod)) {
                    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    known
                        .entry(run.clone())
                        .or_insert_with(|| tokio::spawn(read(pods.clone(), pod.name_any())));
                }
                std::future::ready(Ok(()))
            });
            if let Err(error) = noted.await {
                eprintln!("could not follow pods: {error}");
            }
        });
        Self { readings, task }
    }

    /// The whole log of the pod of a run that has ended.
    pub(super) async fn of(&self, run: &str) -> anyhow::Result<String> {
        let reading = self.readings.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        let reading = reading.context("it had no pod that began")?;
        tokio::time::timeout(LIMIT, reading).await.context("its log does not end")??
    }
}

impl Drop for PodLogs {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn has_begun(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut states = statuses.filter_map(|status| status.state.as_ref());
    states.any(|state| state.running.is_some() || state.terminated.is_some())
}

async fn read(pods: Api<Pod>, pod: String) -> anyhow::Result<String> {
    let all = LogParams { follow: true, ..LogParams::default() };
    let mut stream = std::pin::pin!(pods.log_stream(&pod, &all).await?);
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
