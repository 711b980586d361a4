//! Where things are kept: never in the checkout, never in a person's `~/.kube`.

use std::{env, fs, path::PathBuf};

use crate::error::{Doing, Result};

/// Programs built once, shared by all checkouts: `$XDG_CACHE_HOME/evenkeel/tools`.
pub(crate) fn tools() -> Result<PathBuf> {
    made(base("XDG_CACHE_HOME", ".cache").join("evenkeel/tools"))
}

/// Running instances, a directory each: `$XDG_STATE_HOME/evenkeel/clusters`.
///
/// Kept short because unix sockets below it may have no more than 107 characters.
pub(crate) fn clusters() -> Result<PathBuf> {
    made(base("XDG_STATE_HOME", ".local/state").join("evenkeel/clusters"))
}

fn base(variable: &str, below_home: &str) -> PathBuf {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set(variable)
        .or_else(|| set("HOME").map(|home| home.join(below_home)))
        .unwrap_or_else(|| env::temp_dir().join("evenkeel-home").join(below_home))
}

fn made(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).doing(|| format!("create {}", path.display()))?;
    Ok(path)
}
