//! A running cluster, as its users see it.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::{
    certificates::Authority,
    containerd, control_plane,
    error::{Doing, Error, Result},
    host,
    instance::{Component, Instance, Kind, Record},
    kubeconfig,
    options::Options,
    ports::{Number, Port},
    process,
    teardown::Logs,
    tier::Tier,
    tools::{self, Tool},
};

/// A running cluster. Ends when dropped, unless it is kept or was attached to.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) instance: Instance,
    pub(crate) number: Number,
    pub(crate) tier: Tier,
    pub(crate) ends_on_drop: bool,
}

impl Cluster {
    /// Starts from a control plane that ends with the returned value.
    pub fn options() -> Options {
        Options::new()
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

    pub(crate) fn of(instance: Instance, record: &Record) -> Result<Self> {
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
