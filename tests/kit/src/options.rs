//! What an environment is to be like.

use std::path::{Path, PathBuf};

use evenkeel_cluster::Tier;

use crate::service::{Service, Variables};

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) settings: Variables,
    pub(crate) services: Vec<Service>,
    pub(crate) tier: Tier,
    pub(crate) tekton: bool,
    pub(crate) traces: Option<String>,
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) requests: Option<PathBuf>,
    pub(crate) proxied: Vec<Service>,
}

impl Default for Options {
    /// All services with their defaults, on the highest tier that this machine can have.
    fn default() -> Self {
        Self {
            settings: Variables::new(),
            services: Service::ALL.to_vec(),
            tier: Tier::best().0,
            tekton: false,
            traces: None,
            kubeconfig: None,
            requests: None,
            proxied: Vec::new(),
        }
    }
}

impl Options {
    /// Sets an environment variable of every service, such as `EVENKEEL_COOLDOWN`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Does not start this service. It can be started later.
    #[must_use]
    pub fn without(mut self, service: Service) -> Self {
        self.services.retain(|one| *one != service);
        self
    }

    /// How much of a cluster is needed at least.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Tekton and an image registry are needed, and with them a cluster with a node. See
    /// [`Environment::registry`](crate::Environment::registry).
    #[must_use]
    pub fn tekton(mut self) -> Self {
        self.tier = Tier::Node;
        self.tekton = true;
        self
    }

    /// Starts in this cluster and not in the one that tests share: for tests that break it. It must
    /// end with the test, for nothing is removed from it.
    #[must_use]
    pub fn cluster(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }

    /// The file in which the API server of that cluster records requests, as
    /// `deploy/dev/request-record.yaml` says.
    #[must_use]
    pub fn requests_recorded_in(mut self, file: &Path) -> Self {
        self.requests = Some(file.to_owned());
        self
    }

    /// Has this service reach the API server through a proxy that breaks things when it is told to.
    #[must_use]
    pub fn proxied(mut self, service: Service) -> Self {
        self.proxied.push(service);
        self
    }

    /// Exports spans to this OTLP address without delay.
    #[must_use]
    pub fn traces_to(mut self, endpoint: &str) -> Self {
        self.traces = Some(endpoint.to_owned());
        self
    }
}
