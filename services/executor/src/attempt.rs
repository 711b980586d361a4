//! What is to be run, for whom and on what: a request that was understood.

use std::{collections::BTreeMap, time::Duration};

use evenkeel_core::target::Target;
use evenkeel_proto::execution::v1 as proto;

/// Whom an attempt belongs to. The uid alone identifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Owner {
    /// `namespace/name`, as kept in annotations.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// From what annotations say.
    pub(crate) fn from_path(path: &str, uid: &str) -> Self {
        let (namespace, name) = path.split_once('/').unwrap_or(("", path));
        Self { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() }
    }
}

impl From<Owner> for proto::Owner {
    fn from(owner: Owner) -> Self {
        Self { namespace: owner.namespace, name: owner.name, uid: owner.uid }
    }
}

/// Everything that is needed to create the run.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) owner: Owner,
    pub(crate) target: Target,
    pub(crate) engine: String,
    pub(crate) workflow_id: String,
    /// What the engine runs, pinned by digest when one was given.
    pub(crate) bundle: String,
    /// Name of the pipeline in the bundle, if it is not the usual one.
    pub(crate) pipeline: Option<String>,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Empty for the namespace's default account.
    pub(crate) service_account: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) config_maps: Vec<String>,
    pub(crate) timeout: Duration,
}
