//! Follows the Jobs of the execution namespace, their pods and their warnings, and publishes the facts
//! of a run whenever one of them changes. Nothing is published before everything was seen once, since a
//! run without its pods looks like another.

use std::{
    collections::{HashMap, HashSet},
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
use kube::{Client, ResourceExt as _, runtime::watcher};

use super::{
    ENGINE,
    mask::Mask,
    observe::{self, Memory},
    words::{self, Answer, Question},
};
use crate::{
    marks::EXECUTION_LABEL,
    runs::Runs,
    watch::{self, Objects, Unreadable, Update, changes},
};

const JOB_NAME_LABEL: &str = "batch.kubernetes.io/job-name";
/// Pods of a Job are named like it, a dash and five characters.
const POD_SUFFIX: usize = 6;

/// A change of one of the objects that a run consists of.
enum Change {
    Job(Update<Job>),
    Pod(Update<Pod>),
    Warning(Update<Event>),
}

/// Publishes facts until shutdown. Watches are resumed for ever, also past 410 Gone.
pub(super) async fn follow(client: Client, namespace: &str, runs: Runs, shutdown: CancellationToken) {
    let labelled = watcher::Config::default().labels(EXECUTION_LABEL);
    let warnings = watcher::Config::default().fields("type=Warning");
    let jobs = changes::<Job>(&client, namespace, labelled.clone(), |job, _| job.name.clone());
    let pods = changes::<Pod>(&client, namespace, labelled, |pod, _| {
        pod.labels.as_ref()?.get(JOB_NAME_LABEL).cloned()
    });
    let warnings = changes::<Event>(&client, namespace, warnings, |_, event| run_of_warning(event?));
    let merged = select(jobs.map(Change::Job), select(pods.map(Change::Pod), warnings.map(Change::Warning)));
    let mut merged = pin!(merged.take_until(shutdown.cancelled_owned()));
    let mut seen = Seen::default();
    let mut questions = FuturesUnordered::new();
    // Whether all there is was told once.
    let mut told = false;
    loop {
        let touched = tokio::select! {
            change = merged.next() => match change {
                Some(change) => seen.take_in(change),
                None => return,
            },
            Some(answer) = questions.next() => seen.learn(answer),
        };
        let touched = match (seen.is_synced(), told) {
            (false, _) => continue,
            (true, false) => seen.jobs.runs(),
            (true, true) => touched,
        };
        for run in touched {
            let question = seen.publish(&run, &runs);
            let ask = |question| words::ask(client.clone(), namespace.to_owned(), question);
            questions.extend(question.map(ask));
        }
        told = true;
        runs.set_synced(ENGINE);
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
    unreadable: Unreadable,
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
            Secrets::Unasked | Secrets::Asked if facts.state() == ExecutionState::Failed => {
                watch::hold_back(facts);
            }
            Secrets::Unasked | Secrets::Asked => {}
        }
        question
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
        self.jobs.is_synced() && self.pods.is_synced() && self.warnings.is_synced()
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
            if let Some(metadata) = self.jobs.unreadable(run) {
                self.unreadable.publish(ENGINE, metadata, runs);
            } else {
                self.remembered.remove(run);
                self.unreadable.publish_gone(ENGINE, run, runs);
            }
            return None;
        };
        self.unreadable.forget(run);
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

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
