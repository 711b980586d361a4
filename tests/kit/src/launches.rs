//! Counts the runs that went live, however short they lived.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};
use tokio::{sync::watch, task::JoinHandle};

const OWNER_UID: &str = "evenkeel.dev/owner-uid";

/// Uids of the runs that went live, by the uid of their owner.
type Seen = BTreeMap<String, BTreeSet<String>>;

/// Follows the Jobs of one namespace. A Job counts once it was seen not suspended.
pub struct Launches {
    seen: watch::Receiver<anyhow::Result<Seen, String>>,
    task: JoinHandle<()>,
}

impl Launches {
    /// Starts to count, from what exists now.
    pub async fn follow(jobs: Api<Job>) -> anyhow::Result<Self> {
        let now = jobs.list(&ListParams::default()).await.context("list Jobs")?;
        let version = now.metadata.resource_version.context("a list has a version")?;
        let mut all = Seen::new();
        for job in &now.items {
            note(&mut all, job);
        }
        let (sender, seen) = watch::channel(Ok(all));
        let task = tokio::spawn(async move {
            // Not a `watcher`: it would list again after a gap and miss what came and went.
            if let Err(error) = watch_jobs(&jobs, version, &sender).await {
                let _ = sender.send_replace(Err(format!("{error:#}")));
            }
        });
        Ok(Self { seen, task })
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
        self.task.abort();
    }
}

async fn watch_jobs(
    jobs: &Api<Job>,
    mut version: String,
    sender: &watch::Sender<anyhow::Result<Seen, String>>,
) -> anyhow::Result<()> {
    loop {
        // The server ends a watch after some minutes; the next one goes on where it ended.
        let mut events = jobs.watch(&WatchParams::default(), &version).await?.boxed();
        while let Some(event) = events.next().await {
            let job = match event {
                Ok(WatchEvent::Added(job) | WatchEvent::Modified(job) | WatchEvent::Deleted(job)) => job,
                Ok(WatchEvent::Bookmark(mark)) => {
                    version.clone_from(&mark.metadata.resource_version);
                    continue;
                }
                Ok(WatchEvent::Error(status)) => anyhow::bail!("watch Jobs: {status:?}"),
                // The connection broke: the server may have been restarted.
                Err(_) => break,
            };
            version = job.resource_version().unwrap_or(version);
            sender.send_if_modified(|all| all.as_mut().is_ok_and(|all| note(all, &job)));
        }
    }
}

/// Notes a Job. Whether it is a run that went live and was not known.
fn note(all: &mut Seen, job: &Job) -> bool {
    let live = job.spec.as_ref().is_some_and(|spec| spec.suspend != Some(true));
    match (live, job.annotations().get(OWNER_UID), job.uid()) {
        (true, Some(owner), Some(uid)) => all.entry(owner.clone()).or_default().insert(uid),
        _ => false,
    }
}
