//! The connection of a service to the Kubernetes API.

use anyhow::Context as _;
use kube::{Client, Config};

/// A client of the cluster that the kubeconfig names or, in a pod, of its own. What fails is told at
/// once: whoever asked decides when to ask again, and a wait inside the client would be neither seen
/// nor woken.
pub async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context("find the Kubernetes API")?;
    config.default_retry = false;
    Client::try_from(config).context("set up the client of the Kubernetes API")
}
