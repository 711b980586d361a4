//! Follows the Jobs of the execution namespace, their pods and their warnings, and publishes the facts
//! of a run whenever one of them changes.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    pin::pin,
};

use evenkeel_kit::shutdown::CancellationToken;
use evenkeel_proto::execution::v1::FailedTask;
use futures::{StreamExt as _, stream::select};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;

use super::{EXECUTION_LABEL, observe};
use crate::runs::Runs;

const JOB_NAME_LABEL: &str = "batch.kubernetes.io/job-name";
/// Pods of a Job are named like it, a dash and five characters.
const POD_SUFFIX: usize = 6;

/// A change of one of the objects that a run consists of.
enum Change {
    Job(Update<Job>),
    Pod(Update<Pod>),
    Warning(Update<Event>),
}

/// A change of one kind of object. A watch that starts, or starts again, lists everything first; what
/// is not in the list by its end is gone.
enum Update<K> {
    Listing,
    Listed,
    There { run: String, name: String, object: Box<K> },
    Gone { run: String, name: String },
}

/// Publishes facts until shutdown. Watches are resumed for ever, also past 410 Gone.
pub(super) async fn follow(client: Client, namespace: &str, runs: Runs, shutdown: CancellationToken) {
    let labelled = watcher::Config::default().labels(EXECUTION_LABEL);
    let warnings = watcher::Config::default().fields("type=Warning");
    let jobs = changes::<Job>(&client, namespace, labelled.clone(), |job| Some(job.name_any()));
    let pods = changes::<Pod>(&client, namespace, labelled, |pod| pod.labels().get(JOB_NAME_LABEL).cloned());
    let warnings = changes::<Event>(&client, namespace, warnings, run_of_warning);
    let merged = select(jobs.map(Change::Job), select(pods.map(Change::Pod), warnings.map(Change::Warning)));
    let mut merged = pin!(merged.take_until(shutdown.cancelled_owned()));
    let mut seen = Seen::default();
    while let Some(change) = merged.next().await {
        for run in seen.take_in(change) {
            seen.publish(&run, &runs);
        }
        if !runs.is_synced() && seen.is_synced() {
            runs.set_synced();
        }
    }
}

fn changes<K>(
    client: &Client,
    namespace: &str,
    config: watcher::Config,
    run: impl Fn(&K) -> Option<String> + Send + 'static,
) -> impl futures::Stream<Item = Update<K>> + Send + 'static
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(client.clone(), namespace);
    watcher(api, config).default_backoff().filter_map(move |event| {
        let update = match event {
            Ok(watcher::Event::Init) => Some(Update::Listing),
            Ok(watcher::Event::InitDone) => Some(Update::Listed),
            Ok(watcher::Event::InitApply(guard) | watcher::Event::Apply(guard)) => there(guard, &run),
            Ok(watcher::Event::Delete(guard)) => guard
                .0
                .ok()
                .and_then(|object| Some(Update::Gone { run: run(&object)?, name: object.name_any() })),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), "the watch was interrupted: {error}");
                None
            }
        };
        futures::future::ready(update)
    })
}

/// One object that cannot be read never stops the stream.
fn there<K: kube::Resource<DynamicType = ()>>(
    guard: DeserializeGuard<K>,
    run: &impl Fn(&K) -> Option<String>,
) -> Option<Update<K>> {
    match guard.0 {
        Ok(object) => {
            let name = object.name_any();
            run(&object).map(|run| Update::There { run, name, object: Box::new(object) })
        }
        Err(invalid) => {
            let name = invalid.metadata.name.unwrap_or_default();
            tracing::warn!(kind = %K::kind(&()), name, "skipped an object that cannot be read: {}", invalid.error);
            None
        }
    }
}

/// Warnings are about the Job itself or about one of its pods.
fn run_of_warning(event: &Event) -> Option<String> {
    let name = event.involved_object.name.as_deref()?;
    match event.involved_object.kind.as_deref()? {
        "Job" => Some(name.to_owned()),
        "Pod" => name.len().checked_sub(POD_SUFFIX).and_then(|end| name.get(..end)).map(str::to_owned),
        _ => None,
    }
}

/// Everything seen of the runs.
#[derive(Default)]
struct Seen {
    jobs: Objects<Job>,
    pods: Objects<Pod>,
    warnings: Objects<Event>,
    /// What was true of a run once and that its objects may not tell any more, by the Job's uid: the
    /// pods of a Job that failed by its deadline are removed.
    remembered: HashMap<String, Remembered>,
}

