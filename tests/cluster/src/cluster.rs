//! A running cluster, as its users see it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::{
    certificates::Authority,
    containerd, control_plane,
    control_plane::Plan,
    error::{Doing, Error, Result},
    host,
    instance::{Component, Instance, Kind, Record},
    kubeconfig, node, packages,
    ports::{Number, Port},
    process,
    progress::Progress,
    teardown::Logs,
    tier::{self, Tier},
    tools::{self, Tool},
};

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    tier: Tier,
    name: Option<String>,
    keep: bool,
    progress: bool,
    extra: BTreeMap<Component, Vec<String>>,
}

impl Options {
    /// How much of a cluster; a control plane unless told.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Its name; one of its own unless told.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Leave it running when this process ends.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// Tell the steps on standard error.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Adds an argument to a component's command line, such as `--watch-cache=false`.
    #[must_use]
    pub fn argument(mut self, component: Component, argument: impl Into<String>) -> Self {
        self.extra.entry(component).or_default().push(argument.into());
        self
    }

    /// Starts it and waits until it can be used.
    pub fn start(self) -> Result<Cluster> {
        let instance = self.instance()?;
        self.build()?;
        let _lock = instance.lock()?;
        self.start_locked(instance)
    }

    fn instance(&self) -> Result<Instance> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = || format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Instance::named(&self.name.clone().unwrap_or_else(own))
    }

    /// Gets all programs before any lock is taken: building them may take minutes.
    fn build(&self) -> Result<tools::Toolbox> {
        let mut needed = control_plane::TOOLS.to_vec();
        if self.tier == Tier::Node {
            if let Some(why) = tier::node_hindrance() {
                return Err(Error::NoNode(why));
            }
            packages::ensure()?;
            needed.extend([Tool::Kubelet, Tool::Demo]);
        }
        tools::ensure(&needed)
    }

    fn start_locked(self, instance: Instance) -> Result<Cluster> {
        let tools = self.build()?;
        let (kind, expected) = match self.tier {
            Tier::ControlPlane => (Kind::ControlPlane, 4),
            Tier::Node => (Kind::Node, 8),
        };
        let progress = Progress::new(self.progress, Duration::from_secs(expected));
        let (number, guard) = instance.create(kind, self.keep)?;
        let (tier, extra) = (self.tier, &self.extra);
        let plan = Plan { instance: &instance, number, tier, tools: &tools, extra, progress: &progress };
        if let Err(error) = bring_up(&plan) {
            // What went wrong is said by `error`; its log stays.
            let _ = instance.end(Logs::Keep);
            return Err(error);
        }
        drop(guard);
        instance.update(|record| record.ready = true)?;
        Ok(Cluster { instance, number, tier, ends_on_drop: !self.keep })
    }
}

fn bring_up(plan: &Plan) -> Result<()> {
    if plan.tier == Tier::ControlPlane {
        control_plane::prepare(plan)?;
        control_plane::start(plan)?;
        return control_plane::wait_controllers(plan);
    }
    node::prepare(plan)?;
    control_plane::prepare(plan)?;
    thread::scope(|scope| {
        // The container runtime takes in its images while the API server starts.
        let runtime = scope.spawn(|| containerd::start(plan));
        let control_plane = control_plane::start(plan);
        let runtime = runtime.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        control_plane.and(runtime)
    })?;
    node::start(plan)?;
    control_plane::wait_controllers(plan)?;
    node::wait_ready(plan)
}

/// A running cluster. Ends when dropped, unless it is kept or was attached to.
#[derive(Debug)]
pub struct Cluster {
    instance: Instance,
    number: Number,
    tier: Tier,
    ends_on_drop: bool,
}

impl Cluster {
    /// Starts from a control plane that ends with the returned value.
    pub fn options() -> Options {
        Options { tier: Tier::ControlPlane, name: None, keep: false, progress: false, extra: BTreeMap::new() }
    }

    /// The running cluster of this name. Dropping the result leaves it running.
    pub fn attach(name: &str) -> Result<Self> {
        let instance = Instance::named(name)?;
        let record = instance.known()?;
        Self::of(instance, &record)
    }

    /// The running cluster of this name and at least this tier, started if there is none. It stays
    /// up for whoever comes next, until [`down`](crate::down); so test programs share one.
    pub fn find_or_start(name: &str, tier: Tier) -> Result<Self> {
        Self::options().name(name).tier(tier).keep(true).progress(true).find_or_start()
    }

    fn of(instance: Instance, record: &Record) -> Result<Self> {
        let tier = match record.kind {
            Kind::ControlPlane => Tier::ControlPlane,
            Kind::Node => Tier::Node,
            Kind::Jaeger => return Err(Error::NotRunning(instance.name)),
        };
        if !record.is_up() {
            return Err(Error::NotRunning(instance.name));
        }
        Ok(Self { instance, number: record.number, tier, ends_on_drop: false })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.instance.name
    }

    /// How much of a cluster it is.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Its directory, which goes when the cluster does.
    pub fn dir(&self) -> &Path {
        &self.instance.dir
    }

    /// The logs of its components.
    pub fn logs(&self) -> PathBuf {
        self.instance.file("logs")
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.instance.file("kubeconfig")
    }

