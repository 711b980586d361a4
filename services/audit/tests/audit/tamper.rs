//! A log that does not verify is not opened, and the error says where it is wrong.

use std::{fs, path::Path};

use crate::support::records;
use evenkeel_audit::{
    error::{IntegrityError, OpenError},
    log::{Log, Options},
    metrics::Metrics,
    store::StoreError,
};
use evenkeel_chain::{
    Checkpoint,
    checkpoint::CheckpointError,
    hash,
    note::{NoteError, SignerKey},
};
use rusqlite::Connection;
use tempfile::TempDir;

fn open(data: &Path) -> Result<Log, OpenError> {
    Log::open(&Options::new(data), Metrics::default())
}

/// A closed log of so many entries.
async fn log_of(size: u64) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path()).unwrap();
    for start in (0..size).step_by(1000) {
        log.appender().append(records(start..size.min(start + 1000))).await.unwrap();
    }
    log.close();
    data
}

fn change(data: &Path, sql: &str) {
    Connection::open(data.join("log.db")).unwrap().execute_batch(sql).unwrap();
}

fn refused(data: &Path) -> OpenError {
    match open(data) {
        Err(error) => error,
        Ok(_) => panic!("the log was opened"),
    }
}

fn problem(data: &Path) -> IntegrityError {
    match refused(data) {
        OpenError::Integrity(problem) => problem,
        other => panic!("{other}"),
    }
}

/// Changes a log of eleven entries and says what is found.
async fn after(sql: &str) -> IntegrityError {
    let data = log_of(11).await;
    change(data.path(), sql);
    problem(data.path())
}

#[tokio::test]
async fn an_untouched_log_opens() {
    for size in [0, 1, 11] {
        let data = log_of(size).await;
        assert_eq!(open(data.path()).unwrap().opened_size(), size);
    }
}

#[tokio::test]
async fn a_changed_body_is_named() {
    let sql = "UPDATE entries SET body = CAST(replace(body, 'success', 'failure') AS BLOB) WHERE idx = 3;";
    assert_eq!(after(sql).await, IntegrityError::WrongBody { index: 3 });
}

/// A body with another hash than before, and its own right leaf hash.
fn rewrite(data: &Path, index: u64) {
    let connection = Connection::open(data.join("log.db")).unwrap();
    let read = "SELECT body FROM entries WHERE idx = ?";
    let body: Vec<u8> = connection.query_row(read, [index], |row| row.get(0)).unwrap();
    let body = String::from_utf8(body).unwrap().replace("success", "failure").into_bytes();
    let leaf = hash::leaf(&body);
    let write = "UPDATE entries SET body = ?, leaf_hash = ? WHERE idx = ?";
    connection.execute(write, (body, leaf.as_bytes(), index)).unwrap();
}

#[tokio::test]
async fn a_changed_body_with_a_fitting_leaf_contradicts_its_tree_node() {
    let data = log_of(11).await;
    rewrite(data.path(), 3);
    assert_eq!(problem(data.path()), IntegrityError::WrongNode { first: 2, last: 3 });
}

#[tokio::test]
async fn a_changed_last_entry_with_a_fitting_leaf_contradicts_the_checkpoint() {
    let data = log_of(11).await;
    rewrite(data.path(), 10);
    assert!(matches!(problem(data.path()), IntegrityError::WrongRoot { size: 11, .. }));
    fs::remove_file(data.path().join("newest.checkpoint")).unwrap();
    assert!(matches!(problem(data.path()), IntegrityError::WrongRoot { size: 11, .. }));
}

#[tokio::test]
async fn a_removed_row_is_named() {
    assert_eq!(after("DELETE FROM entries WHERE idx = 4;").await, IntegrityError::MissingEntry { index: 4 });
    assert_eq!(after("DELETE FROM entries WHERE idx = 0;").await, IntegrityError::MissingEntry { index: 0 });
}

#[tokio::test]
async fn a_removed_last_row_is_noticed_with_and_without_the_witness() {
    let data = log_of(11).await;
    change(data.path(), "DELETE FROM entries WHERE idx = 10;");
    assert_eq!(problem(data.path()), IntegrityError::Shorter { found: 10, witnessed: 11 });
    fs::remove_file(data.path().join("newest.checkpoint")).unwrap();
    assert_eq!(problem(data.path()), IntegrityError::WrongSize { expected: 11, found: 10 });
}