#[derive(Default)]
struct Remembered {
    started: bool,
    task: Option<FailedTask>,
}

impl Seen {
    /// Takes a change in and names the runs whose facts may have changed.
    fn take_in(&mut self, change: Change) -> HashSet<String> {
        match change {
            Change::Job(update) => self.jobs.take_in(update),
            Change::Pod(update) => self.pods.take_in(update),
            Change::Warning(update) => self.warnings.take_in(update),
        }
    }

    fn is_synced(&self) -> bool {
        self.jobs.synced && self.pods.synced && self.warnings.synced
    }

    fn publish(&mut self, run: &str, runs: &Runs) {
        let Some(job) = self.jobs.of(run).next() else {
            if let Some(gone) = runs.get(run) {
                self.remembered.remove(&gone.run_uid);
                runs.remove(run);
            }
            return;
        };
        let uid = job.uid().unwrap_or_default();
        let pods: Vec<&Pod> = self.pods.of(run).filter(|pod| belongs_to(pod, &uid)).collect();
        let since = job.creation_timestamp();
        let mut warnings: Vec<&Event> = self
            .warnings
            .of(run)
            .filter(|event| event.creation_timestamp() >= since)
            .filter(|event| is_about(event, &uid, &pods))
            .collect();
        warnings.sort_by_key(|event| event.creation_timestamp());
        let mut facts = observe::facts(job, &pods, &warnings);
        let remembered = self.remembered.entry(uid).or_default();
        remembered.started |= facts.workflow_started;
        facts.workflow_started = remembered.started;
        if facts.failed_task.is_some() {
            remembered.task.clone_from(&facts.failed_task);
        } else if pods.is_empty() && !facts.workflow_started {
            facts.failed_task.clone_from(&remembered.task);
        }
        runs.publish(facts);
    }
}

fn belongs_to(pod: &Pod, job_uid: &str) -> bool {
    pod.owner_references().iter().any(|owner| owner.uid == job_uid)
}

/// Warnings about an earlier Job of the same name are none of this one.
fn is_about(event: &Event, job_uid: &str, pods: &[&Pod]) -> bool {
    let about = &event.involved_object;
    match about.kind.as_deref() {
        Some("Job") => about.uid.as_deref() == Some(job_uid),
        _ => pods.is_empty() || pods.iter().any(|pod| pod.uid() == about.uid),
    }
}

/// All objects of one kind, by run and name.
struct Objects<K> {
    by_run: HashMap<String, HashMap<String, K>>,
    /// While a list is being read: what it has brought so far.
    listing: Option<HashSet<(String, String)>>,
    synced: bool,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { by_run: HashMap::new(), listing: None, synced: false }
    }
}

impl<K> Objects<K> {
    fn of(&self, run: &str) -> impl Iterator<Item = &K> {
        self.by_run.get(run).into_iter().flat_map(HashMap::values)
    }

    fn take_in(&mut self, update: Update<K>) -> HashSet<String> {
        match update {
            Update::Listing => {
                self.listing = Some(HashSet::new());
                HashSet::new()
            }
            Update::Listed => {
                self.synced = true;
                self.drop_unlisted()
            }
            Update::There { run, name, object } => {
                if let Some(listing) = &mut self.listing {
                    listing.insert((run.clone(), name.clone()));
                }
                self.by_run.entry(run.clone()).or_default().insert(name, *object);
                HashSet::from([run])
            }
            Update::Gone { run, name } => {
                self.drop_one(&run, &name);
                HashSet::from([run])
            }
        }
    }

    fn drop_unlisted(&mut self) -> HashSet<String> {
        let listed = self.listing.take().unwrap_or_default();
        let all = self.by_run.iter();
        let gone: Vec<(String, String)> = all
            .flat_map(|(run, names)| names.keys().map(move |name| (run.clone(), name.clone())))
            .filter(|key| !listed.contains(key))
            .collect();
        for (run, name) in &gone {
            self.drop_one(run, name);
        }
        gone.into_iter().map(|(run, _)| run).collect()
    }

    fn drop_one(&mut self, run: &str, name: &str) {
        if let Some(names) = self.by_run.get_mut(run) {
            names.remove(name);
            if names.is_empty() {
                self.by_run.remove(run);
            }
        }
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
