//! An instance: a directory, and the record in it of what runs.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File},
    io,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Doing, Error, Result},
    paths,
    ports::{self, Number},
    process::{ProcessId, Program},
    teardown::{self, Logs},
};

/// A process of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is known by its name")]
pub enum Component {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Containerd,
    Kubelet,
    Jaeger,
    Registry,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::Jaeger => "jaeger",
            Self::Registry => "registry",
        })
    }
}

/// What kind of instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    ControlPlane,
    Node,
    Jaeger,
}

/// What an instance's directory remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) number: Number,
    /// Outlives the process that started it.
    pub(crate) keep: bool,
    /// Who started it, and ends it unless it is kept.
    pub(crate) owner: ProcessId,
    /// Its start was seen through.
    pub(crate) ready: bool,
    pub(crate) processes: Vec<Running>,
}

/// A process and how to start it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) component: Component,
    pub(crate) process: ProcessId,
    pub(crate) program: Program,
}

impl Record {
    /// Whoever is responsible for it is gone.
    fn is_stale(&self) -> bool {
        !(self.owner.is_alive() || self.ready && self.keep)
    }

    pub(crate) fn is_up(&self) -> bool {
        // Without its registry, a cluster is still a cluster.
        let mut needed = self.processes.iter().filter(|running| running.component != Component::Registry);
        self.ready && needed.all(|running| running.process.is_alive())
    }

    pub(crate) fn find(&self, component: Component) -> Option<&Running> {
        self.processes.iter().find(|running| running.component == component)
    }
}

/// A directory below the one of all instances.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
}

impl Instance {
    pub(crate) fn named(name: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 20 || !name.chars().all(plain) {
            return Err(Error::Name(name.into()));
        }
        Ok(Self { name: name.into(), dir: paths::clusters()?.join(name) })
    }

    /// Held by whoever starts or ends the instance.
    pub(crate) fn lock(&self) -> Result<File> {
        lock(&self.lock_file(), File::lock)
    }

    /// Held by whoever adds this part to the running instance.
    pub(crate) fn lock_part(&self, part: &str) -> Result<File> {
        lock(&self.file(&format!("{part}.lock")), File::lock)
    }

    /// Ends all of it. The caller holds the lock, which goes too.
    pub(crate) fn end(&self, logs: Logs) -> Result<()> {
        teardown::run(self, logs)?;
        let path = self.lock_file();
        fs::remove_file(&path).doing(|| format!("remove {}", path.display()))
    }

    fn lock_file(&self) -> PathBuf {
        self.dir.with_file_name(format!(".{}.lock", self.name))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The same as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    pub(crate) fn log(&self, component: Component) -> PathBuf {
        self.file("logs").join(format!("{component}.log"))
    }

    pub(crate) fn record(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.file("record.json")).ok()?).ok()
    }

    /// The record of an instance that must exist.
    pub(crate) fn known(&self) -> Result<Record> {
        self.record().ok_or_else(|| Error::NotRunning(self.name.clone()))
    }

    /// Changes the record, one change at a time.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let _guard = lock(&self.file("record.lock"), File::lock)?;
        let mut record = self.known()?;
        change(&mut record);
        self.save(&record)
    }

    fn save(&self, record: &Record) -> Result<()> {
        let (new, path) = (self.file("record.new"), self.file("record.json"));
        let text = serde_json::to_string_pretty(record).doing(|| "write the record".into())?;
        fs::write(&new, text).doing(|| format!("write {}", new.display()))?;
        fs::rename(&new, &path).doing(|| format!("write {}", path.display()))
    }

    /// Makes the directory and claims a number. Hold the listener until all ports are taken.
    /// The caller holds the instance's lock.
    pub(crate) fn create(&self, kind: Kind, keep: bool) -> Result<(Number, TcpListener)> {
        reap();
        if let Some(record) = self.record() {
            if record.is_up() {
                return Err(Error::AlreadyRunning(self.name.clone()));
            }
            teardown::run(self, Logs::Remove)?;
        }
        let _guard = lock(&paths::clusters()?.join(".lock"), File::lock)?;
        let taken: BTreeSet<Number> =
            all()?.iter().filter_map(Self::record).map(|record| record.number).collect();
        let (number, guard) = ports::claim(&taken).ok_or(Error::Full(taken.len()))?;
        // Logs of an earlier failure go now.
        let _ = fs::remove_dir_all(&self.dir);
        let logs = self.file("logs");
        fs::create_dir_all(&logs).doing(|| format!("create {}", logs.display()))?;
        let owner = ProcessId::own();
        self.save(&Record { kind, number, keep, owner, ready: false, processes: Vec::new() })?;
        Ok((number, guard))
    }

    /// Starts a component and records it.
    pub(crate) fn spawn(&self, component: Component, program: Program) -> Result<()> {
        let process = program.spawn(&self.log(component))?;
        self.update(|record| {
            record.processes.retain(|running| running.component != component);
            record.processes.push(Running { component, process, program });
        })
    }

    pub(crate) fn running(&self, component: Component) -> Result<Running> {
        let none = || Error::NotRunning(format!("{} ({component})", self.name));
        self.known()?.find(component).cloned().ok_or_else(none)
    }

    /// Kills a component and starts it again as it was.
    pub(crate) fn restart(&self, component: Component) -> Result<()> {
        let running = self.running(component)?;
        running.process.kill();
        self.spawn(component, running.program)
    }

    pub(crate) fn signal(&self, component: Component, signal: Signal) -> Result<()> {
        self.running(component)?.process.signal(signal);
        Ok(())
    }
}

