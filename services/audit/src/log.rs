//! An opened log: locked, verified, and ready to be appended to and read.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use evenkeel_chain::{
    Checkpoint, hash,
    note::{SignerKey, VerifierKey},
};

use crate::{
    append::{Appender, Head, Limits, WriterThread},
    checkpoint::{KEY_FILE, Witness, load_key},
    error::OpenError,
    integrity,
    metrics::Metrics,
    readers::Readers,
    store::{Batch, Store, StoredCheckpoint, Writer, sqlite::Sqlite},
};

/// Where a log is and what it is called.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the log; made when it is not there.
    pub data: PathBuf,
    /// File of the signing key, if it is not in the data directory.
    pub signing_key: Option<PathBuf>,
    /// Name of the log in its checkpoints.
    pub origin: String,
    /// How much may wait, and how much one commit may take.
    pub limits: Limits,
}

impl Options {
    /// The log in this directory, with defaults for the rest.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let origin = crate::config::DEFAULT_ORIGIN.to_owned();
        Self { data: data.into(), signing_key: None, origin, limits: Limits::default() }
    }
}

/// An opened log.
pub struct Log {
    appender: Appender,
    readers: Readers,
    key: VerifierKey,
    size: u64,
    thread: WriterThread,
}

impl Log {
    /// Opens the log and verifies all of it. Blocks, a few seconds for a million entries.
    pub fn open(options: &Options, metrics: Metrics) -> Result<Self, OpenError> {
        let Options { data, signing_key, origin, limits } = options;
        make_directory(data)?;
        let store = Sqlite::open(data)?;
        let mut reader = store.reader()?;
        let used = reader.newest_checkpoint()?.is_some() || reader.size()? > 0;
        let path = signing_key.clone().unwrap_or_else(|| data.join(KEY_FILE));
        let key = load_key(&path, origin, !used)?;
        let newest = integrity::newest(reader.as_mut(), key.verifier())?;
        let (witness, witnessed) = Witness::open(data, key.verifier())?;
        if used && witnessed.is_none() {
            tracing::warn!("no checkpoint is kept beside the log, so a lost end would not be noticed");
        }
        let frontier = integrity::verify(&store, newest.as_ref(), witnessed.as_ref())?;
        let mut writer = store.writer()?;
        let checkpoint = match reader.newest_checkpoint()? {
            Some(checkpoint) => checkpoint,
            None => establish(writer.as_mut(), &key)?,
        };
        witness.remember(&checkpoint.text).map_err(|source| OpenError::File {
            doing: "write the witness in",
            path: data.clone(),
            source,
        })?;
        let (verifier, size) = (key.verifier().clone(), frontier.size());
        let head = Head { writer, key, witness, frontier };
        let (appender, thread) = Appender::start(head, *limits, metrics)
            .map_err(|source| OpenError::File { doing: "start a writer for", path: data.clone(), source })?;
        Ok(Self { appender, readers: Readers::new(Arc::new(store)), key: verifier, size, thread })
    }

    /// Appends to the log.
    pub fn appender(&self) -> &Appender {
        &self.appender
    }

    /// Reads the log.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// The key that verifies the log.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Number of entries when it was opened.
    pub fn opened_size(&self) -> u64 {
        self.size
    }

    /// Writes what is waiting, and closes the log. Blocks.
    pub fn close(self) {
        self.thread.stop();
    }
}

/// Signs the empty log, so that there is a checkpoint from the beginning.
fn establish(writer: &mut dyn Writer, key: &SignerKey) -> Result<StoredCheckpoint, OpenError> {
    let checkpoint = StoredCheckpoint { size: 0, text: Checkpoint::sign(0, hash::empty(), key) };
    let (records, nodes) = (Vec::new(), Vec::new());
    writer.append(&Batch { first: 0, recorded_at: 0, records, nodes, checkpoint: checkpoint.clone() })?;
    Ok(checkpoint)
}

fn make_directory(path: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(path).map_err(|source| OpenError::File {
        doing: "make directory",
        path: path.to_owned(),
        source,
    })
}
