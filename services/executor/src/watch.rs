//! What the watches of all engines have in common: changes of one kind of object, and all objects of a
//! kind as last seen, by the run that they belong to.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
};

use evenkeel_proto::execution::v1::{Execution, ExecutionState};
use futures::StreamExt as _;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;

/// A change of one kind of object. A watch that starts, or starts again, lists everything first; what
/// is not in the list by its end is gone.
pub(crate) enum Update<K> {
    Listing,
    Listed,
    There { run: String, name: String, object: Box<K> },
    Gone { run: String, name: String },
}

/// All changes of one kind, of the objects that belong to a run. The watch is resumed for ever, also
/// past 410 Gone. That it cannot list, for whatever reason, never means that something is gone.
pub(crate) fn changes<K>(
    client: &Client,
    namespace: &str,
    config: watcher::Config,
    run: impl Fn(&K) -> Option<String> + Send + 'static,
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
fn there<K: Resource<DynamicType = ()>>(
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

/// The end of a run is final for those who hear of it, so it is told with all that belongs to it.
pub(crate) fn hold_back(facts: &mut Execution) {
    facts.set_state(ExecutionState::Running);
    "Ending".clone_into(&mut facts.reason);
    facts.completion_time = None;
}

/// All objects of one kind, by run and name.
pub(crate) struct Objects<K> {
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
    /// Whether everything that existed was seen once.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Names of all runs that have such an object.
    pub(crate) fn runs(&self) -> HashSet<String> {
        self.by_run.keys().cloned().collect()
    }

    /// The objects of a run.
    pub(crate) fn of(&self, run: &str) -> impl Iterator<Item = &K> {
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
