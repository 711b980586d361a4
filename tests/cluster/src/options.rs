//! What cluster to start, and its start.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use crate::{
    cluster::Cluster,
    containerd, control_plane,
    control_plane::Plan,
    error::{Error, Result},
    instance::{Component, Instance, Kind},
    node, packages,
    progress::Progress,
    teardown::Logs,
    tekton,
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
    tekton: bool,
    extra: BTreeMap<Component, Vec<String>>,
}

impl Options {
    pub(crate) fn new() -> Self {
        Self {
            tier: Tier::ControlPlane,
            name: None,
            keep: false,
            progress: false,
            tekton: false,
            extra: BTreeMap::new(),
        }
    }

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

    /// Tekton in it too, which needs the node tier. See [`Cluster::tekton`].
    #[must_use]
    pub fn tekton(mut self, tekton: bool) -> Self {
        self.tekton = tekton;
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
        let lock = instance.lock()?;
        let cluster = self.start_locked(instance)?;
        drop(lock);
        self.complete(cluster)
    }

    /// The running instance of this name, or a new one. See [`Cluster::find_or_start`].
    pub fn find_or_start(self) -> Result<Cluster> {
        let instance = self.instance()?;
        if instance.record().is_none_or(|record| !record.is_up()) {
            self.build()?;
        }
        let lock = instance.lock()?;
        let cluster = match instance.record() {
            Some(record) if record.is_up() => {
                let cluster = Cluster::of(instance, &record)?;
                if cluster.tier < self.tier {
                    return Err(Error::NeedsNode(cluster.name().into()));
                }
                if cluster.tier == Tier::Node {
                    let tools = tools::ensure(&[Tool::Demo])?;
                    containerd::take_images(&cluster.instance, tools.path(Tool::Demo)?)?;
                }
                cluster
            }
            _ => self.start_locked(instance)?,
        };
        drop(lock);
        self.complete(cluster)
    }

    /// Adds what is wanted beyond the cluster itself, and what may be there already.
    fn complete(&self, cluster: Cluster) -> Result<Cluster> {
        if self.tekton {
            cluster.tekton()?;
        }
        Ok(cluster)
    }

    fn instance(&self) -> Result<Instance> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = || format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Instance::named(&self.name.clone().unwrap_or_else(own))
    }

    /// Gets all programs before any lock is taken: building them may take minutes.
    fn build(&self) -> Result<tools::Toolbox> {
        let mut needed = control_plane::TOOLS.to_vec();
        if self.tekton {
            if self.tier != Tier::Node {
                return Err(Error::TektonNeedsNode(tier::node_hindrance()));
            }
            needed.extend(tekton::TOOLS);
        }
        if self.tier == Tier::Node {
            if let Some(why) = tier::node_hindrance() {
                return Err(Error::NoNode(why));
            }
            packages::ensure()?;
            needed.extend([Tool::Kubelet, Tool::Demo]);
        }
        tools::ensure(&needed)
    }

    fn start_locked(&self, instance: Instance) -> Result<Cluster> {
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