/// Opens and locks a file. Whoever ends an instance removes its lock; a lock got on a removed file
/// excludes nobody, so then it is tried again.
fn lock(path: &Path, how: impl Fn(&File) -> io::Result<()>) -> Result<File> {
    loop {
        let file = File::create(path).doing(|| format!("lock {}", path.display()))?;
        how(&file).doing(|| format!("lock {}", path.display()))?;
        let locked = file.metadata().doing(|| format!("lock {}", path.display()))?;
        if fs::metadata(path).is_ok_and(|present| present.ino() == locked.ino()) {
            return Ok(file);
        }
    }
}

/// All directories of instances, also of those that only left their logs.
pub(crate) fn all() -> Result<Vec<Instance>> {
    let home = paths::clusters()?;
    let mut found: Vec<Instance> = fs::read_dir(&home)
        .doing(|| format!("read {}", home.display()))?
        .flatten()
        .filter_map(|entry| Instance::named(entry.file_name().to_str()?).ok())
        .filter(|instance| instance.dir.is_dir())
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Ends what died tests left behind, and forgets logs older than a day.
fn reap() {
    for instance in all().unwrap_or_default() {
        // Locked: somebody starts or ends it right now.
        let try_lock = |file: &File| file.try_lock().map_err(io::Error::from);
        let Ok(_guard) = lock(&instance.lock_file(), try_lock) else { continue };
        match instance.record() {
            Some(record) if record.is_stale() => {
                if let Err(error) = instance.end(Logs::Remove) {
                    eprintln!("could not clear away {}: {error}", instance.name);
                }
            }
            None if is_old(&instance.dir) => {
                let _ = instance.end(Logs::Remove);
            }
            _ => {}
        }
    }
}

fn is_old(dir: &Path) -> bool {
    let changed = fs::metadata(dir).and_then(|meta| meta.modified()).ok();
    let age = changed.and_then(|changed| changed.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_hours(24))
}

/// How an instance is.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// All it needs is running.
    pub up: bool,
    /// Outlives the process that started it.
    pub kept: bool,
    /// Its processes: which, its number, whether it is alive.
    pub components: Vec<(Component, i32, bool)>,
}

/// All instances.
pub fn list() -> Result<Vec<Status>> {
    let status = |instance: Instance| {
        let record = instance.record()?;
        let alive = |r: &Running| (r.component, r.process.pid(), r.process.is_alive());
        Some(Status {
            up: record.is_up(),
            kept: record.keep,
            components: record.processes.iter().map(alive).collect(),
            name: instance.name,
            dir: instance.dir,
        })
    };
    Ok(all()?.into_iter().filter_map(status).collect())
}

/// Ends an instance and removes all it left, from what its directory says alone. False when there
/// was nothing to end.
pub fn down(name: &str) -> Result<bool> {
    let instance = Instance::named(name)?;
    let _guard = instance.lock()?;
    let existed = instance.record().is_some();
    instance.end(Logs::Remove)?;
    Ok(existed)
}
