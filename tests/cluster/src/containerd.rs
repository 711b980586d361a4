//! The container runtime of a node, with a root, a state and an address of its own.

use std::{fs, os::unix::net::UnixStream, path::Path, process::Command, time::Duration};

use crate::{
    control_plane::Plan,
    error::{Doing, Error, Result},
    host,
    image::Image,
    instance::{Component, Instance},
    packages, process,
    process::Program,
    ready,
    tools::Tool,
};

/// The image of a workflow for demonstrations and tests: its environment says what it does.
pub const DEMO_IMAGE: &str = "local/evenkeel-demo:1";

/// The image that holds a pod's namespaces.
pub const PAUSE_IMAGE: &str = "local/pause:1";

/// The longest path of a unix socket.
const SOCKET_PATH: usize = 107;

/// Starts the runtime and takes in its images.
pub(crate) fn start(plan: &Plan) -> Result<()> {
    let instance = plan.instance;
    let socket = instance.file("containerd.sock");
    // Beside it, the runtime makes `containerd.sock.ttrpc`.
    if socket.as_os_str().len() + ".ttrpc".len() > SOCKET_PATH {
        return Err(Error::NoNode(format!(
            "{} is too long for a socket: set XDG_STATE_HOME",
            socket.display()
        )));
    }
    let config = instance.file("containerd.toml");
    fs::write(&config, configuration(instance)?).doing(|| format!("write {}", config.display()))?;
    let program =
        packages::program("containerd").ok_or_else(|| Error::NoNode("containerd is missing".into()))?;
    let mut args = vec![format!("--config={}", config.display())];
    args.extend(plan.extra.get(&Component::Containerd).into_iter().flatten().cloned());
    instance.spawn(Component::Containerd, Program::new(&program, args))?;
    let (by, what) = (Component::Containerd, "containerd to listen");
    ready::wait(instance, by, what, Duration::from_secs(30), || UnixStream::connect(&socket).ok())?;
    take_images(instance, plan.tools.path(Tool::Demo)?)?;
    plan.progress.step("container runtime has its images");
    Ok(())
}

/// Takes in the images that are made of this program, unless that was done: a cluster that is kept
/// up may be older than the program.
pub(crate) fn take_images(instance: &Instance, demo: &Path) -> Result<()> {
    let (taken, program) = (instance.file("images-of"), demo.display().to_string());
    if fs::read_to_string(&taken).is_ok_and(|taken| taken == program) {
        return Ok(());
    }
    for image in [image(PAUSE_IMAGE, demo, "pause"), image(DEMO_IMAGE, demo, "workflow")] {
        let archive = instance.file(&format!("{}.tar", image.entrypoint_name()));
        image.write(&archive)?;
        import(instance, &archive)?;
        let _ = fs::remove_file(archive);
    }
    fs::write(&taken, program).doing(|| format!("write {}", taken.display()))
}

/// An image of the demo program.
pub(crate) fn image(name: &str, program: &Path, command: &str) -> Image {
    Image::new(name).program("/demo", program).entrypoint(["/demo", command]).user("65532:65532")
}

/// Takes an archive in and waits until the kubelet's side of the runtime knows its images.
pub(crate) fn import(instance: &Instance, archive: &Path) -> Result<()> {
    let output = host::run(ctr(instance).args(["images", "import"]).arg(archive))?;
    let known = || {
        let list = host::run(ctr(instance).args(["images", "list"])).ok()?;
        let managed = |name: &str| {
            list.lines().any(|line| {
                line.starts_with(&format!("{name} ")) && line.contains("io.cri-containerd.image=managed")
            })
        };
        output
            .lines()
            .filter_map(|line| line.strip_prefix("unpacking ")?.split(' ').next())
            .all(managed)
            .then_some(())
    };
    let (limit, pause) = (Duration::from_secs(10), Duration::from_millis(20));
    process::poll_until(limit, pause, known).ok_or_else(|| Error::Command {
        command: format!("ctr images import {}", archive.display()),
        output: format!("the runtime does not offer it to pods: {output}"),
    })
}

fn ctr(instance: &Instance) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(instance.file("containerd.sock")).args(["--namespace", "k8s.io"]);
    command
}

fn configuration(instance: &Instance) -> Result<String> {
    let plugins = packages::plugins().ok_or_else(|| Error::NoNode("the CNI plugins are missing".into()))?;
    let plugins = plugins.display();
    let dir = instance.dir.display();
    let snapshotter = snapshotter(&instance.dir);
    // `restrict_oom_score_adj`: without CAP_SYS_RESOURCE no score may be lowered.
    Ok(format!(
        r#"version = 2
root = "{dir}/containerd/root"
state = "{dir}/containerd/state"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{dir}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{dir}/cni"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{dir}/registries"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{dir}/runc"
"#
    ))
}

/// An overlay cannot lie on an overlay, which is what a container's own files are on.
fn snapshotter(dir: &Path) -> &'static str {
    const OVERLAY: i64 = 0x794c_7630;
    let kind = rustix::fs::statfs(dir).map(|stat| stat.f_type);
    if kind == Ok(OVERLAY) { "native" } else { "overlayfs" }
}
