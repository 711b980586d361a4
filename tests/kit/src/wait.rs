//! Waiting for an object to become what a test expects, through a watch.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::{Serialize, de::DeserializeOwned};

/// Waits until the object `name` satisfies `condition` and returns it. When it does not in time,
/// the error shows the object as it was last seen.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    condition: impl Fn(&K) -> bool,
) -> anyhow::Result<K>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut last = None;
    let followed = follow(api, name, |object| {
        let met = object.is_some_and(&condition);
        last = object.cloned();
        met
    });
    match tokio::time::timeout(limit, followed).await {
        Ok(Ok(())) => last.with_context(|| format!("{name} vanished while waiting for {what}")),
        Ok(Err(error)) => Err(error.context(format!("wait for {what} of {name}"))),
        Err(_) => {
            bail!("waited {limit:.0?} for {what} of {name}; it was last seen as\n{}", shown(last.as_ref()))
        }
    }
}

/// Waits until no object `name` exists.
pub async fn until_gone<K>(api: &Api<K>, name: &str, limit: Duration) -> anyhow::Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut last = None;
    let followed = follow(api, name, |object| {
        last = object.cloned();
        object.is_none()
    });
    match tokio::time::timeout(limit, followed).await {
        Ok(followed) => followed.with_context(|| format!("wait for {name} to be gone")),
        Err(_) => {
            bail!("waited {limit:.0?} for {name} to be gone; it was last seen as\n{}", shown(last.as_ref()))
        }
    }
}

/// Shows every state of the object to `look`, absence included, until that answers true.
async fn follow<K>(api: &Api<K>, name: &str, mut look: impl FnMut(Option<&K>) -> bool) -> anyhow::Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let states = watcher::watch_object(api.clone(), name).default_backoff();
    let mut states = std::pin::pin!(states);
    loop {
        match states.try_next().await {
            Ok(Some(object)) if look(object.as_ref()) => return Ok(()),
            Ok(None) => bail!("the watch ended"),
            // The watcher starts again by itself, more slowly each time; the deadline decides.
            Err(watcher::Error::InitialListFailed(error)) if !is_passing(&error) => return Err(error.into()),
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

fn is_passing(error: &kube::Error) -> bool {
    !matches!(error, kube::Error::Api(status) if status.code == 403 || status.code == 404)
}

fn shown(object: Option<&impl Serialize>) -> String {
    object.map_or_else(
        || "(absent)".to_owned(),
        |object| serde_saphyr::to_string(object).unwrap_or_else(|error| error.to_string()),
    )
}