    /// The certificate of the authority that signed the API server's certificate, and whose client
    /// certificates the API server accepts.
    pub fn ca_path(&self) -> PathBuf {
        self.instance.file("certs").join("ca.crt")
    }

    /// The key of that authority.
    pub fn ca_key_path(&self) -> PathBuf {
        self.instance.file("certs").join("ca.key")
    }

    /// The API server.
    pub fn url(&self) -> String {
        format!("https://{}", control_plane::api_server(self.number, self.tier))
    }

    /// The client address of etcd, in the clear.
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.number.port(Port::EtcdClient))
    }

    /// The address on which servers of this host are reached by pods (or, without a node, by
    /// whoever is on this host).
    pub fn host_address(&self) -> IpAddr {
        control_plane::api_server(self.number, self.tier).ip()
    }

    /// The name of its node, if it has one.
    pub fn node_name(&self) -> Option<String> {
        (self.tier == Tier::Node).then(|| self.number.label())
    }

    /// Makes a kubeconfig for a user of up to two groups, with a client certificate. The same user
    /// and groups get the same file.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let dir = self.instance.file("users");
        std::fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
        let hash = hex::encode(Sha256::digest(format!("{user}\0{}", groups.join("\0"))));
        let path = dir.join(format!("{}.kubeconfig", &hash[..16]));
        let authority = Authority::at(&self.instance.file("certs"));
        let pair = authority.client(user, groups)?;
        kubeconfig::write(
            &path,
            &format!("evenkeel-{}", self.name()),
            &self.url(),
            &authority.ca()?,
            user,
            &pair,
        )?;
        Ok(path)
    }

    /// Runs kubectl as administrator: what it printed, or why it failed.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with(args, "")
    }

    /// The same with something on its standard input, for `-f -`.
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Result<String> {
        let tools = tools::ensure(&[Tool::Kubectl])?;
        let mut command = Command::new(tools.path(Tool::Kubectl)?);
        command.arg("--kubeconfig").arg(self.kubeconfig_path()).args(args);
        host::run_with(&mut command, input)
    }

    /// Takes an archive made by [`Image::write`](crate::image::Image::write) into the node.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        if self.tier != Tier::Node {
            return Err(Error::NeedsNode(self.name().into()));
        }
        containerd::import(&self.instance, archive)
    }

    /// Kills the API server, starts it again on the same etcd and waits until it is ready.
    pub fn apiserver_restart(&self) -> Result<()> {
        self.restart(Component::ApiServer)?;
        control_plane::wait_api_server(&self.instance, self.number, self.tier)
    }

    /// Waits until the API server says it is ready, after a pause or a restart.
    pub fn wait_ready(&self) -> Result<()> {
        control_plane::wait_api_server(&self.instance, self.number, self.tier)
    }

    /// Kills a component and starts it again as it was.
    pub fn restart(&self, component: Component) -> Result<()> {
        self.instance.restart(component)
    }

    /// Kills a component. [`restart`](Self::restart) brings it back.
    pub fn kill(&self, component: Component) -> Result<()> {
        self.instance.running(component)?.process.kill();
        Ok(())
    }

    /// Stops a component in its tracks: it keeps its connections and answers nothing.
    pub fn pause(&self, component: Component) -> Result<()> {
        self.instance.signal(component, Signal::STOP)
    }

    /// Lets a paused component go on.
    pub fn resume(&self, component: Component) -> Result<()> {
        self.instance.signal(component, Signal::CONT)
    }

    /// Whether a component's process is alive.
    pub fn is_alive(&self, component: Component) -> bool {
        self.instance.running(component).is_ok_and(|running| running.process.is_alive())
    }

    /// The last lines of a component's log.
    pub fn log_tail(&self, component: Component) -> String {
        process::tail(&self.instance.log(component))
    }

    /// Ends it and removes all it left, also one that is kept or was attached to.
    pub fn stop(mut self) -> Result<()> {
        self.ends_on_drop = false;
        crate::down(self.name()).map(drop)
    }
}

impl Options {
    /// The running instance of this name, or a new one. See [`Cluster::find_or_start`].
    pub fn find_or_start(self) -> Result<Cluster> {
        let instance = self.instance()?;
        if instance.record().is_none_or(|record| !record.is_up()) {
            self.build()?;
        }
        let _lock = instance.lock()?;
        match instance.record() {
            Some(record) if record.is_up() => {
                let cluster = Cluster::of(instance, &record)?;
                if cluster.tier < self.tier {
                    return Err(Error::NeedsNode(cluster.name().into()));
                }
                if cluster.tier == Tier::Node {
                    let tools = tools::ensure(&[Tool::Demo])?;
                    containerd::take_images(&cluster.instance, tools.path(Tool::Demo)?)?;
                }
                Ok(cluster)
            }
            _ => self.start_locked(instance),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.ends_on_drop {
            return;
        }
        // After a failed test its logs are worth reading.
        let logs = if thread::panicking() { Logs::Keep } else { Logs::Remove };
        if logs == Logs::Keep {
            eprintln!("logs of cluster {} are in {}", self.name(), self.logs().display());
        }
        let ended = self.instance.lock().and_then(|_lock| self.instance.end(logs));
        if let Err(error) = ended {
            eprintln!("could not end cluster {}: {error}", self.name());
        }
    }
}
