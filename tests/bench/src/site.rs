//! The cluster of a run, and the environments in it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use evenkeel_cluster::{Cluster, Component, Tier};
use evenkeel_test_kit::{Environment, Options, Repository, Service};
use tokio::task::JoinHandle;

use crate::{backend::Backend, load::Maker, raw::Raw, resources, timeline::Timeline};

/// A cluster of a run's own.
pub struct Ground {
    cluster: Cluster,
    requests: PathBuf,
    /// Reference of the bundle that pipelines come from, where there is Tekton.
    bundle: Option<String>,
}

impl Ground {
    /// Starts a control plane. Runs are ended by [`Backend`], so there is no Job controller. Blocks.
    pub fn start() -> anyhow::Result<Self> {
        let options = Cluster::options().tier(Tier::ControlPlane);
        Self::of(options.argument(Component::ControllerManager, "--controllers=*,-job-controller"))
    }

    /// Starts a cluster where pods run, and pipelines by the real Tekton. Blocks.
    pub fn start_with_tekton() -> anyhow::Result<Self> {
        let mut ground = Self::of(Cluster::options().tier(Tier::Node).tekton(true))?;
        ground.bundle = Some(ground.cluster.registry()?.push_demo_bundle()?);
        Ok(ground)
    }

    fn of(options: evenkeel_cluster::Options) -> anyhow::Result<Self> {
        let repository = Repository::find()?;
        let directory = repository.file("target/clusters");
        std::fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        let requests = directory.join(format!("bench-{}-requests.log", std::process::id()));
        let policy = repository.file("deploy/dev/request-record.yaml");
        let cluster = options
            .progress(true)
            .argument(Component::ApiServer, format!("--audit-policy-file={}", policy.display()))
            .argument(Component::ApiServer, format!("--audit-log-path={}", requests.display()))
            .argument(Component::ApiServer, "--audit-log-maxsize=1000")
            .start()?;
        Ok(Self { cluster, requests, bundle: None })
    }

    /// An environment with all services, which export spans to this address, if any.
    pub async fn services(&self, traces: Option<&str>) -> anyhow::Result<Site> {
        let options = traces.into_iter().fold(self.options(), Options::traces_to);
        let environment = Arc::new(Environment::start(options).await?);
        let timeline = Timeline::default();
        let backend = Backend::begin(&environment, &timeline, |_| ());
        let maker = Maker::Executions(Arc::clone(&environment));
        Ok(Site { environment, timeline, maker, _backend: backend, _follow: None })
    }

    /// An environment without services, where the raw client works.
    pub async fn raw(&self) -> anyhow::Result<Site> {
        let environment = Arc::new(self.bare_environment().await?);
        let (raw, timeline) = (Raw::new(&environment), Timeline::default());
        let backend = Backend::begin(&environment, &timeline, raw.completed());
        let follow = Some(raw.follow(&timeline));
        Ok(Site {
            environment,
            timeline,
            maker: Maker::Raw(Arc::new(raw)),
            _backend: backend,
            _follow: follow,
        })
    }

    /// An environment with all services, and nothing else.
    pub async fn environment(&self) -> anyhow::Result<Environment> {
        Environment::start(self.options()).await
    }

    /// An environment without services.
    pub async fn bare_environment(&self) -> anyhow::Result<Environment> {
        Environment::start(Service::ALL.into_iter().fold(self.options(), Options::without)).await
    }

    /// Reference of the bundle that pipelines come from.
    pub fn bundle(&self) -> anyhow::Result<&str> {
        self.bundle.as_deref().context("there is no Tekton in this cluster")
    }

    fn options(&self) -> Options {
        Options::default()
            .tier(Tier::ControlPlane)
            .cluster(&self.cluster.kubeconfig_path())
            .requests_recorded_in(&self.requests)
            .setting("EVENKEEL_COOLDOWN", "1ms")
    }

    /// Processor time used so far by the parts of the cluster, and by this very process.
    pub fn processor_times(&self) -> anyhow::Result<BTreeMap<String, Duration>> {
        let all = evenkeel_cluster::list()?;
        let own = all.into_iter().filter(|status| status.name == self.cluster.name());
        let parts = own.flat_map(|status| status.components);
        let mut times = BTreeMap::new();
        for (component, pid, _) in parts {
            times.insert(component.to_string(), resources::processor_time(pid)?);
        }
        times.insert("this bench".into(), resources::processor_time(i32::try_from(std::process::id())?)?);
        Ok(times)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.requests);
    }
}

/// An environment with its backend.
pub struct Site {
    /// The environment.
    pub environment: Arc<Environment>,
    /// What happened in it.
    pub timeline: Timeline,
    /// What makes work in it.
    pub maker: Maker,
    _backend: Backend,
    _follow: Option<JoinHandle<()>>,
}

impl Site {
    /// Processor time used so far by each service.
    pub fn processor_times(&self) -> anyhow::Result<BTreeMap<String, Duration>> {
        let time = |service: Service| {
            let pid = self.environment.service(service).pid().context("it runs")?;
            Ok((service.name().to_owned(), resources::processor_time(pid)?))
        };
        Service::ALL.into_iter().map(time).collect()
    }

    /// Bytes of memory that each service occupies.
    pub fn resident_memory(&self) -> anyhow::Result<Vec<(Service, u64)>> {
        let of = |service| Ok((service, self.environment.service(service).resident_memory()?));
        Service::ALL.into_iter().map(of).collect()
    }
}
