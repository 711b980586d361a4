//! Where environments keep their files, and the cluster that they share.

use std::{
    env, fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use evenkeel_cluster::{Cluster, Component, Tier};
use sha2::{Digest as _, Sha256};

/// Names a cluster to test against instead of a local one, which is then left as it is.
const NAMED_KUBECONFIG: &str = "EVENKEEL_TEST_KUBECONFIG";

/// A checkout of the repository.
#[derive(Clone, Debug)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The checkout that the running program belongs to.
    pub fn find() -> anyhow::Result<Self> {
        // Cargo tells tests; everybody else is started somewhere in the checkout.
        let start = env::var_os("CARGO_MANIFEST_DIR").map_or_else(env::current_dir, |dir| Ok(dir.into()))?;
        let root = start
            .ancestors()
            .find(|dir| dir.join("deploy/crds").is_dir() && dir.join("Cargo.lock").is_file());
        match root {
            Some(root) => Ok(Self { root: root.to_owned() }),
            None => bail!("{} is not in a checkout of the repository", start.display()),
        }
    }

    /// A file of the checkout.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Files of this type in a directory of the checkout, in order.
    pub(crate) fn files(&self, directory: &str, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
        let directory = self.file(directory);
        let entries = fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?;
        let paths = entries.flatten().map(|entry| entry.path());
        let mut found: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|kind| kind == extension)).collect();
        found.sort();
        Ok(found)
    }

    /// A name for a cluster of this checkout, so that those of several checkouts differ.
    pub(crate) fn cluster_name(&self, purpose: &str) -> String {
        let hash = hex::encode(Sha256::digest(self.root.as_os_str().as_bytes()));
        format!("{purpose}-{}", &hash[..8])
    }
}

/// A cluster and how it is reached as its administrator.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) kubeconfig: PathBuf,
    /// None when somebody named a cluster of their own.
    pub(crate) cluster: Option<Cluster>,
    /// Where its API server records what the services ask of it.
    pub(crate) requests: Option<PathBuf>,
}

impl Place {
    /// The cluster for this purpose, started if it does not run.
    pub(crate) fn find_or_start(repository: &Repository, purpose: &str, tier: Tier) -> anyhow::Result<Self> {
        if let Some(path) = env::var_os(NAMED_KUBECONFIG).filter(|path| !path.is_empty()) {
            return Ok(Self { kubeconfig: path.into(), cluster: None, requests: None });
        }
        let name = repository.cluster_name(purpose);
        let requests = requests_file(repository, purpose);
        fs::create_dir_all(requests.parent().context("a file has a directory")?)?;
        let policy = repository.file("deploy/dev/request-record.yaml");
        let cluster = Cluster::options()
            .name(&name)
            .tier(tier)
            .keep(true)
            .progress(true)
            .argument(Component::ApiServer, argument("--audit-policy-file", &policy))
            .argument(Component::ApiServer, argument("--audit-log-path", &requests))
            .argument(Component::ApiServer, "--audit-log-maxsize=1000")
            .find_or_start()?;
        Ok(Self { kubeconfig: cluster.kubeconfig_path(), cluster: Some(cluster), requests: Some(requests) })
    }

    /// Ends the cluster for this purpose.
    pub(crate) fn down(repository: &Repository, purpose: &str) -> anyhow::Result<bool> {
        let ended = evenkeel_cluster::down(&repository.cluster_name(purpose))?;
        let _ = fs::remove_file(requests_file(repository, purpose));
        Ok(ended)
    }
}

fn requests_file(repository: &Repository, purpose: &str) -> PathBuf {
    repository.file(&format!("target/clusters/{purpose}-requests.log"))
}

fn argument(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
