//! Which executions are on which target: the history that gates look at, and who waits.

use std::collections::{HashMap, HashSet};

use evenkeel_api::WorkflowExecution;
use evenkeel_core::{
    conditions::{Millis, kind},
    gate::{History, Known, Stands},
    plan::Settings,
    record::Record,
};
use kube::{
    ResourceExt as _,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use parking_lot::Mutex;

use crate::{latest, record};

/// Refers to an execution.
type Reference = ObjectRef<WorkflowExecution>;

/// What is remembered of one execution.
#[derive(Clone)]
struct Entry {
    target: String,
    reference: Reference,
    version: u64,
    known: Known,
    /// Its engine, once that is settled.
    engine: Option<String>,
    is_released: bool,
    /// Whether nothing is left to do for it, with an audit log and without one.
    rests: [bool; 2],
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    by_target: HashMap<String, HashSet<String>>,
    /// Seen since the watch last began anew; none while it goes on.
    relisted: Option<HashSet<String>>,
    /// Whether everything that exists was seen once.
    is_complete: bool,
}

/// Executions by target. Fed by every watch event before anything is reconciled because of it.
#[derive(Default)]
pub struct Index {
    state: Mutex<State>,
}

impl Index {
    /// Takes in one watch event; gives who has to look again because of it.
    pub(crate) fn apply(&self, event: &Event<WorkflowExecution>) -> Vec<Reference> {
        let mut state = self.state.lock();
        match event {
            Event::Init => {
                state.relisted = Some(HashSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(relisted) = &mut state.relisted {
                    relisted.insert(object.uid().unwrap_or_default());
                }
                // Versions may have begun anew, so a list is always believed.
                state.put(object)
            }
            Event::InitDone => {
                state.is_complete = true;
                let Some(relisted) = state.relisted.take() else { return Vec::new() };
                let is_gone = |uid: &&String| !relisted.contains(*uid);
                let gone: Vec<_> = state.entries.keys().filter(is_gone).cloned().collect();
                gone.iter().flat_map(|uid| state.remove(uid)).collect()
            }
            Event::Apply(object) if state.is_older(object) => Vec::new(),
            Event::Apply(object) => state.put(object),
            Event::Delete(object) => state.remove(&object.uid().unwrap_or_default()),
        }
    }

    /// Takes in what a write of our own returned, so that the next gate sees it at once; gives who has
    /// to look again because of it. What the watch has seen go does not come back.
    pub(crate) fn put(&self, object: &WorkflowExecution) -> Vec<Reference> {
        let mut state = self.state.lock();
        let is_known = object.uid().is_some_and(|uid| state.entries.contains_key(&uid));
        if is_known && !state.is_older(object) { state.put(object) } else { Vec::new() }
    }

    /// What happened on the target of an execution; none as long as not everything was seen.
    pub(crate) fn history(&self, of: &Record) -> Option<History> {
        let state = self.state.lock();
        state.is_complete.then(|| History::new(of, state.on(&of.spec.target).map(|entry| &entry.known)))
    }

    /// Whether a gate still rests on an execution that ended.
    pub fn is_needed(&self, record: &Record, settings: &Settings, now: Millis) -> bool {
        let state = self.state.lock();
        let on_target = state.on(&record.spec.target).map(|entry| &entry.known);
        !state.is_complete
            || History::new(&Record::default(), on_target).needs(&Known::of(record), settings, now)
    }

    /// Whose turn it is on a target: of those that wait, who came first.
    pub(crate) fn next(&self, target: &str) -> Option<Reference> {
        self.state.lock().next(target).map(|entry| entry.reference.clone())
    }

    /// The engines of the other executions that may hold a target, where they are settled; none as
    /// long as not everything was seen.
    pub(crate) fn held_by_others(&self, target: &str, uid: &str) -> Option<Vec<Option<String>>> {
        let state = self.state.lock();
        let others = state.on(target).filter(|entry| entry.known.uid != uid && !entry.is_released);
        state.is_complete.then(|| others.map(|entry| entry.engine.clone()).collect())
    }

    /// The executions that ended before a moment and have nothing left to do, the oldest first.
    pub(crate) fn ended_before(&self, moment: Millis, has_audit: bool) -> Vec<Reference> {
        let state = self.state.lock();
        let rests = |entry: &Entry| entry.rests[usize::from(!has_audit)];
        let mut ended: Vec<_> = state
            .entries
            .values()
            .filter_map(|entry| match entry.known.stands {
                Stands::Ended { at, .. } if at < moment && rests(entry) => {
                    Some((at, entry.reference.clone()))
                }
                _ => None,
            })
            .collect();
        ended.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        ended.into_iter().map(|(_, reference)| reference).collect()
    }

    /// Whether an execution of this uid is known.
    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.state.lock().entries.contains_key(uid)
    }
}

impl State {
    /// Whether something newer is known of an object: our own writes are known before the watch shows
    /// them, and what it shows until then is the past.
    fn is_older(&self, object: &WorkflowExecution) -> bool {
        let known = object.uid().and_then(|uid| self.entries.get(&uid));
        known.is_some_and(|entry| latest::version(object) < entry.version)
    }

    fn put(&mut self, object: &WorkflowExecution) -> Vec<Reference> {
        let record = record::from_object(object);
        let entry = Entry {
            target: record.spec.target.clone(),
            reference: ObjectRef::new(&record.name).within(&record.namespace),
            version: latest::version(object),
            known: Known::of(&record),
            engine: record.status.engine.clone().or_else(|| record.spec.engine.clone()),
            is_released: record.holds(kind::RELEASED),
            rests: [record.is_at_rest(true), record.is_at_rest(false)],
        };
        let (uid, target) = (record.uid, record.spec.target);
        let stands = entry.known.stands;
        self.by_target.entry(target.clone()).or_default().insert(uid.clone());
        let before = self.entries.insert(uid, entry);
        match before {
            Some(before) if before.known.stands != stands => self.woken(&target, &before.known),
            _ => Vec::new(),
        }
    }

    fn remove(&mut self, uid: &str) -> Vec<Reference> {
        let Some(entry) = self.entries.remove(uid) else { return Vec::new() };
        if let Some(uids) = self.by_target.get_mut(&entry.target) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_target.remove(&entry.target);
            }
        }
        self.woken(&entry.target, &entry.known)
    }

    /// What one execution does concerns the one whose turn it is next, and, where it waited itself, the
    /// one directly behind it. The others wait for these.
    fn woken(&self, target: &str, because_of: &Known) -> Vec<Reference> {
        let waiting = || self.on(target).filter(|entry| entry.known.is_waiting());
        let behind = waiting()
            .filter(|entry| because_of.is_waiting() && entry.known.place() > because_of.place())
            .min_by(|a, b| a.known.place().cmp(&b.known.place()));
        let mut woken: Vec<_> = self.next(target).into_iter().chain(behind).collect();
        woken.retain(|entry| entry.known.uid != because_of.uid);
        woken.dedup_by(|a, b| a.known.uid == b.known.uid);
        woken.into_iter().map(|entry| entry.reference.clone()).collect()
    }

    fn next(&self, target: &str) -> Option<&Entry> {
        let waiting = self.on(target).filter(|entry| entry.known.is_waiting());
        waiting.min_by(|a, b| a.known.place().cmp(&b.known.place()))
    }

    fn on(&self, target: &str) -> impl Iterator<Item = &Entry> + Clone {
        self.by_target.get(target).into_iter().flatten().filter_map(|uid| self.entries.get(uid))
    }
}

#[cfg(test)]
#[path = "index/tests.rs"]
mod tests;
