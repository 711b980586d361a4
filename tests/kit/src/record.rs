//! What an environment's directory remembers of it, for whoever comes after its starter.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use evenkeel_cluster::process::ProcessId;
use serde::{Deserialize, Serialize};

use crate::{install::Spaces, service::Variables};

/// What `environment.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Who started it, and ends it unless it is kept.
    pub(crate) owner: ProcessId,
    /// Outlives the process that started it.
    pub(crate) keep: bool,
    /// Tells a cluster apart from a later one of the same name.
    pub(crate) cluster: String,
    /// The cluster ends with its test, so nothing has to be removed from it.
    #[serde(default)]
    pub(crate) passing: bool,
    /// Kubeconfig of the cluster's administrator.
    pub(crate) kubeconfig: PathBuf,
    /// Whether pods really run there.
    pub(crate) has_node: bool,
    /// Where the API server records requests.
    pub(crate) requests: Option<PathBuf>,
    pub(crate) namespace: String,
    pub(crate) execution_namespace: String,
    /// First port of its block.
    pub(crate) port: u16,
    /// Variables given to every service.
    pub(crate) settings: Variables,
    /// Where services export spans.
    pub(crate) traces: Option<String>,
}

impl Record {
    pub(crate) fn spaces(&self) -> Spaces {
        Spaces { namespace: self.namespace.clone(), execution_namespace: self.execution_namespace.clone() }
    }

    /// Whoever is responsible for it is gone.
    pub(crate) fn is_stale(&self) -> bool {
        !self.keep && !self.owner.is_alive()
    }

    /// The file in an environment's directory.
    pub(crate) fn path(directory: &Path) -> PathBuf {
        directory.join("environment.json")
    }

    pub(crate) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(directory)).ok()?).ok()
    }

    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let (new, path) = (directory.join("environment.new"), Self::path(directory));
        fs::write(&new, serde_json::to_string_pretty(self)?)?;
        fs::rename(&new, &path).with_context(|| format!("write {}", path.display()))
    }
}
