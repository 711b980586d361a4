//! The directory in which `evenkeel up` keeps its certificates and its audit log.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use evenkeel_kit::{config::Security, tls::Authority};

use crate::error::{Error, Result};

/// The directory, held by this process alone.
pub(super) struct State {
    directory: PathBuf,
    authority: Authority,
    _lock: File,
}

impl State {
    /// Opens or makes the directory: the given one, or `$XDG_STATE_HOME/evenkeel/up`.
    pub(super) fn open(directory: Option<PathBuf>) -> Result<Self> {
        let directory = match directory {
            Some(directory) => directory,
            None => default_directory()?,
        };
        fs::create_dir_all(&directory).map_err(|error| Error::file(&directory, error))?;
        // Certificates and tokens are used from other working directories.
        let directory = directory.canonicalize().map_err(|error| Error::file(&directory, error))?;
        let lock_path = directory.join("lock");
        let lock = File::create(&lock_path).map_err(|error| Error::file(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!(
                    "another `evenkeel up` uses {}; end it, or give this one its own --state",
                    directory.display()
                );
                return Err(Error::Up(text));
            }
            Err(TryLockError::Error(error)) => return Err(Error::file(&lock_path, error)),
        }
        let authority = Authority::open(&directory.join("identity"))
            .map_err(|error| Error::file(&directory, format!("{error:#}")))?;
        Ok(Self { directory, authority, _lock: lock })
    }

    /// Certificate and key of a name; made when they are not there.
    pub(super) fn identity(&self, name: &str) -> Result<Security> {
        self.authority.identity(name).map_err(|error| Error::file(&self.directory, format!("{error:#}")))
    }

    /// A path inside.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes the file that other commands source.
    pub(super) fn write_env(&self, variables: &[(&str, String)]) -> Result<PathBuf> {
        let path = self.path("env");
        let lines = variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        fs::write(&path, lines.collect::<String>()).map_err(|error| Error::file(&path, error))?;
        Ok(path)
    }
}

fn default_directory() -> Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("evenkeel/up"))
        .ok_or_else(|| Error::Usage("neither XDG_STATE_HOME nor HOME is set: give --state".to_owned()))
}

/// A value as a shell reads it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// A path as text.
pub(super) fn text(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_serves_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let open = || State::open(Some(directory.path().join("up")));
        let first = open().unwrap();
        assert!(open().err().unwrap().to_string().contains("another"));
        drop(first);
        assert!(open().is_ok());
    }

    #[test]
    fn a_shell_reads_the_env_file_as_it_was_meant() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(Some(directory.path().to_owned())).unwrap();
        let file = state.write_env(&[("A_VALUE", "it's $HOME".to_owned())]).unwrap();
        let script = format!(". '{}'; printf %s \"$A_VALUE\"", file.display());
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(said.stdout, b"it's $HOME");
    }
}
