//! The key of the log, and its newest checkpoint outside the database.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use evenkeel_chain::{
    Checkpoint,
    checkpoint::CheckpointError,
    note::{SignerKey, VerifierKey},
};

use crate::error::{IntegrityError, OpenError};

/// Name of the key file in the data directory.
pub const KEY_FILE: &str = "signing.key";
/// Name of the witness file in the data directory.
pub const WITNESS_FILE: &str = "newest.checkpoint";
/// Most bytes of an origin, so that every checkpoint fits into a witness.
const LONGEST_ORIGIN: usize = 100;
/// One sector, which disks write whole or not at all.
const WITNESS_SIZE: usize = 512;

/// Reads the signing key of the log `origin`, or makes one when `may_create` says so.
pub fn load_key(path: &Path, origin: &str, may_create: bool) -> Result<SignerKey, OpenError> {
    let failed = |doing| move |source| OpenError::File { doing, path: path.to_owned(), source };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => {
            let key = new_key(origin)?;
            write_whole(path, key.to_secret_text().as_bytes()).map_err(failed("write"))?;
            return Ok(key);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::KeyMissing(path.to_owned()));
        }
        Err(source) => return Err(failed("read")(source)),
    };
    let key =
        SignerKey::parse(text.trim()).map_err(|source| OpenError::Key { path: path.to_owned(), source })?;
    if key.verifier().name() != origin {
        let (found, origin) = (key.verifier().name().to_owned(), origin.to_owned());
        return Err(OpenError::KeyOfAnotherLog { path: path.to_owned(), found, origin });
    }
    Ok(key)
}

fn new_key(origin: &str) -> Result<SignerKey, OpenError> {
    let refused = || OpenError::Origin { origin: origin.to_owned(), longest: LONGEST_ORIGIN };
    if origin.len() > LONGEST_ORIGIN {
        return Err(refused());
    }
    SignerKey::from_seed(origin, &rand::random()).map_err(|_| refused())
}

/// The newest checkpoint, in a file of its own.
///
/// A database that loses its end (a truncated write-ahead log, an older copy put back) is consistent in
/// itself. The witness remembers what was acknowledged. It is written after each commit and not
/// synced, so after a power cut it may be older than the log, but never newer.
#[derive(Debug)]
pub struct Witness {
    file: File,
}

impl Witness {
    /// Opens the witness in `directory` and reads what it remembers. Makes one when there is none.
    pub fn open(directory: &Path, key: &VerifierKey) -> Result<(Self, Option<Checkpoint>), OpenError> {
        let path = directory.join(WITNESS_FILE);
        let failed = |doing| {
            let path = path.clone();
            move |source| OpenError::File { doing, path, source }
        };
        let known = path.exists();
        if !known {
            write_whole(&path, &[0; WITNESS_SIZE]).map_err(failed("write"))?;
        }
        let text = fs::read_to_string(&path).map_err(failed("read"))?;
        let text = text.trim_end_matches('\0');
        let file = File::options().write(true).open(&path).map_err(failed("open"))?;
        if text.is_empty() {
            return Ok((Self { file }, None));
        }
        let checkpoint = Checkpoint::open(text, key).map_err(invalid)?;
        Ok((Self { file }, Some(checkpoint)))
    }

    /// Remembers a signed checkpoint.
    pub fn remember(&self, note: &str) -> io::Result<()> {
        let mut sector = [0; WITNESS_SIZE];
        let target = sector.get_mut(..note.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        target.copy_from_slice(note.as_bytes());
        self.file.write_all_at(&sector, 0)
    }
}

fn invalid(problem: CheckpointError) -> IntegrityError {
    IntegrityError::Witness { file: WITNESS_FILE, problem }
}

/// Makes a file that only its owner may read, durably, and whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let unfinished = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()
}
