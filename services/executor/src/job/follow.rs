//! Follows the Jobs of the execution namespace, their pods and their warnings, and publishes the facts
//! of a run whenever one of them changes. Nothing is published before everything was seen once, since a
//! run without its pods looks like another.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    pin::pin,
};

use evenkeel_kit::shutdown::CancellationToken;
use evenkeel_proto::execution::v1::{Execution, ExecutionState};
use futures::{
    StreamExt as _,
    stream::{FuturesUnordered, select},
};
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

use super::{
    EXECUTION_LABEL,
    mask::Mask,
    observe::{self, Memory},
    words::{self, Answer, Question},
};
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
    let mut questions = FuturesUnordered::new();
    loop {
        let touched = tokio::select! {
            change = merged.next() => match change {
                Some(change) => seen.take_in(change),
                None => return,
            },
            Some(answer) = questions.next() => seen.learn(answer),
        };
        let touched = match (seen.is_synced(), runs.is_synced()) {
            (false, _) => continue,
            (true, false) => seen.all(),
            (true, true) => touched,
        };
        for run in touched {
            let question = seen.publish(&run, &runs);
            let ask = |question| words::ask(client.clone(), namespace.to_owned(), question);
            questions.extend(question.map(ask));
        }
        if !runs.is_synced() {
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
    /// What is remembered of a run, by its name.
    remembered: HashMap<String, Remembered>,
}

/// What is remembered of a run.
#[derive(Default)]
struct Remembered {
    /// Uid of the Job.
    uid: String,
    memory: Memory,
    secrets: Secrets,
}

/// Whether it is known what must not be told.
#[derive(Default)]
enum Secrets {
    #[default]
    Unasked,
    Asked,
    /// None when it could not be found out.
    Known(Option<Mask>),
}

impl Remembered {
    /// Adds what a failed container said last, as soon as it is known what to hide, and gives the
    /// question whose answer tells that.
    fn quote(&mut self, job: &Job, facts: &mut Execution) -> Option<Question> {
        let (Some(task), Some(printed)) = (&mut facts.failed_task, &self.memory.printed) else { return None };
        let mut question = None;
        if let Secrets::Unasked = self.secrets {
            let secrets = words::secrets_of(job);
            if secrets.is_empty() {
                self.secrets = Secrets::Known(Some(Mask::default()));
            } else {
                self.secrets = Secrets::Asked;
                question = Some(Question { run: job.name_any(), uid: self.uid.clone(), secrets });
            }
        }
        match &self.secrets {
            Secrets::Known(mask) => task.last_lines = words::tell(printed, mask.as_ref()),
            Secrets::Unasked | Secrets::Asked => hold_back(facts),
        }
        question
    }
}

/// The end of a run is final for those who hear of it, so it is told with all that belongs to it.
fn hold_back(facts: &mut Execution) {
    if facts.state() == ExecutionState::Failed {
        facts.set_state(ExecutionState::Running);
        "Ending".clone_into(&mut facts.reason);
        facts.completion_time = None;
    }
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

    /// All runs there are.
    fn all(&self) -> HashSet<String> {
        self.jobs.by_run.keys().cloned().collect()
    }

    /// Takes in what must not be told of a run.
    fn learn(&mut self, answer: Answer) -> HashSet<String> {
        let asked = self.remembered.get_mut(&answer.run).filter(|remembered| remembered.uid == answer.uid);
        if let Some(remembered) = asked {
            remembered.secrets = Secrets::Known(answer.mask);
        }
        HashSet::from([answer.run])
    }

    /// Publishes the facts of a run, and asks what must be known to tell all of them.
    fn publish(&mut self, run: &str, runs: &Runs) -> Option<Question> {
        let Some(job) = self.jobs.of(run).next() else {
            self.remembered.remove(run);
            runs.remove(run);
            return None;
        };
        let uid = job.uid().unwrap_or_default();
        let mut pods: Vec<&Pod> = self.pods.of(run).filter(|pod| belongs_to(pod, &uid)).collect();
        pods.sort_by_key(|pod| pod.creation_timestamp());
        let since = job.creation_timestamp();
        let mut warnings: Vec<&Event> = self
            .warnings
            .of(run)
            .filter(|event| event.creation_timestamp() >= since)
            .filter(|event| is_about(event, &uid, &pods))
            .collect();
        warnings.sort_by_key(|event| event.creation_timestamp());
        let remembered = self.remembered.entry(run.to_owned()).or_default();
        if remembered.uid != uid {
            *remembered = Remembered { uid, ..Remembered::default() };
        }
        let mut facts = observe::facts(job, &pods, &warnings, &mut remembered.memory);
        let question = remembered.quote(job, &mut facts);
        runs.publish(facts);
        question
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
