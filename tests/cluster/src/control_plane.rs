//! etcd, API server, controller manager and scheduler.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    certificates::Authority,
    error::Result,
    http::Client,
    instance::{Component, Instance},
    kubeconfig,
    ports::{Number, Port},
    process::Program,
    progress::Progress,
    ready,
    tier::Tier,
    tools::{Tool, Toolbox},
};

/// The programs of this tier.
pub(crate) const TOOLS: [Tool; 4] =
    [Tool::Etcd, Tool::KubeApiserver, Tool::KubeControllerManager, Tool::KubeScheduler];

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Nobody forwards the addresses of Services, so the API server calls webhooks in their pods.
pub(crate) const WEBHOOKS_IN_PODS: &str = "--enable-aggregator-routing=true";

/// What the parts of one cluster agree on.
pub(crate) struct Plan<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) number: Number,
    pub(crate) tier: Tier,
    pub(crate) tools: &'a Toolbox,
    /// Arguments a test adds.
    pub(crate) extra: &'a BTreeMap<Component, Vec<String>>,
    pub(crate) progress: &'a Progress,
}

impl Plan<'_> {
    pub(crate) fn authority(&self) -> Authority {
        Authority::at(&self.instance.file("certs"))
    }

    /// Where the API server is: on the bridge when pods must reach it, else on the loopback. Never
    /// on an address that others can reach.
    pub(crate) fn api_server(&self) -> SocketAddr {
        api_server(self.number, self.tier)
    }

    fn port(&self, port: Port) -> String {
        self.number.port(port).to_string()
    }

    pub(crate) fn spawn(&self, component: Component, tool: Tool, mut args: Vec<String>) -> Result<()> {
        args.extend(self.extra.get(&component).into_iter().flatten().cloned());
        self.instance.spawn(component, Program::new(self.tools.path(tool)?, args))
    }

    /// Writes a kubeconfig for one of the cluster's own users.
    pub(crate) fn kubeconfig(&self, file: &str, user: &str, groups: &[&str]) -> Result<()> {
        let authority = self.authority();
        let pair = authority.client(user, groups)?;
        let url = format!("https://{}", self.api_server());
        let path = self.instance.file(file);
        kubeconfig::write(
            &path,
            &format!("evenkeel-{}", self.instance.name),
            &url,
            &authority.ca()?,
            user,
            &pair,
        )
    }
}

pub(crate) fn api_server(number: Number, tier: Tier) -> SocketAddr {
    let address = match tier {
        Tier::Node => number.host_address(),
        Tier::ControlPlane => Ipv4Addr::LOCALHOST,
    };
    (address, number.port(Port::ApiServer)).into()
}

/// A client with all rights.
pub(crate) fn admin(instance: &Instance, number: Number, tier: Tier) -> Result<Client> {
    let authority = Authority::at(&instance.file("certs"));
    let pair = authority.client("evenkeel-test", &["system:masters"])?;
    Client::secure(api_server(number, tier), &authority.ca()?, &pair.certificate, &pair.key)
}

/// Makes certificates and kubeconfigs.
pub(crate) fn prepare(plan: &Plan) -> Result<()> {
    let authority = plan.authority();
    authority.create()?;
    authority.server("apiserver", &names(plan))?;
    authority.client_files("apiserver-to-kubelet", "kube-apiserver", &["system:masters"])?;
    plan.kubeconfig("kubeconfig", "admin", &["system:masters"])?;
    plan.kubeconfig("controller-manager.kubeconfig", "system:kube-controller-manager", &[])?;
    plan.kubeconfig("scheduler.kubeconfig", "system:kube-scheduler", &[])
}

fn names(plan: &Plan) -> Vec<String> {
    let short = "kubernetes.default.svc";
    let mut names: Vec<String> =
        ["localhost", "kubernetes", "kubernetes.default", short].map(Into::into).into();
    names.push(format!("{short}.cluster.local"));
    let addresses = [Ipv4Addr::LOCALHOST, plan.number.first_service(), plan.number.host_address()];
    names.extend(addresses.map(|address| address.to_string()));
    names
}

