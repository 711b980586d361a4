//! One environment: its place in a cluster, its services, and what a test does with them.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use evenkeel_api::{WorkflowExecution, WorkflowExecutionSpec, WorkflowRef};
use evenkeel_cluster::{Cluster, Registry, Tier, process::ProcessId};
use evenkeel_kit::{
    channel::{self, Connection},
    config::Security,
    tls::{self, Authority},
};
use evenkeel_proto::{
    audit::v1::audit_service_client::AuditServiceClient,
    execution::v1::execution_service_client::ExecutionServiceClient,
};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DynamicObject, PostParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
};

use crate::{
    identity, install,
    install::Spaces,
    launches::Launches,
    layout,
    options::Options,
    place::{Place, Repository},
    ports,
    proxy::Proxy,
    record::Record,
    requests::{Request, Requests},
    service::{Service, ServiceProcess},
    teardown, wait,
};

/// The ServiceAccount that may call the executor, and do nothing else.
const CALLER: &str = "evenkeel-client";

/// Services in a namespace of their own. Ends when dropped, unless it is kept.
pub struct Environment {
    repository: Repository,
    directory: PathBuf,
    record: Record,
    client: Client,
    authority: Authority,
    services: Vec<ServiceProcess>,
    requests: Option<Requests>,
    /// Beside the cluster, if Tekton was asked for.
    registry: Option<Registry>,
    /// Between services and the API server.
    proxies: Vec<(Service, Proxy)>,
    /// Keeps others off the ports.
    _ports: Option<TcpListener>,
}

impl Environment {
    /// Starts an environment of its own in the cluster that tests share, which is started first if
    /// it does not run, and waits until its services are ready.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let repository = Repository::find()?;
        teardown::reap(&repository);
        let name = format!("t-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let directory = repository.file(layout::TESTS).join(&name);
        let passing = options.kubeconfig.is_some();
        let place = match options.kubeconfig {
            Some(kubeconfig) => Place { kubeconfig, cluster: None, requests: options.requests },
            None => place(&repository, layout::TEST_CLUSTER, Tier::best().0).await?,
        };
        let has_node = place.cluster.as_ref().is_none_or(|cluster| cluster.tier() == Tier::Node);
        ensure!(options.tier == Tier::ControlPlane || has_node, "this test needs a cluster with a node");
        let registry = if options.tekton { Some(tekton(place.cluster).await?) } else { None };
        let ports = ports::claim()?;
        let spaces = Spaces::named(&name);
        let record = Record {
            owner: ProcessId::own(),
            keep: false,
            cluster: String::new(),
            passing,
            kubeconfig: place.kubeconfig,
            has_node,
            requests: place.requests,
            namespace: spaces.namespace,
            execution_namespace: spaces.execution_namespace,
            port: ports.first,
            settings: options.settings,
            traces: options.traces,
        };
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        record.write(&directory)?;
        let mut environment = Self::open(repository, directory, record, Some(ports.guard)).await?;
        environment.registry = registry;
        environment.install().await?;
        for service in options.proxied {
            let kubeconfig = layout::kubeconfig(&environment.directory, service);
            environment.proxies.push((service, Proxy::before(&kubeconfig).await?));
        }
        for service in options.services {
            environment.service(service).start(&[])?;
        }
        environment.ready().await?;
        Ok(environment)
    }

    /// The environment that a directory and its record speak of, as it is.
    pub(crate) async fn open(
        repository: Repository,
        directory: PathBuf,
        record: Record,
        ports: Option<TcpListener>,
    ) -> anyhow::Result<Self> {
        let client = client(&record.kubeconfig).await?;
        let authority = Authority::open(&directory.join("pki"))?;
        let requests = record.requests.as_deref().map(|path| Requests::since_now(path, &record.namespace));
        let services = Service::ALL
            .into_iter()
            .map(|service| layout::process(&directory, &record, &authority, service))
            .collect::<anyhow::Result<_>>()?;
        let (registry, proxies) = (None, Vec::new());
        Ok(Self {
            repository,
            directory,
            record,
            client,
            authority,
            services,
            requests,
            registry,
            proxies,
            _ports: ports,
        })
    }

