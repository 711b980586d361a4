//! The log in one SQLite database: write-ahead log, synced at every commit.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use evenkeel_chain::Hash;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Reader, Store, StoreError, Writer};
use crate::error::OpenError;

mod reader;
mod writer;

/// Version of the schema, kept in `user_version`. A change needs a new number and a migration.
const SCHEMA_VERSION: i64 = 1;

/// The last column is the large one, so that reading the others does not touch it.
const SCHEMA: &str = "
CREATE TABLE entries (
    idx            INTEGER PRIMARY KEY CHECK (idx >= 0),
    event_id       BLOB NOT NULL UNIQUE CHECK (length(event_id) = 16),
    leaf_hash      BLOB NOT NULL CHECK (length(leaf_hash) = 32),
    recorded_at    INTEGER NOT NULL,
    correlation_id TEXT NOT NULL,
    event_type     TEXT NOT NULL,
    resource_id    TEXT NOT NULL,
    namespace      TEXT NOT NULL,
    body           BLOB
) STRICT;
CREATE INDEX entries_correlation_id ON entries (correlation_id);
CREATE INDEX entries_event_type ON entries (event_type);
CREATE INDEX entries_resource_id ON entries (resource_id);
CREATE INDEX entries_namespace ON entries (namespace);
CREATE TABLE nodes (
    level INTEGER NOT NULL CHECK (level > 0),
    idx   INTEGER NOT NULL CHECK (idx >= 0),
    hash  BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY CHECK (size >= 0),
    text TEXT NOT NULL
) STRICT;
";

/// Pages in the write-ahead log before it is copied into the database: 64 MiB. Event ids are random, so
/// commits touch the same pages of their index over and over; copying them seldom saves writing.
const CHECKPOINT_PAGES: u32 = 16 * 1024;
/// Page cache of the writer in KiB, for the index of event ids above all.
const WRITER_CACHE: i32 = 32 * 1024;
const READER_CACHE: i32 = 2 * 1024;

/// The directory that holds the database. While this lives, no other process can open it.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    _lock: File,
}

impl Sqlite {
    /// Opens the database in `directory`, or makes one there.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let lock = lock(directory)?;
        let path = directory.join("log.db");
        let store = Self { path, _lock: lock };
        let connection = store.connect(OpenFlags::default(), WRITER_CACHE)?;
        migrate(&connection)?;
        Ok(store)
    }

    /// Whether `directory` holds a database already.
    pub fn exists(directory: &Path) -> bool {
        directory.join("log.db").exists()
    }

    fn connect(&self, flags: OpenFlags, cache: i32) -> super::Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, flags).map_err(classify)?;
        let set = |name: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value);
        let configure = || {
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            connection.set_prepared_statement_cache_capacity(64);
            set("cache_size", &-cache)?;
            set("trusted_schema", &false)?;
            set("cell_size_check", &true)
        };
        configure().map_err(classify)?;
        Ok(connection)
    }
}

impl Store for Sqlite {
    fn writer(&self) -> super::Result<Box<dyn Writer>> {
        let connection = self.connect(OpenFlags::default(), WRITER_CACHE)?;
        let configure = || {
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
        };
        configure().map_err(classify)?;
        Ok(Box::new(writer::SqliteWriter::new(connection)))
    }

    fn reader(&self) -> super::Result<Box<dyn Reader>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Box::new(reader::SqliteReader::new(self.connect(flags, READER_CACHE)?)))
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| OpenError::File { doing: "open", path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File { doing: "lock", path, source }),
    }
}

fn migrate(connection: &Connection) -> Result<(), OpenError> {
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(classify)?;
    match version {
        SCHEMA_VERSION => Ok(()),
        0 => {
            let create = || {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.execute_batch(&format!(
                    "BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                ))
            };
            Ok(create().map_err(classify)?)
        }
        found => Err(OpenError::Schema { found, supported: SCHEMA_VERSION }),
    }
}

/// What an error of SQLite means for the caller.
fn classify(error: rusqlite::Error) -> StoreError {
    /// `SQLITE_IOERR_FSYNC` and `SQLITE_IOERR_DIR_FSYNC`: the kernel may have dropped pages that
    /// were not synced, and a second sync would wrongly succeed.
    const SYNC_FAILED: [i32; 2] = [1034, 1290];
    let code = error.sqlite_error().copied();
    let cause = Arc::new(error);
    match code {
        Some(code) if SYNC_FAILED.contains(&code.extended_code) => StoreError::Uncertain(cause),
        Some(code) if matches!(code.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged(cause)
        }
        // Indexes and ids were checked before, so a constraint can fail only on what is stored.
        Some(code) if code.code == ErrorCode::ConstraintViolation => StoreError::Damaged(cause),
        Some(_) => StoreError::Unavailable(cause),
        // Not from the database but from reading its answer: a value of the wrong kind.
        None => StoreError::Damaged(cause),
    }
}

/// A hash in a column.
struct HashColumn(Hash);

impl rusqlite::types::FromSql for HashColumn {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        <[u8; 32]>::column_result(value).map(|bytes| Self(Hash::new(bytes)))
    }
}
