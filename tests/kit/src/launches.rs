//! Counts the runs that went live, however short they lived.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
};
use tokio::{sync::watch, task::JoinHandle};

const OWNER_UID: &str = "evenkeel.dev/owner-uid";

/// Uids of the runs that went live, by the uid of their owner.
type Seen = BTreeMap<String, BTreeSet<String>>;

/// What is known so far, or why no more became known.
type Known = watch::Sender<anyhow::Result<Seen, String>>;

/// Whether a run is live, or was.
type IsLive = fn(&DynamicObject) -> bool;

/// Follows the Jobs of one namespace, and its Tekton runs where Tekton is there from the beginning.
/// A Job counts once it was seen not suspended, a Tekton run once it was seen not pending.
pub struct Launches {
    seen: watch::Receiver<anyhow::Result<Seen, String>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Launches {
    /// Starts to count, from what exists now.
    pub async fn follow(jobs: Api<DynamicObject>, pipelines: Api<DynamicObject>) -> anyhow::Result<Self> {
        let kinds: [(_, IsLive); 2] = [
            (jobs, |job| job.data["spec"]["suspend"] != true),
            (pipelines, |run| run.data["spec"]["status"] != "PipelineRunPending"),
        ];
        let (known, seen) = watch::channel(Ok(Seen::new()));
        let mut tasks = Vec::new();
        for (api, is_live) in kinds {
            let now = match api.list(&ListParams::default()).await {
                Ok(now) => now,
                // Without Tekton its kind is not served.
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(error).context("list runs"),
            };
            let version = now.metadata.resource_version.context("a list has a version")?;
            for run in &now.items {
                note(&known, run, is_live);
            }
            let known = known.clone();
            tasks.push(tokio::spawn(async move {
                // Not a `watcher`: it would list again after a gap and miss what came and went.
                if let Err(error) = watch_runs(&api, version, is_live, &known).await {
                    let _ = known.send_replace(Err(format!("{error:#}")));
                }
            }));
        }
        Ok(Self { seen, tasks })
    }

    /// Whether Tekton runs are followed, too.
    pub fn follow_pipelines(&self) -> bool {
        self.tasks.len() > 1
    }

    /// How many runs of this owner went live so far.
    pub fn of(&self, owner_uid: &str) -> anyhow::Result<usize> {
        match &*self.seen.borrow() {
            Ok(all) => Ok(all.get(owner_uid).map_or(0, BTreeSet::len)),
            Err(error) => anyhow::bail!("runs were not followed to the end: {error}"),
        }
    }

    /// Waits until this many runs of this owner went live.
    pub async fn reach(&self, owner_uid: &str, count: usize, limit: Duration) -> anyhow::Result<()> {
        let mut seen = self.seen.clone();
        let enough = seen.wait_for(|all| {
            all.as_ref().map_or(true, |all| all.get(owner_uid).map_or(0, BTreeSet::len) >= count)
        });
        let reached = tokio::time::timeout(limit, enough).await;
        reached.with_context(|| format!("waited {limit:?} for {count} runs of {owner_uid}"))??;
        self.of(owner_uid).map(drop)
    }
}

impl Drop for Launches {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn watch_runs(
    api: &Api<DynamicObject>,
    mut version: String,
    is_live: IsLive,
    known: &Known,
) -> anyhow::Result<()> {
    loop {
        // The server ends a watch after some minutes; the next one goes on where it ended.
        let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
        while let Some(event) = events.next().await {
            let run = match event {
                Ok(WatchEvent::Added(run) | WatchEvent::Modified(run) | WatchEvent::Deleted(run)) => run,
                Ok(WatchEvent::Bookmark(mark)) => {
                    version.clone_from(&mark.metadata.resource_version);
                    continue;
                }
                Ok(WatchEvent::Error(status)) => anyhow::bail!("watch runs: {status:?}"),
                // The connection broke: the server may have been restarted.
                Err(_) => break,
            };
            note(known, &run, is_live);
            version = run.resource_version().unwrap_or(version);
        }
    }
}

/// Notes a run if it is live; those who wait hear of it if it was not known.
fn note(known: &Known, run: &DynamicObject, is_live: IsLive) {
    let (Some(owner), Some(uid)) = (run.annotations().get(OWNER_UID), run.uid()) else { return };
    if is_live(run) {
        let add = |all: &mut Seen| all.entry(owner.clone()).or_default().insert(uid);
        known.send_if_modified(|all| all.as_mut().is_ok_and(add));
    }
}
