//! Follows the PipelineRuns of the execution namespace and their TaskRuns, and publishes the facts of a
//! run whenever one of them changes. Nothing is published before everything was seen once, since a run
//! without its tasks looks like another.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    time::Duration,
};

use futures::{
    StreamExt as _,
    stream::{FuturesUnordered, select},
};
use kube::{Client, ResourceExt as _, runtime::watcher};

use super::{
    ENGINE, observe, spans,
    types::{PIPELINE_RUN_LABEL, PipelineRun, TaskRun, ending},
};
use crate::{
    marks::EXECUTION_LABEL,
    runs::Runs,
    watch::{self, Objects, Update, changes},
};

/// How long the end of a run may be held back until its tasks are seen to have ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// A change of one of the objects that a run consists of.
enum Change {
    Run(Update<PipelineRun>),
    Task(Update<TaskRun>),
}

/// Publishes facts for as long as it is polled. What is known survives in `seen`.
pub(super) async fn publish(client: &Client, namespace: &str, seen: &mut Seen, runs: &Runs) {
    let labelled = watcher::Config::default().labels(EXECUTION_LABEL);
    let pipeline_runs = changes::<PipelineRun>(client, namespace, labelled.clone(), own_name);
    let task_runs = changes::<TaskRun>(client, namespace, labelled, |task| {
        task.labels().get(PIPELINE_RUN_LABEL).cloned()
    });
    let mut merged = pin!(select(pipeline_runs.map(Change::Run), task_runs.map(Change::Task)));
    let mut held_back = FuturesUnordered::new();
    loop {
        let touched = tokio::select! {
            change = merged.next() => match change {
                Some(change) => seen.take_in(change),
                None => return,
            },
            Some(ending) = held_back.next() => seen.give_up(ending),
        };
        for run in seen.due(touched) {
            let wait = |ending| async move {
                tokio::time::sleep(PATIENCE).await;
                ending
            };
            held_back.extend(seen.publish(&run, runs).map(wait));
        }
        if seen.told {
            runs.set_synced(ENGINE);
        }
    }
}

/// Everything seen of the runs.
#[derive(Default)]
pub(super) struct Seen {
    pipeline_runs: Objects<PipelineRun>,
    task_runs: Objects<TaskRun>,
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
    /// Whether its spans were told.
    is_traced: bool,
}

/// The end of a run that was held back, by its name and uid.
#[derive(Debug, PartialEq, Eq)]
struct Ending {
    run: String,
    uid: String,
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

    /// Its tasks had their time to be seen.
    fn give_up(&mut self, Ending { run, uid }: Ending) -> HashSet<String> {
        if let Some(remembered) = self.remembered.get_mut(&run).filter(|remembered| remembered.uid == uid) {
            remembered.is_late = true;
        }
        HashSet::from([run])
    }

    /// Publishes the facts of a run, and gives its end if that had to be held back.
    fn publish(&mut self, name: &str, runs: &Runs) -> Option<Ending> {
        let Some(run) = self.pipeline_runs.of(name).next() else {
            self.remembered.remove(name);
            runs.remove(ENGINE, name);
            return None;
        };
        let uid = run.uid().unwrap_or_default();
        let tasks: Vec<&TaskRun> = self.task_runs.of(name).filter(|task| task.belongs_to(&uid)).collect();
        let remembered = self.remembered.entry(name.to_owned()).or_default();
        if remembered.uid != uid {
            *remembered = Remembered { uid: uid.clone(), ..Remembered::default() };
        }
        remembered.started |= tasks.iter().any(|task| observe::has_started(task));
        let mut facts = observe::facts(run, &tasks);
        facts.workflow_started |= remembered.started;
        let is_told_whole = remembered.is_late || observe::is_whole(run, &tasks);
        if !is_told_whole {
            watch::hold_back(&mut facts);
        } else if ending(&run.status.conditions).is_some() && !remembered.is_traced {
            remembered.is_traced = true;
            spans::record(run, &tasks);
        }
        runs.publish(facts);
        (!is_told_whole).then(|| Ending { run: name.to_owned(), uid })
    }
}

/// Name of a run. A pipeline may run another one, which inherits our marks and is no run of its own.
fn own_name(run: &PipelineRun) -> Option<String> {
    run.owner_references().is_empty().then(|| run.name_any())
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
