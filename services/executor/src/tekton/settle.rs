//! The end of a run before it is removed: whoever finds no run any more may use the target.
//!
//! To delete a PipelineRun is not enough. Tekton may be about to make a TaskRun or a pod from what it read a
//! moment before, and the garbage collector waits only for what it has heard of. What Tekton has said is
//! over, on the other hand, it takes up no more. So a run is ended first, then what is below it is removed,
//! and the PipelineRun goes last.

use std::{collections::HashSet, fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch},
    core::DeserializeGuard,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::types::{PIPELINE_RUN_UID_LABEL, PipelineRun, TaskRun, ending};
use crate::{
    error::{Error, Result},
    object,
};

/// What ends a run at once, without what the pipeline does finally: nobody waits for that any more.
const CANCEL_ALL: &str = "Cancelled";
/// How long one request waits; the caller asks again after that.
const LIMIT: Duration = Duration::from_secs(3);

/// What a run consists of.
pub(super) struct Parts<'a> {
    pub(super) runs: &'a Api<PipelineRun>,
    pub(super) tasks: &'a Api<DeserializeGuard<TaskRun>>,
    pub(super) pods: &'a Api<Pod>,
}

impl Parts<'_> {
    /// Ends this very run, if it goes on, and removes all that is below it. False when that takes longer.
    pub(super) async fn settle(&self, run: &str, uid: &str, goes_on: bool) -> Result<bool> {
        match tokio::time::timeout(LIMIT, self.settled(run, uid, goes_on)).await {
            Ok(settled) => settled.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    async fn settled(&self, run: &str, uid: &str, goes_on: bool) -> Result<()> {
        if goes_on {
            self.end(run, uid).await?;
        }
        // By its uid: a run that followed under its name is not touched.
        let below = format!("{PIPELINE_RUN_UID_LABEL}={uid}");
        // Of a task that cannot be read there are still its pods.
        let goes_on = |task: &TaskRun| -> bool { ending(&task.status.conditions).is_none() };
        until_none(self.tasks, &below, |task| task.0.as_ref().is_ok_and(goes_on)).await?;
        self.tasks
            .delete_collection(&DeleteParams::background(), &ListParams::default().labels(&below))
            .await?;
        until_none(self.tasks, &below, |_| true).await?;
        until_none(self.pods, &below, |_| true).await
    }

    /// Tekton refuses every change of a run that has ended, with a 400.
    async fn end(&self, run: &str, uid: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": {"status": CANCEL_ALL}}));
        match object::patch(self.runs, run, uid, &patch).await {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {}
            Err(kube::Error::Api(status)) if status.code == 400 => {}
            Err(error) => return Err(error.into()),
        }
        let is_over =
            |now: &PipelineRun| now.uid().as_deref() != Some(uid) || ending(&now.status.conditions).is_some();
        object::until(self.runs, run, is_over).await
    }
}

/// Waits until no object with this label is one that counts.
async fn until_none<K>(api: &Api<K>, label: &str, counts: impl Fn(&K) -> bool) -> Result<()>
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut changes = pin!(watcher::watcher(api.clone(), watcher::Config::default().labels(label)));
    let (mut left, mut is_listed) = (HashSet::new(), false);
    while let Some(change) = changes.next().await {
        match change.map_err(|error| Error::Unavailable(error.to_string()))? {
            Event::Init => left.clear(),
            Event::InitDone => is_listed = true,
            Event::Apply(object) | Event::InitApply(object) if counts(&object) => {
                left.insert(object.name_any());
            }
            Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                left.remove(&object.name_any());
            }
        }
        if is_listed && left.is_empty() {
            return Ok(());
        }
    }
    Err(Error::Unavailable("a watch ended".to_owned()))
}