    /// Puts into the cluster what the services need, and gives them their identities.
    pub(crate) async fn install(&self) -> anyhow::Result<()> {
        install::install(&self.client, &self.repository, &self.record.spaces()).await?;
        for service in Service::ALL {
            let path = layout::kubeconfig(&self.directory, service);
            if !path.exists() && layout::uses_cluster(service) {
                let token =
                    identity::token(&self.client, self.namespace(), &format!("evenkeel-{service}")).await?;
                identity::kubeconfig(&self.record.kubeconfig, &token, &path)?;
            }
        }
        Ok(())
    }

    /// Waits until every service that runs is ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let running = self.services.iter().filter(|service| service.pid().is_some());
        futures::future::try_join_all(running.map(ServiceProcess::ready)).await.map(drop)
    }

    /// Where executions are applied.
    pub fn namespace(&self) -> &str {
        &self.record.namespace
    }

    /// Where runs appear.
    pub fn execution_namespace(&self) -> &str {
        &self.record.execution_namespace
    }

    /// Where its files are: logs, certificates, the audit log's data.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether pods really run.
    pub fn has_node(&self) -> bool {
        self.record.has_node
    }

    /// A service, running or not.
    #[expect(clippy::missing_panics_doc, reason = "it cannot, as the sentence says")]
    pub fn service(&self, service: Service) -> &ServiceProcess {
        let found = self.services.iter().find(|process| process.service() == service);
        found.expect("an environment has a process of every service, running or not")
    }

    /// The proxy before the API server of a service that was to have one.
    pub fn proxy(&self, service: Service) -> anyhow::Result<&Proxy> {
        let found = self.proxies.iter().find(|(behind, _)| *behind == service);
        found.map(|(_, proxy)| proxy).with_context(|| format!("{service} has no proxy"))
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig of that client.
    pub fn kubeconfig(&self) -> &Path {
        &self.record.kubeconfig
    }

    /// The executions.
    pub fn executions(&self) -> Api<WorkflowExecution> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// The Jobs that executions became.
    pub fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client(), self.execution_namespace())
    }

    /// The Tekton runs that executions became.
    pub fn pipeline_runs(&self) -> Api<DynamicObject> {
        self.runs_of("tekton.dev", "PipelineRun")
    }

    /// Objects of a kind, in its version v1, where runs appear.
    pub(crate) fn runs_of(&self, group: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        Api::namespaced_with(self.client(), self.execution_namespace(), &resource)
    }

    /// The registry from which Tekton takes bundles and pods take images. An error if Tekton was not
    /// among the options. Its calls block, for milliseconds.
    pub fn registry(&self) -> anyhow::Result<Registry> {
        self.registry.context("this environment was started without Tekton")
    }

    /// `host:port` of the executor.
    pub fn executor_address(&self) -> String {
        layout::address(&self.record, Service::Executor)
    }

    /// `host:port` of the audit log.
    pub fn audit_address(&self) -> String {
        layout::address(&self.record, Service::Audit)
    }

    /// The identity of a person with a certificate.
    pub fn security(&self) -> anyhow::Result<Security> {
        self.authority.identity(layout::PERSON)
    }

    /// The authority that all identities come from.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The executor, called by a person with a certificate.
    pub fn executor(&self) -> anyhow::Result<ExecutionServiceClient<Connection>> {
        Ok(ExecutionServiceClient::new(channel::connect(&self.executor_address(), &self.security()?)?))
    }

    /// The audit log, called by a person with a certificate.
    pub fn audit(&self) -> anyhow::Result<AuditServiceClient<Connection>> {
        Ok(AuditServiceClient::new(channel::connect(&self.audit_address(), &self.security()?)?))
    }

    /// A token of a ServiceAccount that may call the executor, and do nothing else.
    pub async fn token(&self) -> anyhow::Result<String> {
        identity::token(&self.client, self.namespace(), CALLER).await
    }

    /// An execution of the demo image on the Job engine.
    pub fn execution(&self, name: &str, target: &str, parameters: &[(&str, &str)]) -> WorkflowExecution {
        let workflow_ref = WorkflowRef {
            workflow_id: "5f0c1c70-0f0e-4e0c-9d2a-3c6a4f1b7d10".into(),
            version: "1.0.0".into(),
            execution_bundle: evenkeel_cluster::DEMO_IMAGE.into(),
            workflow_name: Some("demo".into()),
            execution_engine: Some("job".into()),
            ..WorkflowRef::default()
        };
        let spec = WorkflowExecutionSpec {
            workflow_ref,
            target_resource: target.into(),
            parameters: parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..WorkflowExecutionSpec::default()
        };
        let mut execution = WorkflowExecution::new(name, spec);
        execution.spec.remediation_request_ref.name = Some(format!("rr-{name}"));
        execution.metadata.namespace = Some(self.namespace().into());
        execution
    }

    /// Creates an execution.
    pub async fn apply(&self, execution: &WorkflowExecution) -> anyhow::Result<WorkflowExecution> {
        let created = self.executions().create(&PostParams::default(), execution).await;
        created.with_context(|| format!("create execution {}", execution.name_any()))
    }

    /// Waits until an execution is in this phase. An error when it ends in another.
    pub async fn phase(&self, name: &str, phase: &str, limit: Duration) -> anyhow::Result<WorkflowExecution> {
        let of = |execution: &WorkflowExecution| execution.status.clone().and_then(|status| status.phase);
        let ended = ["Completed", "Failed"];
        let what = format!("phase {phase}");
        let execution = wait::until(&self.executions(), name, &what, limit, |execution| {
            of(execution).is_some_and(|now| now == phase || ended.contains(&now.as_str()))
        })
        .await?;
        match of(&execution) {
            Some(now) if now == phase => Ok(execution),
            _ => bail!("{name} did not become {phase}: {:?}", execution.status),
        }
    }

    /// Starts to count the runs that go live.
    pub async fn launches(&self) -> anyhow::Result<Launches> {
        Launches::follow(self.runs_of("batch", "Job"), self.pipeline_runs()).await
    }

    /// What the services asked of the API server so far. An error on a cluster that was named by
    /// somebody, which does not record it for us.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        self.requests.as_ref().context("this cluster does not record requests")?.all()
    }

    /// The requests among them that the API server refused for lack of permission.
    pub fn forbidden(&self) -> anyhow::Result<Vec<Request>> {
        Ok(self.requests()?.into_iter().filter(|request| request.code == 403).collect())
    }

    /// Shows how the logs of the services end.
    pub(crate) fn show_logs(&self) {
        for service in &self.services {
            eprintln!("--- the log of {} ends\n{}", service.service(), service.log_tail());
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn services(&self) -> &[ServiceProcess] {
        &self.services
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if self.record.keep {
            return;
        }
        if thread::panicking() {
            self.show_logs();
            eprintln!("--- all logs are in {}", self.directory.display());
        }
        teardown::end(&self.repository, &self.directory, &self.record);
    }
}

/// Finds or starts a cluster, which blocks.
pub(crate) async fn place(
    repository: &Repository,
    purpose: &'static str,
    tier: Tier,
) -> anyhow::Result<Place> {
    let repository = repository.clone();
    tokio::task::spawn_blocking(move || Place::find_or_start(&repository, purpose, tier)).await?
}

/// Tekton and a registry in a cluster, which takes half a minute the first time.
pub(crate) async fn tekton(cluster: Option<Cluster>) -> anyhow::Result<Registry> {
    let cluster = cluster.context("Tekton is only put into clusters that this program starts")?;
    let install = move || cluster.tekton().and_then(|()| cluster.registry());
    Ok(tokio::task::spawn_blocking(install).await??)
}

/// A client with the identity of a kubeconfig.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    connect(kubeconfig, |_| {}).await
}

/// A client of the same cluster with a token as its only credential.
pub async fn client_with_token(kubeconfig: &Path, token: &str) -> anyhow::Result<Client> {
    connect(kubeconfig, |config| {
        config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
    })
    .await
}

/// A client of the same cluster that the API server takes for another user.
pub(crate) async fn client_as(kubeconfig: &Path, user: &str) -> anyhow::Result<Client> {
    connect(kubeconfig, |config| config.auth_info.impersonate = Some(user.to_owned())).await
}

pub(crate) async fn connect(kubeconfig: &Path, change: impl FnOnce(&mut Config)) -> anyhow::Result<Client> {
    tls::install_provider();
    let kubeconfig =
        Kubeconfig::read_from(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    change(&mut config);
    Ok(Client::try_from(config)?)
}
