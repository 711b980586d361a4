//! Follows the PipelineRuns of the execution namespace and their TaskRuns, and publishes the facts of a
//! run whenever one of them changes. Nothing is published before everything was seen once, since a run
//! without its tasks looks like another.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
};

use evenkeel_proto::execution::v1::Execution;
use futures::{
    StreamExt as _,
    stream::{FuturesUnordered, select},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, ResourceExt as _, runtime::watcher};

use super::{
    ENGINE, PATIENCE, observe, spans,
    types::{PIPELINE_RUN_LABEL, PipelineRun, TaskRun, ending},
    words::{self, Logs, Question},
};
use crate::{
    marks::EXECUTION_LABEL,
    runs::Runs,
    watch::{self, Objects, Unreadable, Update, changes},
};

/// A change of one of the objects that a run consists of.
enum Change {
    Run(Update<PipelineRun>),
    Task(Update<TaskRun>),
}

/// Publishes facts for as long as it is polled. What is known survives in `seen`.
pub(super) async fn publish(client: &Client, namespace: &str, logs: &Logs, seen: &mut Seen, runs: &Runs) {
    let labelled = watcher::Config::default().labels(EXECUTION_LABEL);
    let pipeline_runs = changes::<PipelineRun>(client, namespace, labelled.clone(), |run, _| own_name(run));
    let task_runs = changes::<TaskRun>(client, namespace, labelled, |task, _| {
        task.labels.as_ref()?.get(PIPELINE_RUN_LABEL).cloned()
    });
    let mut merged = pin!(select(pipeline_runs.map(Change::Run), task_runs.map(Change::Task)));
    // What is waited for is forgotten with the stream, so that the next one waits for it anew.
    let (mut waiting, mut awaited) = (Vec::new(), FuturesUnordered::new());
    loop {
        let touched = tokio::select! {
            change = merged.next() => match change {
                Some(change) => seen.take_in(change),
                None => return,
            },
            Some(learned) = awaited.next() => {
                waiting.retain(|wanted| *wanted != Learned::wanted(&learned));
                seen.learn(learned)
            }
        };
        for run in seen.due(touched) {
            if let Some(wanted) = seen.publish(&run, runs).filter(|wanted| !waiting.contains(wanted)) {
                waiting.push(wanted.clone());
                awaited.push(wait(logs, wanted));
            }
        }
        if seen.told {
            runs.set_synced(ENGINE);
        }
    }
}

/// Waits for what the end of a run is held back for.
async fn wait(logs: &Logs, wanted: Wanted) -> Learned {
    match wanted {
        Wanted::Tasks { run, uid } => {
            tokio::time::sleep(PATIENCE).await;
            Learned::IsLate { run, uid }
        }
        Wanted::Words(question) => {
            let lines = logs.ask(&question).await;
            Learned::Words(question, lines)
        }
    }
}

/// Everything seen of the runs.
#[derive(Default)]
pub(super) struct Seen {
    pipeline_runs: Objects<PipelineRun>,
    task_runs: Objects<TaskRun>,
    unreadable: Unreadable,
    /// Whether all there is was told once.
    told: bool,
    /// What is remembered of a run, by its name.
    remembered: HashMap<String, Remembered>,
}

/// What is remembered of a run.
#[derive(Default)]
struct Remembered {
    /// Uid of the PipelineRun.
    uid: String,
    /// Whether anything of the workflow began, also in tasks that are gone since.
    started: bool,
    /// Whether its end was held back long enough.
    is_late: bool,
    /// Its end as it was told. What follows takes nothing of it back: a release removes tasks before it
    /// removes their run.
    end: Option<Execution>,
    /// The question for its last words, which is asked once, and what came of it.
    words: Option<(Question, Vec<String>)>,
}

/// What the end of a run is held back for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// Tasks of a run, by its name and uid, that are not seen to have ended.
    Tasks {
        run: String,
        uid: String,
    },
    Words(Question),
}

/// What came of waiting.
enum Learned {
    /// It is too late for tasks.
    IsLate {
        run: String,
        uid: String,
    },
    Words(Question, Vec<String>),
}

