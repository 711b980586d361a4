//! Checkpoints: the size and root of a log, as in C2SP tlog-checkpoint.
//!
//! The text is three lines, origin, size in decimal and base64 of the root hash, and possibly
//! extension lines, which are allowed and not kept.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    hash::Hash,
    note::{NoteError, SignerKey, VerifierKey},
};

/// What a log commits itself to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root hash over these entries.
    pub root: Hash,
}

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it is malformed, or not signed by the expected key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is fine, but its text is no checkpoint.
    #[error("malformed checkpoint at line {line}: {problem}")]
    Malformed {
        /// One-based line.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The key signed a checkpoint of another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    WrongOrigin {
        /// Name of the key.
        expected: String,
        /// Origin in the checkpoint.
        found: String,
    },
}

impl Checkpoint {
    /// Signs the checkpoint of the log that is named like the key.
    ///
    /// # Panics
    ///
    /// Never: a key's name is one line without control characters, so the text can be signed.
    pub fn sign(size: u64, root: Hash, key: &SignerKey) -> String {
        let checkpoint = Self { origin: key.verifier().name().to_owned(), size, root };
        key.sign(&checkpoint.to_text()).expect("a key name is one line without control characters")
    }

    /// Verifies a signed checkpoint of the log that is named like the key.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(key.open(note)?)?;
        if checkpoint.origin != key.name() {
            let expected = key.name().to_owned();
            return Err(CheckpointError::WrongOrigin { expected, found: checkpoint.origin });
        }
        Ok(checkpoint)
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.as_bytes()))
    }

    /// Reads the text, without believing it.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let bad = |line, problem| CheckpointError::Malformed { line, problem };
        let mut lines = text.split_inclusive('\n').map(|line| line.strip_suffix('\n'));
        let mut next =
            |line| lines.next().flatten().ok_or_else(|| bad(line, "the line is missing or has no end"));
        let (origin, size, root) = (next(1)?, next(2)?, next(3)?);
        if origin.is_empty() {
            return Err(bad(1, "the origin is empty"));
        }
        let canonical = size == "0" || !size.starts_with(['0', '+']);
        let size = size
            .parse()
            .ok()
            .filter(|_| canonical)
            .ok_or_else(|| bad(2, "the size is not a decimal number"))?;
        let root = BASE64.decode(root).ok().and_then(|bytes| Hash::from_slice(&bytes));
        let root = root.ok_or_else(|| bad(3, "the root is not base64 of 32 bytes"))?;
        for (n, extension) in lines.enumerate() {
            if extension.is_none_or(str::is_empty) {
                return Err(bad(4 + n, "an extension line is empty or has no end"));
            }
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}
