//! What a node takes from the distribution.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error::{Error, Result},
    host, progress,
};

/// A program and the package that brings it.
const NEEDED: [(&str, &str); 5] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
];

const PLUGINS: &str = "containernetworking-plugins";

/// Why the packages cannot be had, if so.
pub(crate) fn hindrance() -> Option<String> {
    let missing = missing();
    (!missing.is_empty() && program("apt-get").is_none())
        .then(|| format!("install {} first (no apt-get here to do it)", missing.join(", ")))
}

/// Installs what is missing.
pub(crate) fn ensure() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if let Some(why) = hindrance() {
        return Err(Error::NoNode(why));
    }
    progress::long(&format!("installing {}", missing.join(", ")), || {
        let apt = |args: &[&str]| {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            host::run(command.args(["-q", "-y", "-o", "DPkg::Lock::Timeout=120"]).args(args))
        };
        apt(&["update"])?;
        apt(&[&["install", "--no-install-recommends"], missing.as_slice()].concat())
    })?;
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let mut missing: Vec<_> =
        NEEDED.into_iter().filter(|(name, _)| program(name).is_none()).map(|(_, package)| package).collect();
    missing.dedup();
    if plugins().is_none() {
        missing.push(PLUGINS);
    }
    missing
}

/// The directory of the network plugins.
pub(crate) fn plugins() -> Option<PathBuf> {
    let places = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
    places.into_iter().map(PathBuf::from).find(|place| place.join("bridge").is_file())
}

/// A program on the path, or where system programs are.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    env::split_paths(&path)
        .chain(system.iter().map(|dir| Path::new(dir).to_owned()))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}