impl Learned {
    fn wanted(&self) -> Wanted {
        match self {
            Self::IsLate { run, uid } => Wanted::Tasks { run: run.clone(), uid: uid.clone() },
            Self::Words(question, _) => Wanted::Words(question.clone()),
        }
    }
}

impl Remembered {
    /// Adds what the failed step printed last, and gives the question that tells it. An end that was
    /// held back for its tasks is not held back again.
    fn quote(&self, run: &PipelineRun, tasks: &[&TaskRun], facts: &mut Execution) -> Option<Question> {
        let question = words::question(run, tasks, facts)?;
        match (&self.words, &mut facts.failed_task) {
            (None, _) => Some(question).filter(|_| !self.is_late),
            (Some((asked, lines)), Some(task)) if *asked == question => {
                task.last_lines.clone_from(lines);
                None
            }
            _ => None,
        }
    }
}

impl Seen {
    /// Takes a change in and names the runs whose facts may have changed.
    fn take_in(&mut self, change: Change) -> HashSet<String> {
        match change {
            Change::Run(update) => self.pipeline_runs.take_in(update),
            Change::Task(update) => self.task_runs.take_in(update),
        }
    }

    /// The runs that are to be published: all, once everything was seen, and then those touched.
    fn due(&mut self, touched: HashSet<String>) -> HashSet<String> {
        if !(self.pipeline_runs.is_synced() && self.task_runs.is_synced()) {
            return HashSet::new();
        }
        if std::mem::replace(&mut self.told, true) { touched } else { self.pipeline_runs.runs() }
    }

    /// Takes in that the end of a run need not be held back for this any longer.
    fn learn(&mut self, learned: Learned) -> HashSet<String> {
        let (run, uid) = match &learned {
            Learned::IsLate { run, uid } => (run.clone(), uid),
            Learned::Words(question, _) => (question.run.clone(), &question.uid),
        };
        if let Some(remembered) = self.remembered.get_mut(&run).filter(|remembered| remembered.uid == *uid) {
            match learned {
                Learned::IsLate { .. } => remembered.is_late = true,
                Learned::Words(question, lines) => remembered.words = Some((question, lines)),
            }
        }
        HashSet::from([run])
    }

    /// Publishes the facts of a run, and gives what its end is held back for, if it is.
    fn publish(&mut self, name: &str, runs: &Runs) -> Option<Wanted> {
        let Some(run) = self.pipeline_runs.of(name).next() else {
            if let Some(metadata) = self.pipeline_runs.unreadable(name) {
                self.unreadable.publish(ENGINE, metadata, runs);
            } else {
                self.remembered.remove(name);
                self.unreadable.publish_gone(ENGINE, name, runs);
            }
            return None;
        };
        self.unreadable.forget(name);
        let uid = run.uid().unwrap_or_default();
        let tasks: Vec<&TaskRun> = self.task_runs.of(name).filter(|task| task.belongs_to(&uid)).collect();
        let remembered = self.remembered.entry(name.to_owned()).or_default();
        if remembered.uid != uid {
            *remembered = Remembered { uid: uid.clone(), ..Remembered::default() };
        }
        if let Some(end) = &remembered.end {
            runs.publish(end.clone());
            return None;
        }
        remembered.started |= tasks.iter().any(|task| observe::has_started(task));
        let mut facts = observe::facts(run, &tasks);
        facts.workflow_started |= remembered.started;
        let wanted = if remembered.is_late || observe::is_whole(run, &tasks) {
            remembered.quote(run, &tasks, &mut facts).map(Wanted::Words)
        } else {
            Some(Wanted::Tasks { run: name.to_owned(), uid })
        };
        if wanted.is_some() {
            watch::hold_back(&mut facts);
        } else if ending(&run.status.conditions).is_some() {
            remembered.end = Some(facts.clone());
            spans::record(run, &tasks);
        }
        runs.publish(facts);
        wanted
    }
}

/// Name of a run. A pipeline may run another one, which inherits our marks and is no run of its own.
fn own_name(run: &ObjectMeta) -> Option<String> {
    let is_own = run.owner_references.as_ref().is_none_or(Vec::is_empty);
    run.name.clone().filter(|_| is_own)
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
