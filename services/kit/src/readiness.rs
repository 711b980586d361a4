//! Whether a service can do its work, and which dependency is missing when it cannot.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

/// Named conditions, all of which must hold. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<BTreeMap<&'static str, bool>>>,
}

impl Readiness {
    /// Not ready until every one of `names` is set.
    pub fn new(names: &[&'static str]) -> Self {
        let state = names.iter().map(|name| (*name, false)).collect();
        Self { state: Arc::new(watch::Sender::new(state)) }
    }

    /// Sets one condition.
    pub fn set(&self, name: &'static str, ready: bool) {
        self.state.send_if_modified(|state| state.insert(name, ready) != Some(ready));
    }

    /// The conditions that do not hold.
    pub fn missing(&self) -> Vec<&'static str> {
        self.state.borrow().iter().filter(|(_, ready)| !**ready).map(|(name, _)| *name).collect()
    }

    /// Waits until everything holds.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.state.subscribe().wait_for(|state| state.values().all(|ready| *ready)).await;
    }

    /// Follows changes of readiness.
    pub(crate) fn subscribe(&self) -> watch::Receiver<BTreeMap<&'static str, bool>> {
        self.state.subscribe()
    }
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
}
