//! What is remembered of a log between two verifications.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The key and the newest checkpoint seen, in a file.
#[derive(Debug)]
pub(super) struct Pin {
    path: PathBuf,
    seen: Option<Seen>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    verifier_key: String,
    checkpoint: String,
}

impl Pin {
    /// Reads the file; one that does not exist remembers nothing yet.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let seen = match std::fs::read_to_string(path) {
            Ok(text) => Some(serde_json::from_str(&text).map_err(|error| Error::file(path, error))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file(path, error)),
        };
        Ok(Self { path: path.to_owned(), seen })
    }

    /// The key that was believed.
    pub(super) fn key(&self) -> Option<&String> {
        self.seen.as_ref().map(|seen| &seen.verifier_key)
    }

    /// The checkpoint that was verified last.
    pub(super) fn checkpoint(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| seen.checkpoint.as_str())
    }

    /// Remembers a checkpoint; the key stays the one that was believed first.
    pub(super) fn update(self, verifier_key: &str, checkpoint: &str) -> Result<()> {
        let verifier_key = self.seen.map_or_else(|| verifier_key.to_owned(), |seen| seen.verifier_key);
        let seen = Seen { verifier_key, checkpoint: checkpoint.to_owned() };
        let text = serde_json::to_string_pretty(&seen).map_err(|error| Error::file(&self.path, error))?;
        // Renamed into place, so that a full disk cannot leave half a pin.
        let new = self.path.with_extension("new");
        std::fs::write(&new, text + "\n").map_err(|error| Error::file(&new, error))?;
        std::fs::rename(&new, &self.path).map_err(|error| Error::file(&self.path, error))
    }
}
