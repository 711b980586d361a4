//! What the watches of all engines have in common: changes of one kind of object, and all objects of a
//! kind as last seen, by the run that they belong to.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
};

use evenkeel_proto::execution::v1::{Execution, ExecutionState};
use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;

use crate::{marks, runs::Runs};

/// A change of one kind of object. A watch that starts, or starts again, lists everything first; what
/// is not in the list by its end is gone.
pub(crate) enum Update<K> {
    Listing,
    Listed,
    There {
        run: String,
        name: String,
        object: Box<K>,
    },
    /// It is there, and more than this cannot be read of it.
    Unreadable {
        run: String,
        name: String,
        metadata: Box<ObjectMeta>,
    },
    Gone {
        run: String,
        name: String,
    },
}

/// All changes of one kind, of the objects that belong to a run: `run` gives its name, by the metadata of
/// an object and by the object itself, if that can be read. The watch is resumed for ever, also past 410
/// Gone. That it cannot list, for whatever reason, never means that something is gone.
pub(crate) fn changes<K>(
    client: &Client,
    namespace: &str,
    config: watcher::Config,
    run: impl Fn(&ObjectMeta, Option<&K>) -> Option<String> + Send + 'static,
) -> impl futures::Stream<Item = Update<K>> + Send + 'static
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(client.clone(), namespace);
    watcher(api, config).default_backoff().filter_map(move |event| {
        let update = match event {
            Ok(event) => update(event, &run),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), "the watch was interrupted: {error}");
                None
            }
        };
        futures::future::ready(update)
    })
}

/// What an event means; none when it is about no run. One object that cannot be read never stops the
/// stream, and is there all the same.
fn update<K: Resource<DynamicType = ()>>(
    event: watcher::Event<DeserializeGuard<K>>,
    run: &impl Fn(&ObjectMeta, Option<&K>) -> Option<String>,
) -> Option<Update<K>> {
    let (guard, is_there) = match event {
        watcher::Event::Init => return Some(Update::Listing),
        watcher::Event::InitDone => return Some(Update::Listed),
        watcher::Event::InitApply(guard) | watcher::Event::Apply(guard) => (guard, true),
        watcher::Event::Delete(guard) => (guard, false),
    };
    let (metadata, object) = (guard.meta().clone(), guard.0);
    let run = run(&metadata, object.as_ref().ok());
    let name = metadata.name.clone().unwrap_or_default();
    if let (Err(invalid), true) = (&object, is_there) {
        tracing::warn!(kind = %K::kind(&()), name, "an object cannot be read: {}", invalid.error);
    }
    let run = run?;
    Some(match object {
        _ if !is_there => Update::Gone { run, name },
        Ok(object) => Update::There { run, name, object: Box::new(object) },
        Err(_) => Update::Unreadable { run, name, metadata: Box::new(metadata) },
    })
}

/// The end of a run is final for those who hear of it, so it is told with all that belongs to it.
pub(crate) fn hold_back(facts: &mut Execution) {
    facts.set_state(ExecutionState::Running);
    "Ending".clone_into(&mut facts.reason);
    facts.completion_time = None;
}

fn is_over(facts: &Execution) -> bool {
    matches!(facts.state(), ExecutionState::Succeeded | ExecutionState::Failed)
}

/// Runs whose object is there and cannot be read, with what its metadata tell of them.
#[derive(Default)]
pub(crate) struct Unreadable(HashMap<String, Execution>);

impl Unreadable {
    /// Publishes that nothing is known of a run any more, unless its end was told. Whose it is is left
    /// out, so that whoever asks for it is not answered from here: it is looked for, and why it cannot be
    /// read is told.
    pub(crate) fn publish(&mut self, engine: &str, metadata: &ObjectMeta, runs: &Runs) {
        let mut facts = marks::facts(metadata, engine);
        let known = runs.get(&facts.run_name).filter(|known| known.run_uid == facts.run_uid);
        if known.is_some_and(|known| is_over(&known)) {
            return;
        }
        "Unreadable".clone_into(&mut facts.reason);
        runs.publish(Execution { owner: None, ..facts.clone() });
        facts.set_state(ExecutionState::Running);
        self.0.insert(facts.run_name.clone(), facts);
    }

    /// A run can be read again.
    pub(crate) fn forget(&mut self, run: &str) {
        self.0.remove(run);
    }

    /// Publishes that a run is gone, also to its owner.
    pub(crate) fn publish_gone(&mut self, engine: &str, run: &str, runs: &Runs) {
        if let Some(facts) = self.0.remove(run) {
            runs.publish(facts);
        }
        runs.remove(engine, run);
    }
}

/// All objects of one kind, by run and name.
pub(crate) struct Objects<K> {
    /// Of those that cannot be read, the metadata.
    by_run: HashMap<String, HashMap<String, Result<K, Box<ObjectMeta>>>>,
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
    /// Whether everything that existed was seen once.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Names of all runs that have such an object.
    pub(crate) fn runs(&self) -> HashSet<String> {
        self.by_run.keys().cloned().collect()
    }

    /// The objects of a run that can be read.
    pub(crate) fn of(&self, run: &str) -> impl Iterator<Item = &K> {
        self.all_of(run).filter_map(|object| object.as_ref().ok())
    }

    /// The metadata of an object of a run that cannot be read.
    pub(crate) fn unreadable(&self, run: &str) -> Option<&ObjectMeta> {
        self.all_of(run).find_map(|object| object.as_ref().err()).map(|metadata| &**metadata)
    }

    fn all_of(&self, run: &str) -> impl Iterator<Item = &Result<K, Box<ObjectMeta>>> {
        self.by_run.get(run).into_iter().flat_map(HashMap::values)
    }

    /// Takes a change in and names the runs that it may concern.
    pub(crate) fn take_in(&mut self, update: Update<K>) -> HashSet<String> {
        match update {
            Update::Listing => {
                self.listing = Some(HashSet::new());
                HashSet::new()
            }
            Update::Listed => {
                self.synced = true;
                self.drop_unlisted()
            }
            Update::There { run, name, object } => self.put(run, name, Ok(*object)),
            Update::Unreadable { run, name, metadata } => self.put(run, name, Err(metadata)),
            Update::Gone { run, name } => {
                self.drop_one(&run, &name);
                HashSet::from([run])
            }
        }
    }

    fn put(&mut self, run: String, name: String, object: Result<K, Box<ObjectMeta>>) -> HashSet<String> {
        if let Some(listing) = &mut self.listing {
            listing.insert((run.clone(), name.clone()));
        }
        self.by_run.entry(run.clone()).or_default().insert(name, object);
        HashSet::from([run])
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
#[path = "watch_tests.rs"]
mod tests;