/// Starts everything and waits until objects can be made and controllers work.
pub(crate) fn start(plan: &Plan) -> Result<()> {
    let (instance, limit) = (plan.instance, Duration::from_mins(1));
    plan.spawn(Component::Etcd, Tool::Etcd, etcd(plan))?;
    let client = (Ipv4Addr::LOCALHOST, plan.number.port(Port::EtcdClient)).into();
    ready::wait(instance, Component::Etcd, "etcd to listen", limit, || listens(client))?;
    plan.progress.step("etcd listens");
    plan.spawn(Component::ApiServer, Tool::KubeApiserver, apiserver(plan))?;
    wait_api_server(instance, plan.number, plan.tier)?;
    plan.progress.step("API server is ready");
    plan.spawn(Component::ControllerManager, Tool::KubeControllerManager, controller_manager(plan))?;
    plan.spawn(Component::Scheduler, Tool::KubeScheduler, scheduler(plan))
}

/// Waits for the first thing only a working controller manager brings about.
pub(crate) fn wait_controllers(plan: &Plan) -> Result<()> {
    let admin = admin(plan.instance, plan.number, plan.tier)?;
    let path = "/api/v1/namespaces/default/serviceaccounts/default";
    let (by, what) = (Component::ControllerManager, "the default ServiceAccount");
    ready::wait(plan.instance, by, what, Duration::from_mins(1), || admin.get(path).ok())?;
    plan.progress.step("controllers work");
    Ok(())
}

/// Waits until the API server says it is ready.
pub(crate) fn wait_api_server(instance: &Instance, number: Number, tier: Tier) -> Result<()> {
    let admin = admin(instance, number, tier)?;
    let (by, what) = (Component::ApiServer, "the API server to be ready");
    ready::wait(instance, by, what, Duration::from_mins(1), || admin.get("/readyz").ok())?;
    Ok(())
}

fn listens(address: SocketAddr) -> Option<()> {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok().map(drop)
}

fn etcd(plan: &Plan) -> Vec<String> {
    let url = |port| format!("http://127.0.0.1:{}", plan.number.port(port));
    let (client, peer) = (url(Port::EtcdClient), url(Port::EtcdPeer));
    vec![
        "--name=one".into(),
        format!("--data-dir={}", plan.instance.arg("etcd")),
        // The data need not survive the machine.
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=one={peer}"),
    ]
}

fn apiserver(plan: &Plan) -> Vec<String> {
    let certs = plan.authority();
    let address: IpAddr = plan.api_server().ip();
    let mut args = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", plan.number.port(Port::EtcdClient)),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--secure-port={}", plan.port(Port::ApiServer)),
        format!("--cert-dir={}", plan.instance.arg("certs")),
        format!("--client-ca-file={}", certs.arg("ca.crt")),
        format!("--tls-cert-file={}", certs.arg("apiserver.crt")),
        format!("--tls-private-key-file={}", certs.arg("apiserver.key")),
        format!("--kubelet-client-certificate={}", certs.arg("apiserver-to-kubelet.crt")),
        format!("--kubelet-client-key={}", certs.arg("apiserver-to-kubelet.key")),
        format!("--kubelet-certificate-authority={}", certs.arg("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        format!("--service-account-issuer={ISSUER}"),
        format!("--service-account-key-file={}", certs.arg("tokens.pub")),
        format!("--service-account-signing-key-file={}", certs.arg("tokens.key")),
        format!("--service-cluster-ip-range={}", plan.number.services()),
        "--allow-privileged=true".into(),
        "--profiling=false".into(),
    ];
    args.push(match plan.tier {
        // The reconciler of endpoints refuses a loopback address, and no pod would use it.
        Tier::ControlPlane => "--endpoint-reconciler-type=none".into(),
        Tier::Node => WEBHOOKS_IN_PODS.into(),
    });
    args
}

fn controller_manager(plan: &Plan) -> Vec<String> {
    let certs = plan.authority();
    vec![
        format!("--kubeconfig={}", plan.instance.arg("controller-manager.kubeconfig")),
        "--leader-elect=false".into(),
        "--use-service-account-credentials=true".into(),
        format!("--service-account-private-key-file={}", certs.arg("tokens.key")),
        format!("--root-ca-file={}", certs.arg("ca.crt")),
        format!("--cluster-signing-cert-file={}", certs.arg("ca.crt")),
        format!("--cluster-signing-key-file={}", certs.arg("ca.key")),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={}", plan.port(Port::ControllerManager)),
        // It looks for plugins, and makes the directory if there is none.
        format!("--flex-volume-plugin-dir={}", plan.instance.arg("plugins")),
        // The default would stretch its start to seconds, and Jobs created in a burst likewise.
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
    ]
}

fn scheduler(plan: &Plan) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", plan.instance.arg("scheduler.kubeconfig")),
        "--leader-elect=false".into(),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={}", plan.port(Port::Scheduler)),
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
    ]
}
