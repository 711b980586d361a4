//! Why a request is not answered, and why a log is not served.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use evenkeel_chain::{Hash, checkpoint::CheckpointError, note::KeyError};
use evenkeel_kit::rpc::{Class, Coded};
use uuid::Uuid;

use crate::{event::InvalidEvent, store::StoreError};

/// Result of the service.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request is not answered. Each variant is a decision that the caller can make.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// An event is not valid; nothing of its request was written.
    #[error("event {position} of the request: {invalid}")]
    InvalidEvent {
        /// Zero-based position in the request.
        position: usize,
        /// What is wrong.
        invalid: InvalidEvent,
    },
    /// A field of the request is not valid.
    #[error("{field}: {problem}")]
    InvalidRequest {
        /// Name of the field.
        field: &'static str,
        /// What a right value looks like.
        problem: String,
    },
    /// The page token was not made by this list.
    #[error("page_token: not a token of this list with these filters; start again without one")]
    InvalidPageToken,
    /// Another event has this id; nothing of the request was written.
    #[error("event {event_id} is in the log with other content; an id names one event for ever")]
    EventConflict {
        /// The id.
        event_id: Uuid,
        /// Position in the request.
        position: usize,
    },
    /// Too much is waiting to be written.
    #[error("too many events wait to be written; try again later")]
    QueueFull,
    /// The store did not take it; nothing was written.
    #[error("the store did not take the request, nothing was written; try again later")]
    StoreUnavailable(#[source] StoreError),
    /// The writer has stopped. Whether a request under way was written is not known.
    #[error("the log takes no events now; repeat the request, the event ids make that safe")]
    WriterStopped,
    /// There is no such entry.
    #[error("no entry {0} in the log")]
    EntryNotFound(String),
    /// The entry is younger than the log of that size.
    #[error("entry {index} is not in the log of size {size}")]
    EntryOutsideTree {
        /// Index of the entry.
        index: u64,
        /// Size asked for.
        size: u64,
    },
    /// No checkpoint was signed at that size.
    #[error("there is no checkpoint of size {size}; the nearest is of size {nearest}")]
    NoCheckpointAtSize {
        /// Size asked for.
        size: u64,
        /// Nearest size that has one.
        nearest: u64,
    },
    /// A defect, or a damaged store.
    #[error("internal error")]
    Internal(#[source] StoreError),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::StoreUnavailable(error),
            StoreError::Uncertain(_) | StoreError::Damaged(_) => Self::Internal(error),
        }
    }
}

impl Coded for Error {
    fn class(&self) -> Class {
        match self {
            Self::InvalidEvent { .. } | Self::InvalidRequest { .. } | Self::InvalidPageToken => {
                Class::Invalid
            }
            Self::EventConflict { .. } => Class::AlreadyExists,
            Self::QueueFull => Class::Exhausted,
            Self::StoreUnavailable(_) | Self::WriterStopped => Class::Unavailable,
            Self::EntryNotFound(_) => Class::NotFound,
            Self::EntryOutsideTree { .. } | Self::NoCheckpointAtSize { .. } => Class::Precondition,
            Self::Internal(_) => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::InvalidEvent { .. } => "INVALID_EVENT",
            Self::InvalidRequest { .. } => "INVALID_REQUEST",
            Self::InvalidPageToken => "INVALID_PAGE_TOKEN",
            Self::EventConflict { .. } => "EVENT_CONFLICT",
            Self::QueueFull => "WRITER_QUEUE_FULL",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::WriterStopped => "WRITER_STOPPED",
            Self::EntryNotFound(_) => "ENTRY_NOT_FOUND",
            Self::EntryOutsideTree { .. } => "ENTRY_OUTSIDE_TREE",
            Self::NoCheckpointAtSize { .. } => "NO_CHECKPOINT_AT_SIZE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let pairs: Vec<(&str, String)> = match self {
            Self::InvalidEvent { position, invalid } => vec![
                ("position", position.to_string()),
                ("field", format!("events[{position}].{}", invalid.field)),
                ("problem", invalid.problem.clone()),
            ],
            Self::InvalidRequest { field, problem } => {
                vec![("field", (*field).to_owned()), ("problem", problem.clone())]
            }
            Self::InvalidPageToken => vec![("field", "page_token".to_owned())],
            Self::EventConflict { event_id, position } => {
                vec![("event_id", event_id.to_string()), ("position", position.to_string())]
            }
            Self::EntryNotFound(entry) => vec![("entry", entry.clone())],
            Self::EntryOutsideTree { index, size } => {
                vec![("index", index.to_string()), ("size", size.to_string())]
            }
            Self::NoCheckpointAtSize { size, nearest } => {
                vec![("size", size.to_string()), ("nearest", nearest.to_string())]
            }
            Self::QueueFull | Self::StoreUnavailable(_) | Self::WriterStopped | Self::Internal(_) => vec![],
        };
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull => Some(Duration::from_millis(200)),
            Self::StoreUnavailable(_) | Self::WriterStopped => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// Why a log is not served. Each variant says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes here.
    #[error("{0} is in use by another process; one log has one writer, stop the other first")]
    Locked(PathBuf),
    /// A file could not be used.
    #[error("could not {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// There is a log, but not its key.
    #[error("there is a log but no signing key at {0}; put the key back, a new one cannot continue this log")]
    KeyMissing(PathBuf),
    /// The key file holds no key.
    #[error("{path} holds no signing key")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// The configured name of the log cannot be one.
    #[error(
        "the origin {origin:?} cannot name a log: use 1 to {longest} characters, no spaces, no plus signs"
    )]
    Origin {
        /// The configured name.
        origin: String,
        /// Most bytes of a name.
        longest: usize,
    },
    /// The key belongs to another log.
    #[error("the signing key at {path} is of the log {found:?}, but the configured origin is {origin:?}")]
    KeyOfAnotherLog {
        /// The file.
        path: PathBuf,
        /// Name of the key.
        found: String,
        /// Configured name.
        origin: String,
    },
    /// The database was written by another version.
    #[error("the log has schema {found}, this version reads {supported}; use the version that wrote it")]
    Schema {
        /// Schema of the database.
        found: i64,
        /// Schema of this version.
        supported: i64,
    },
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not what it should be.
    #[error("the log does not verify: {0}; do not serve it, restore the data directory from a backup")]
    Integrity(#[from] IntegrityError),
}

