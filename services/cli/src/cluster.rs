//! The cluster that the command line names.

use std::time::Duration;

use clap::Args;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::error::{Error, Result};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Which cluster, and where in it.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// Namespace of the executions.
    #[arg(
        short,
        long,
        global = true,
        env = "EVENKEEL_NAMESPACE",
        default_value = "kubernaut-system",
        help_heading = "Cluster"
    )]
    pub namespace: String,
    /// Kubeconfig file, instead of KUBECONFIG or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Context of the kubeconfig, instead of its current one.
    #[arg(long, global = true, help_heading = "Cluster")]
    pub context: Option<String>,
}

/// A cluster to talk to.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the identity of the kubeconfig.
    pub client: Client,
    /// Namespace of the executions.
    pub namespace: String,
    /// Address of the API server, for messages.
    pub server: String,
    /// Name of the context, for messages.
    pub context: String,
}

impl Cluster {
    /// Reads the kubeconfig; nothing is sent yet.
    pub async fn open(args: &ClusterArgs) -> Result<Self> {
        let unusable = |error: &dyn std::error::Error| Error::Kubeconfig(crate::error::root(error));
        let (mut config, context) = if let Some(kubeconfig) = read(args)? {
            let context = args.context.clone().or_else(|| kubeconfig.current_context.clone());
            let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            (config.map_err(|error| unusable(&error))?, context.unwrap_or_default())
        } else {
            let config = Config::incluster().map_err(|_| {
                Error::Kubeconfig("there is none, and this is no pod of a cluster".to_owned())
            })?;
            (config, "in-cluster".to_owned())
        };
        config.connect_timeout = Some(CONNECT_LIMIT);
        // What fails is told at once, to a person as to a service.
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok(Self { client, namespace: args.namespace.clone(), server, context })
    }

    /// What an error of the client means to a person.
    pub fn explain(&self, error: kube::Error) -> Error {
        Error::cluster(&self.server, error)
    }
}

/// The kubeconfig named, or the one that kubectl would read; none when there is no such file.
fn read(args: &ClusterArgs) -> Result<Option<Kubeconfig>> {
    if let Some(path) = &args.kubeconfig {
        return Kubeconfig::read_from(path)
            .map(Some)
            .map_err(|error| Error::file(path, crate::error::root(&error)));
    }
    let named = std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    match Kubeconfig::read() {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(error) if named || args.context.is_some() => Err(Error::Kubeconfig(crate::error::root(&error))),
        Err(kube::config::KubeconfigError::ReadConfig(..) | kube::config::KubeconfigError::FindPath) => {
            Ok(None)
        }
        Err(error) => Err(Error::Kubeconfig(crate::error::root(&error))),
    }
}