#[tokio::test]
async fn swapped_rows_are_named() {
    let swap = |a: u64, b: u64| {
        format!(
            "UPDATE entries SET idx = 99 WHERE idx = {a}; UPDATE entries SET idx = {a} WHERE idx = {b}; \
             UPDATE entries SET idx = {b} WHERE idx = 99;"
        )
    };
    assert_eq!(after(&swap(4, 5)).await, IntegrityError::WrongNode { first: 4, last: 5 });
    assert_eq!(after(&swap(2, 7)).await, IntegrityError::WrongNode { first: 2, last: 3 });
}

#[tokio::test]
async fn tree_nodes_that_are_changed_missing_or_too_many_are_noticed() {
    let changed = "UPDATE nodes SET hash = zeroblob(32) WHERE level = 3 AND idx = 0;";
    assert_eq!(after(changed).await, IntegrityError::WrongNode { first: 0, last: 7 });
    for (level, idx, first, last) in [(1, 4, 8, 9), (2, 0, 0, 3), (1, 2, 4, 5)] {
        let missing = format!("DELETE FROM nodes WHERE level = {level} AND idx = {idx};");
        assert_eq!(after(&missing).await, IntegrityError::WrongNode { first, last });
    }
    let extra = "INSERT INTO nodes VALUES (1, 5, zeroblob(32));";
    assert_eq!(after(extra).await, IntegrityError::NodeCount { expected: 8, found: 9 });
}

#[tokio::test]
async fn a_column_that_contradicts_its_body_is_named() {
    let columns = [
        ("event_id", "zeroblob(16)"),
        ("correlation_id", "'x'"),
        ("event_type", "'x'"),
        ("resource_id", "'x'"),
        ("namespace", "'x'"),
    ];
    for (column, value) in columns {
        let sql = format!("UPDATE entries SET {column} = {value} WHERE idx = 6;");
        assert_eq!(after(&sql).await, IntegrityError::WrongColumn { index: 6, column });
    }
}

#[tokio::test]
async fn checkpoints_that_are_missing_forged_or_exchanged_are_noticed() {
    assert_eq!(after("DELETE FROM checkpoints;").await, IntegrityError::NoCheckpoint { size: 11 });
    let newest = "DELETE FROM checkpoints WHERE size = 11;";
    assert_eq!(after(newest).await, IntegrityError::WrongSize { expected: 0, found: 11 });
    let exchanged =
        "UPDATE checkpoints SET text = (SELECT text FROM checkpoints WHERE size = 0) WHERE size = 11;";
    assert_eq!(after(exchanged).await, IntegrityError::WrongSize { expected: 0, found: 11 });
    let moved = "UPDATE checkpoints SET size = 99 WHERE size = 11;";
    assert_eq!(after(moved).await, IntegrityError::WrongSize { expected: 11, found: 99 });
    let forged = "UPDATE checkpoints SET text = replace(text, char(10) || '11' || char(10), char(10) || '12' || char(10));";
    assert!(matches!(
        after(forged).await,
        IntegrityError::Checkpoint(CheckpointError::Note(NoteError::BadSignature(_)))
    ));
    let junk = "UPDATE checkpoints SET text = 'junk';";
    assert!(matches!(
        after(junk).await,
        IntegrityError::Checkpoint(CheckpointError::Note(NoteError::Malformed { .. }))
    ));
}

#[tokio::test]
async fn another_key_is_refused_and_the_missing_one_is_asked_for() {
    let data = log_of(3).await;
    let path = data.path().join("signing.key");
    let own = fs::read_to_string(&path).unwrap();
    let key = |name: &str| SignerKey::from_seed(name, &[9; 32]).unwrap().to_secret_text();

    fs::write(&path, key("evenkeel.dev/audit")).unwrap();
    assert!(matches!(
        problem(data.path()),
        IntegrityError::Checkpoint(CheckpointError::Note(NoteError::WrongKey { .. }))
    ));
    fs::write(&path, key("somebody.else")).unwrap();
    assert!(
        matches!(refused(data.path()), OpenError::KeyOfAnotherLog { found, .. } if found == "somebody.else")
    );
    fs::write(&path, "no key at all").unwrap();
    assert!(matches!(refused(data.path()), OpenError::Key { .. }));
    fs::remove_file(&path).unwrap();
    assert!(matches!(refused(data.path()), OpenError::KeyMissing(missing) if missing == path));
    fs::write(&path, own).unwrap();
    assert!(open(data.path()).is_ok());
}

