//! The end of a run before it is removed: whoever finds no run any more may use the target.
//!
//! To delete a PipelineRun is not enough. Tekton may be about to make a TaskRun or a pod from what it read a
//! moment before, and the garbage collector waits only for what it has heard of. What Tekton has said is
//! over, on the other hand, it takes up no more. So a run is ended first, then what is below it is removed,
//! and the PipelineRun goes last.

use std::{collections::HashSet, fmt::Debug, pin::pin};

use evenkeel_kit::failpoint;
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

/// Ends this very run, and waits until Tekton says that it has ended. Tekton refuses every change of a run
/// that has, with a 400.
pub(super) async fn end(runs: &Api<PipelineRun>, run: &str, uid: &str) -> Result<()> {
    failpoint::hit("executor.end.before");
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": {"status": CANCEL_ALL}}));
    match object::patch(runs, run, uid, &patch).await {
        Ok(None) => return Ok(()),
        Ok(Some(_)) => {}
        Err(kube::Error::Api(status)) if status.code == 400 => {}
        Err(error) => return Err(error.into()),
    }
    failpoint::hit("executor.end.after");
    let is_over =
        |now: &PipelineRun| now.uid().as_deref() != Some(uid) || ending(&now.status.conditions).is_some();
    object::until(runs, run, is_over).await
}

/// Removes all that is below the run of this uid once its tasks have ended, and waits until it is gone.
pub(super) async fn clear(
    tasks: &Api<DeserializeGuard<TaskRun>>,
    pods: &Api<Pod>,
    run_uid: &str,
) -> Result<()> {
    // By its uid: a run that followed under its name is not touched.
    let below = format!("{PIPELINE_RUN_UID_LABEL}={run_uid}");
    // Of a task that cannot be read there are still its pods.
    let goes_on = |task: &TaskRun| ending(&task.status.conditions).is_none();
    until_none(tasks, &below, |task| task.0.as_ref().is_ok_and(goes_on)).await?;
    tasks.delete_collection(&DeleteParams::background(), &ListParams::default().labels(&below)).await?;
    until_none(tasks, &below, |_| true).await?;
    until_none(pods, &below, |_| true).await
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