/// What is wrong with a stored log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntegrityError {
    /// An index has no entry.
    #[error("entry {index} is missing")]
    MissingEntry {
        /// The index.
        index: u64,
    },
    /// A body does not hash to its leaf.
    #[error("the body of entry {index} was changed")]
    WrongBody {
        /// Index of the entry.
        index: u64,
    },
    /// A body is not there. Nothing of ours removes one.
    #[error("the body of entry {index} was erased")]
    MissingBody {
        /// The index.
        index: u64,
    },
    /// A searchable column contradicts the body.
    #[error("column {column} of entry {index} contradicts its body")]
    WrongColumn {
        /// Index of the entry.
        index: u64,
        /// Name of the column.
        column: &'static str,
    },
    /// An inner node is missing or contradicts its leaves.
    #[error("entries {first} to {last} were exchanged, or their tree node was changed")]
    WrongNode {
        /// First leaf under the node.
        first: u64,
        /// Last leaf under the node.
        last: u64,
    },
    /// There are nodes that the tree does not have.
    #[error("there are {found} tree nodes where {expected} belong")]
    NodeCount {
        /// Nodes of a tree of this size.
        expected: u64,
        /// Nodes stored.
        found: u64,
    },
    /// There are entries but no checkpoint.
    #[error("its {size} entries have no checkpoint")]
    NoCheckpoint {
        /// Number of entries.
        size: u64,
    },
    /// The newest checkpoint is for another number of entries.
    #[error("it has {found} entries, but its newest checkpoint covers {expected}")]
    WrongSize {
        /// Size of the checkpoint.
        expected: u64,
        /// Entries stored.
        found: u64,
    },
    /// The entries add up to another root than the checkpoint's.
    #[error("its first {size} entries have root {computed}, but the checkpoint says {expected}")]
    WrongRoot {
        /// Size of the checkpoint.
        size: u64,
        /// Root in the checkpoint.
        expected: Hash,
        /// Root of the entries.
        computed: Hash,
    },
    /// The newest checkpoint is not signed by the configured key.
    #[error("its newest checkpoint is not valid under the configured key: {0}")]
    Checkpoint(CheckpointError),
    /// The checkpoint kept beside the database is not valid.
    #[error("the checkpoint in the file {file} is not valid: {problem}")]
    Witness {
        /// Name of the file.
        file: &'static str,
        /// What is wrong.
        problem: CheckpointError,
    },
    /// The log lost entries that had been acknowledged.
    #[error("it lost its end: {found} entries are left of {witnessed} that were acknowledged")]
    Shorter {
        /// Entries stored.
        found: u64,
        /// Entries that were acknowledged.
        witnessed: u64,
    },
}