#[tokio::test]
async fn a_truncated_write_ahead_log_is_noticed_although_what_is_left_is_consistent() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path()).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for start in 0..40 {
        log.appender().append(records(start * 10..start * 10 + 10)).await.unwrap();
    }
    // As after a crash: closing would have copied the write-ahead log into the database.
    for file in ["log.db", "log.db-wal", "signing.key", "newest.checkpoint"] {
        fs::copy(data.path().join(file), copy.path().join(file)).unwrap();
    }
    log.close();
    let wal = fs::File::options().write(true).open(copy.path().join("log.db-wal")).unwrap();
    wal.set_len(wal.metadata().unwrap().len() / 2).unwrap();
    let IntegrityError::Shorter { found, witnessed: 400 } = problem(copy.path()) else { panic!() };
    assert!(found > 0 && found < 400 && found % 10 == 0, "{found}");
}

#[tokio::test]
async fn a_witness_that_is_damaged_or_of_a_fork_is_refused_and_a_missing_one_is_not() {
    let data = log_of(3).await;
    let path = data.path().join("newest.checkpoint");
    let own = fs::read(&path).unwrap();
    fs::write(&path, "junk").unwrap();
    assert!(matches!(problem(data.path()), IntegrityError::Witness { file: "newest.checkpoint", .. }));

    let key = SignerKey::parse(fs::read_to_string(data.path().join("signing.key")).unwrap().trim()).unwrap();
    fs::write(&path, Checkpoint::sign(2, hash::leaf(b"fork"), &key)).unwrap();
    assert!(matches!(problem(data.path()), IntegrityError::WrongRoot { size: 2, .. }));

    fs::remove_file(&path).unwrap();
    open(data.path()).unwrap().close();
    assert_eq!(fs::read(&path).unwrap(), own);
}

#[tokio::test]
async fn what_is_no_database_or_of_another_version_is_refused() {
    let data = log_of(3).await;
    change(data.path(), "PRAGMA user_version = 99;");
    assert!(matches!(refused(data.path()), OpenError::Schema { found: 99, supported: 1 }));
    fs::write(data.path().join("log.db"), vec![7; 8192]).unwrap();
    assert!(matches!(refused(data.path()), OpenError::Store(StoreError::Damaged(_))));
}

#[tokio::test]
async fn a_long_log_is_verified_in_parts_and_the_first_bad_place_is_named() {
    let data = log_of(8200).await;
    assert_eq!(open(data.path()).unwrap().opened_size(), 8200);
    let backup = fs::read(data.path().join("log.db")).unwrap();
    let wrong = |index: u64| format!("UPDATE entries SET body = x'00' WHERE idx = {index};");
    let node =
        |level: u64| format!("UPDATE nodes SET hash = zeroblob(32) WHERE level = {level} AND idx = 0;");
    let cases = [
        (wrong(8199), IntegrityError::WrongBody { index: 8199 }),
        (wrong(5000) + &wrong(100), IntegrityError::WrongBody { index: 100 }),
        (wrong(5000) + &wrong(8195), IntegrityError::WrongBody { index: 5000 }),
        ("DELETE FROM entries WHERE idx = 4096;".into(), IntegrityError::MissingEntry { index: 4096 }),
        ("DELETE FROM entries WHERE idx = 4095;".into(), IntegrityError::MissingEntry { index: 4095 }),
        (node(12), IntegrityError::WrongNode { first: 0, last: 4095 }),
        (node(13), IntegrityError::WrongNode { first: 0, last: 8191 }),
        (
            "UPDATE nodes SET hash = zeroblob(32) WHERE level = 3 AND idx = 1024;".into(),
            IntegrityError::WrongNode { first: 8192, last: 8199 },
        ),
    ];
    for (sql, expected) in cases {
        fs::write(data.path().join("log.db"), &backup).unwrap();
        change(data.path(), &sql);
        assert_eq!(problem(data.path()), expected, "{sql}");
    }
}

#[tokio::test]
async fn the_key_file_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = log_of(0).await;
    let mode = fs::metadata(data.path().join("signing.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn an_erased_body_is_named() {
    let sql = "UPDATE entries SET body = NULL WHERE idx = 2;";
    assert_eq!(after(sql).await, IntegrityError::MissingBody { index: 2 });
}
