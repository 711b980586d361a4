//! Our own writes, until the watch shows them. A pass that runs before its own last write came
//! back would see the past: it would ask again what it knows and write what would be refused.

use std::{collections::HashMap, sync::Arc};

use evenkeel_api::WorkflowExecution;
use kube::ResourceExt as _;
use parking_lot::Mutex;

/// The newest form of objects that we wrote ourselves.
#[derive(Default)]
pub(crate) struct Latest {
    written: Mutex<HashMap<String, Arc<WorkflowExecution>>>,
}

impl Latest {
    /// Remembers what a write returned.
    pub(crate) fn remember(&self, object: &WorkflowExecution) {
        if let Some(uid) = object.uid() {
            self.written.lock().insert(uid, Arc::new(object.clone()));
        }
    }

    /// Notes what the watch shows: what it has caught up with need not be kept.
    pub(crate) fn seen(&self, object: &WorkflowExecution) {
        let Some(uid) = object.metadata.uid.as_deref() else { return };
        let mut written = self.written.lock();
        if written.get(uid).is_some_and(|ours| version(ours) <= version(object)) {
            written.remove(uid);
        }
    }

    /// Forgets everything: somebody else wrote meanwhile.
    pub(crate) fn clear(&self) {
        self.written.lock().clear();
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.written.lock().remove(uid);
    }

    /// The newer of what the watch shows and what we wrote.
    pub(crate) fn newer(&self, cached: Arc<WorkflowExecution>) -> Arc<WorkflowExecution> {
        let Some(uid) = cached.uid() else { return cached };
        let mut written = self.written.lock();
        match written.get(&uid) {
            Some(ours) if version(ours) > version(&cached) => ours.clone(),
            Some(_) => {
                written.remove(&uid);
                cached
            }
            None => cached,
        }
    }
}

/// Versions of one resource grow; one that is no number is as old as can be.
pub(crate) fn version(object: &WorkflowExecution) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use evenkeel_api::WorkflowExecutionSpec;

    use super::*;

    fn object(version: &str) -> Arc<WorkflowExecution> {
        let mut object = WorkflowExecution::new("we-1", WorkflowExecutionSpec::default());
        object.metadata.uid = Some("u-1".to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        Arc::new(object)
    }

    #[test]
    fn our_own_write_is_used_until_the_watch_shows_it() {
        let latest = Latest::default();
        latest.remember(&object("100"));
        assert_eq!(latest.newer(object("99")), object("100"));
        assert_eq!(latest.newer(object("100")), object("100"));
        assert!(latest.written.lock().is_empty(), "and is then forgotten");
        assert_eq!(latest.newer(object("99")), object("99"));
    }

    #[test]
    fn what_the_watch_shows_is_not_kept() {
        let latest = Latest::default();
        latest.remember(&object("100"));
        latest.seen(&object("99"));
        assert_eq!(latest.written.lock().len(), 1);
        latest.seen(&object("100"));
        assert!(latest.written.lock().is_empty());
    }

    #[test]
    fn a_version_that_is_no_number_never_wins() {
        let latest = Latest::default();
        latest.remember(&object("odd"));
        assert_eq!(latest.newer(object("1")), object("1"));
    }
}
