//! Which executions are on which target: the history that gates look at, and who waits.

use std::collections::{HashMap, HashSet};

use evenkeel_api::WorkflowExecution;
use evenkeel_core::{gate::Past, phase::Phase, record::Record};
use kube::runtime::{reflector::ObjectRef, watcher::Event};
use parking_lot::Mutex;

use crate::record;

/// What is remembered of one execution.
#[derive(Clone)]
struct Entry {
    target: String,
    reference: ObjectRef<WorkflowExecution>,
    is_pending: bool,
    past: Option<Past>,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    by_target: HashMap<String, HashSet<String>>,
    /// Seen since the watch last began anew; none while it goes on.
    relisted: Option<HashSet<String>>,
}

/// Executions by target. Fed by every watch event before anything is reconciled because of it.
#[derive(Default)]
pub struct Index {
    state: Mutex<State>,
}

impl Index {
    /// Takes in one watch event.
    pub(crate) fn apply(&self, event: &Event<WorkflowExecution>) {
        let mut state = self.state.lock();
        match event {
            Event::Init => state.relisted = Some(HashSet::new()),
            Event::InitApply(object) => {
                let record = record::from_object(object);
                if let Some(relisted) = &mut state.relisted {
                    relisted.insert(record.uid.clone());
                }
                state.put(&record);
            }
            Event::InitDone => {
                if let Some(relisted) = state.relisted.take() {
                    let gone: Vec<_> =
                        state.entries.keys().filter(|uid| !relisted.contains(*uid)).cloned().collect();
                    for uid in &gone {
                        state.remove(uid);
                    }
                }
            }
            Event::Apply(object) => state.put(&record::from_object(object)),
            Event::Delete(object) => state.remove(object.metadata.uid.as_deref().unwrap_or_default()),
        }
    }

    /// Takes in what a write of our own returned, so that the next gate sees it at once.
    pub(crate) fn put(&self, record: &Record) {
        self.state.lock().put(record);
    }

    /// The executions on a target that ended.
    pub(crate) fn history(&self, target: &str) -> Vec<Past> {
        self.state.lock().on(target).filter_map(|entry| entry.past.clone()).collect()
    }

    /// The executions that wait for a target.
    pub(crate) fn waiting(&self, target: &str) -> Vec<ObjectRef<WorkflowExecution>> {
        let state = self.state.lock();
        state.on(target).filter(|entry| entry.is_pending).map(|entry| entry.reference.clone()).collect()
    }

    /// Whether an execution of this uid is known.
    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.state.lock().entries.contains_key(uid)
    }
}

impl State {
    fn put(&mut self, record: &Record) {
        let entry = Entry {
            target: record.spec.target.clone(),
            reference: ObjectRef::new(&record.name).within(&record.namespace),
            is_pending: record.phase() == Some(Phase::Pending),
            past: past(record),
        };
        self.by_target.entry(entry.target.clone()).or_default().insert(record.uid.clone());
        self.entries.insert(record.uid.clone(), entry);
    }

    fn remove(&mut self, uid: &str) {
        let Some(entry) = self.entries.remove(uid) else { return };
        if let Some(uids) = self.by_target.get_mut(&entry.target) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_target.remove(&entry.target);
            }
        }
    }

    fn on(&self, target: &str) -> impl Iterator<Item = &Entry> {
        self.by_target.get(target).into_iter().flatten().filter_map(|uid| self.entries.get(uid))
    }
}

fn past(record: &Record) -> Option<Past> {
    Some(Past {
        uid: record.uid.clone(),
        name: format!("{}/{}", record.namespace, record.name),
        completion: record.status.completion.filter(|_| record.is_terminal())?,
        executed: record.was_executed(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, target: &str, phase: &str) -> WorkflowExecution {
        let complete = json!({
            "type": "ExecutionComplete", "reason": "R", "message": "",
            "status": if phase == "Completed" { "True" } else { "False" },
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let status = match phase {
            "Completed" | "Failed" => json!({
                "phase": phase, "completionTime": "2026-01-01T00:00:00Z", "conditions": [complete],
            }),
            _ => json!({ "phase": phase }),
        };
        serde_json::from_value(json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": { "namespace": "ops", "name": name, "uid": name },
            "spec": {
                "remediationRequestRef": {},
                "workflowRef": { "workflowId": "w", "version": "1", "executionBundle": "b" },
                "targetResource": target,
            },
            "status": status,
        }))
        .unwrap()
    }

    fn names(index: &Index, target: &str) -> Vec<String> {
        let mut names: Vec<_> = index.history(target).into_iter().map(|past| past.name).collect();
        names.sort();
        names
    }

    #[test]
    fn the_history_of_a_target_is_what_ended_on_it() {
        let index = Index::default();
        for (name, target, phase) in [
            ("a", "x/1", "Completed"),
            ("b", "x/1", "Running"),
            ("c", "x/2", "Failed"),
            ("d", "x/1", "Pending"),
        ] {
            index.apply(&Event::Apply(object(name, target, phase)));
        }
        assert_eq!(names(&index, "x/1"), ["ops/a"]);
        assert_eq!(names(&index, "x/2"), ["ops/c"]);
        assert_eq!(index.waiting("x/1"), [ObjectRef::new("d").within("ops")]);
        index.apply(&Event::Delete(object("a", "x/1", "Completed")));
        assert_eq!(names(&index, "x/1"), [""; 0]);
    }

    #[test]
    fn what_a_new_list_does_not_show_is_forgotten() {
        let index = Index::default();
        for name in ["a", "b"] {
            index.apply(&Event::Apply(object(name, "x/1", "Completed")));
        }
        index.apply(&Event::Init);
        index.apply(&Event::InitApply(object("b", "x/1", "Completed")));
        assert!(index.knows("a"), "until the list is complete");
        index.apply(&Event::InitDone);
        assert_eq!(names(&index, "x/1"), ["ops/b"]);
        assert!(!index.knows("a"));
    }
}
