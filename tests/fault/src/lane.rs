//! Where faults happen, one after the other: an environment whose controller reaches the executor
//! through a switch, and whose pods end by themselves.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_cluster::Tier;
use evenkeel_test_kit::{Environment, Launches, Options, Replica, Service, ServiceProcess, StandIn};

use crate::{cluster::Ground, fault::Engine, switch::Switch};

/// After this, an attempt that took a target and launched nothing loses it to another.
pub const START_TIMEOUT: Duration = Duration::from_secs(1);

/// Settings that make everything happen soon.
const SETTINGS: [(&str, &str); 3] = [
    ("EVENKEEL_COOLDOWN", "100ms"),
    ("EVENKEEL_POLL_INTERVAL", "1s"),
    // As in START_TIMEOUT.
    ("EVENKEEL_START_TIMEOUT", "1s"),
];

/// An environment for faults.
pub struct Lane {
    /// The environment.
    pub environment: Environment,
    /// Between the clients of the executor and its replicas.
    pub switch: Switch,
    /// The runs that went live.
    pub launches: Launches,
    bundle: Option<String>,
    /// Where there is no real one.
    _kubelet: Option<StandIn>,
}

impl Lane {
    /// Starts one in this cluster.
    pub async fn open(ground: &Ground) -> anyhow::Result<Self> {
        let options = Options::default().tier(Tier::ControlPlane).cluster(&ground.kubeconfig());
        let options = options.without(Service::Controller);
        let options = SETTINGS.into_iter().fold(options, |all, (name, value)| all.setting(name, value));
        let environment = Environment::start(options).await?;
        let switch = Switch::begin(environment.executor_address()).await?;
        let launches = environment.launches().await?;
        let kubelet = (!ground.has_node()).then(|| StandIn::begin(environment.pods()));
        let bundle = ground.bundle.clone();
        let lane = Self { environment, switch, launches, bundle, _kubelet: kubelet };
        lane.start(Service::Controller, "").await?;
        Ok(lane)
    }

    /// Reference of the demo workflow for an engine.
    pub fn workflow(&self, engine: Engine) -> anyhow::Result<&str> {
        match engine {
            Engine::Job => Ok(evenkeel_cluster::DEMO_IMAGE),
            Engine::Tekton => self.bundle.as_deref().context("this lane has no Tekton"),
        }
    }

    /// Starts a service with a failpoint, or an empty text for none, and waits until it is ready.
    pub async fn start(&self, service: Service, failpoint: &str) -> anyhow::Result<()> {
        self.start_process(self.environment.service(service), failpoint, &[]).await
    }

    /// Starts one more process of a service with settings beside those of the lane, and waits until
    /// it is ready.
    pub async fn start_replica(
        &self,
        service: Service,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Replica> {
        let replica = self.environment.replica(service)?;
        self.start_process(&replica, "", settings).await?;
        Ok(replica)
    }

    /// Starts a process of a service and waits until it is ready.
    pub async fn start_process(
        &self,
        process: &ServiceProcess,
        failpoint: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        self.launch(process, failpoint, settings)?;
        process.ready().await
    }

    /// Starts a process of a service, which may never become ready.
    pub fn launch(
        &self,
        process: &ServiceProcess,
        failpoint: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let executor = self.switch.address();
        let mut extra = vec![("EVENKEEL_FAILPOINTS", failpoint)];
        extra.extend(settings);
        if process.service() == Service::Controller {
            extra.push(("EVENKEEL_EXECUTOR", &executor));
        }
        process.start(&extra)
    }
}
