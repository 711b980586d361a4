//! Ends an instance from what its directory says alone, whatever state it is in: also after a
//! crash, also half started.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    mount::{UnmountFlags, unmount},
    process::Signal,
};

use crate::{
    error::{Doing, Result},
    instance::{Instance, Kind, Record},
    network, node,
    ports::Number,
    process::{self, ProcessId},
};

/// What happens to the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// Something went wrong: they stay in the instance's directory.
    Keep,
    /// They go.
    Remove,
}

/// All programs that an instance starts, directly or not.
const PROGRAMS: [&str; 10] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "containerd",
    "containerd-shim",
    "containerd-shim-runc-v2",
    "jaeger",
    "registry",
];

/// Ends everything and removes all traces. The caller holds the instance's lock.
pub(crate) fn run(instance: &Instance, logs: Logs) -> Result<()> {
    // After a restart of the machine only files are left; the number may be somebody else's now.
    if let Some(record) = instance.record().filter(|record| record.owner.is_of_this_boot()) {
        end(instance, &record);
    }
    let kept = (logs == Logs::Keep).then_some("logs");
    for entry in fs::read_dir(&instance.dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if kept.is_some_and(|kept| entry.file_name() == kept) {
            continue;
        }
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.doing(|| format!("remove {}", path.display()))?;
    }
    if kept.is_none() && instance.dir.exists() {
        fs::remove_dir(&instance.dir).doing(|| format!("remove {}", instance.dir.display()))?;
    }
    Ok(())
}

fn end(instance: &Instance, record: &Record) {
    let mut processes: Vec<ProcessId> =
        record.processes.iter().map(|running| running.process.clone()).collect();
    // The last one started may have missed its record; shims never have one.
    processes.extend(process::running_in(&instance.dir, &PROGRAMS));
    let sockets = shim_sockets(&instance.dir);
    // Nothing of it is needed again, so nothing need end in an orderly way. Last started, first
    // ended: whoever restarts others goes before them.
    for process in processes.iter().rev() {
        process.signal(Signal::KILL);
    }
    for process in &processes {
        process.wait_gone(Duration::from_secs(10));
    }
    if record.kind != Kind::Node {
        return;
    }
    end_containers(record.number);
    unmount_below(&instance.dir);
    for socket in sockets {
        let _ = fs::remove_file(socket);
    }
    network::remove(record.number);
    remove_strays(&instance.dir);
}

/// Kills what runs in the instance's control groups, and removes these.
fn end_containers(number: Number) {
    for group in node::cgroups(&number.label()) {
        let mut groups = Vec::new();
        collect(&group, &mut groups);
        for process in groups.iter().flat_map(|group| members(group)) {
            process.kill();
        }
        // Deepest first.
        for group in groups.iter().rev() {
            let gone = || fs::remove_dir(group).is_ok().then_some(());
            let (limit, pause) = (Duration::from_secs(5), Duration::from_millis(10));
            if process::poll_until(limit, pause, gone).is_none() {
                eprintln!("could not remove {}", group.display());
            }
        }
    }
}

fn collect(group: &Path, into: &mut Vec<PathBuf>) {
    if !group.is_dir() {
        return;
    }
    into.push(group.to_owned());
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), into);
        }
    }
}

fn members(group: &Path) -> Vec<ProcessId> {
    let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|pid| ProcessId::of(pid.parse().ok()?)).collect()
}

/// Unmounts volumes, root file systems and network namespaces, the latest first.
fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let mut below: Vec<&Path> = points.filter(|point| point.starts_with(dir)).collect();
    below.reverse();
    for point in below {
        if let Err(error) = unmount(point, UnmountFlags::DETACH) {
            eprintln!("could not unmount {}: {error}", point.display());
        }
    }
}

/// The sockets of the runtime's shims, which lie outside the instance's directory.
fn shim_sockets(dir: &Path) -> Vec<PathBuf> {
    let tasks = dir.join("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    let tasks = fs::read_dir(tasks).into_iter().flatten().flatten();
    let address = |task: fs::DirEntry| fs::read_to_string(task.path().join("address")).ok();
    tasks.filter_map(address).filter_map(|a| a.strip_prefix("unix://").map(PathBuf::from)).collect()
}

/// Files that programs leave where all instances have theirs.
fn remove_strays(dir: &Path) {
    // Links to logs of pods, for log collectors.
    for entry in fs::read_dir("/var/log/containers").into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(dir)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    // What network plugins gave to which pod: it names the pod's namespace, which was below `dir`.
    let inside = format!("{}/", dir.display());
    for entry in fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten() {
        if fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(&inside)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    // A socket for device plugins that the kubelet makes nowhere else. Another kubelet may have
    // taken it over.
    let devices = Path::new("/var/lib/kubelet/device-plugins");
    let socket = devices.join("kubelet.sock");
    if UnixStream::connect(&socket).is_err() {
        let _ = fs::remove_file(&socket);
        // Both fail if there is anything else in them.
        let _ = fs::remove_dir(devices).and_then(|()| fs::remove_dir("/var/lib/kubelet"));
    }
}
