//! Whether a service can do its work, and which dependency is missing when it cannot.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

/// Named conditions. Those that are needed must all hold; of the others it is only told when they
/// do not. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<State>>,
}

type Name = Cow<'static, str>;

#[derive(Clone, Default)]
pub(crate) struct State {
    needed: BTreeMap<Name, bool>,
    wanted: BTreeMap<Name, bool>,
}

impl State {
    pub(crate) fn is_ready(&self) -> bool {
        self.needed.values().all(|ready| *ready)
    }
}

impl Readiness {
    /// Not ready until every one of `names` is set.
    pub fn new(names: &[&'static str]) -> Self {
        let needed = names.iter().map(|name| (Name::from(*name), false)).collect();
        Self { state: Arc::new(watch::Sender::new(State { needed, wanted: BTreeMap::new() })) }
    }

    /// Sets one condition that is needed.
    pub fn set(&self, name: impl Into<Name>, ready: bool) {
        let name = name.into();
        self.state.send_if_modified(|state| state.needed.insert(name, ready) != Some(ready));
    }

    /// Sets one condition that the service can do without.
    pub fn note(&self, name: impl Into<Name>, there: bool) {
        let name = name.into();
        self.state.send_if_modified(|state| state.wanted.insert(name, there) != Some(there));
    }

    /// The conditions that are needed and do not hold.
    pub fn missing(&self) -> Vec<Name> {
        lacking(&self.state.borrow().needed)
    }

    /// The conditions that are not needed and do not hold.
    pub fn absent(&self) -> Vec<Name> {
        lacking(&self.state.borrow().wanted)
    }

    /// Waits until everything needed holds.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.state.subscribe().wait_for(State::is_ready).await;
    }

    /// Follows changes of readiness.
    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}

fn lacking(conditions: &BTreeMap<Name, bool>) -> Vec<Name> {
    conditions.iter().filter(|(_, there)| !**there).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_until_it_is_there() {
        let readiness = Readiness::new(&["store", "watch"]);
        assert_eq!(readiness.missing(), ["store", "watch"]);
        readiness.set("store", true);
        assert_eq!(readiness.missing(), ["watch"]);
        readiness.set("watch", true);
        assert!(readiness.missing().is_empty());
        readiness.set("store", false);
        assert_eq!(readiness.missing(), ["store"]);
    }

    #[test]
    fn what_is_not_needed_is_told_and_keeps_nothing_from_being_ready() {
        let readiness = Readiness::new(&[]);
        readiness.note("executor b:2".to_owned(), false);
        assert!(readiness.missing().is_empty() && readiness.subscribe().borrow().is_ready());
        assert_eq!(readiness.absent(), ["executor b:2"]);
        readiness.note("executor b:2", true);
        assert!(readiness.absent().is_empty());
    }
}
