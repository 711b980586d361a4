//! Appending: exactly once, dense, durable, and honest when it fails.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use crate::support::{id, record, records};
use evenkeel_audit::{
    append::{Appender, Head, Limits, WriterState, WriterThread},
    checkpoint::{Witness, load_key},
    error::{Error, OpenError},
    log::{Log, Options},
    metrics::Metrics,
    store::{Batch, Place, Store as _, StoreError, Writer, sqlite::Sqlite},
};
use evenkeel_chain::tree::Frontier;
use uuid::Uuid;

fn open(data: &Path) -> Log {
    Log::open(&Options::new(data), Metrics::default()).unwrap()
}

fn indexes(places: &[Place]) -> Vec<u64> {
    places.iter().map(|place| place.index).collect()
}

#[tokio::test]
async fn the_same_event_again_is_answered_with_its_place() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    let first = log.appender().append(records(0..3)).await.unwrap();
    assert_eq!(indexes(&first), [0, 1, 2]);
    let again = log.appender().append(vec![record(2), record(3), record(0), record(3)]).await.unwrap();
    assert_eq!(indexes(&again), [2, 3, 0, 3]);
    assert_eq!((again[0], again[2]), (first[2], first[0]));
    log.close();

    let log = open(data.path());
    assert_eq!(log.opened_size(), 4);
    assert_eq!(log.appender().append(records(0..3)).await.unwrap(), first);
}

#[tokio::test]
async fn other_content_under_a_known_id_is_refused_with_all_of_its_request() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    log.appender().append(records(0..2)).await.unwrap();
    let mut changed = record(5);
    changed.event_id = id(1);
    let refused = log.appender().append(vec![record(3), changed]).await;
    let Err(Error::EventConflict { event_id, position: 1 }) = refused else { panic!("{refused:?}") };
    assert_eq!(event_id, id(1));
    assert_eq!(indexes(&log.appender().append(vec![record(4)]).await.unwrap()), [2]);
    let gone = log.readers().read(|reader| Ok(reader.find(id(3))?)).await.unwrap();
    assert!(gone.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_get_dense_indexes_and_every_event_is_there_once() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16_u64 {
        let appender = log.appender().clone();
        writers.spawn(async move {
            let mut places = Vec::new();
            for batch in 0..10_u64 {
                // Half of the events of a batch are also written by the next writer.
                let start = writer * 50 + batch * 5;
                places.extend(appender.append(records(start..start + 10)).await.unwrap());
            }
            places
        });
    }
    let places: HashSet<u64> =
        writers.join_all().await.into_iter().flatten().map(|place| place.index).collect();
    let events = 16 * 50 + 5;
    assert_eq!(places, (0..events).collect());
    log.close();
    assert_eq!(open(data.path()).opened_size(), events);
}

#[tokio::test]
async fn what_waits_at_shutdown_is_written() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    let appender = log.appender().clone();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..50 {
        let appender = appender.clone();
        waiting.spawn(async move { appender.append(vec![record(n)]).await });
    }
    // Lets every one of them send its request, on this one thread.
    tokio::task::yield_now().await;
    log.close();
    assert_eq!(*appender.state().borrow(), WriterState::Stopped, "closing waits for the writer");
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
    assert!(matches!(appender.append(vec![record(99)]).await, Err(Error::WriterStopped)));
    assert_eq!(open(data.path()).opened_size(), 50);
}

#[tokio::test]
async fn a_log_has_one_writer_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let log = open(data.path());
    let second = Log::open(&Options::new(data.path()), Metrics::default());
    assert!(matches!(second.err().unwrap(), OpenError::Locked(path) if path == data.path()));
    log.close();
    open(data.path());
}

/// What a faulty store does with the next batch.
#[derive(Clone, Copy)]
enum Fault {
    None,
    Unavailable,
    Uncertain,
    Panic,
    Block,
}

/// A real store that fails when it is told to.
struct Faulty {
    inner: Box<dyn Writer>,
    fault: Arc<AtomicU8>,
}

impl Writer for Faulty {
    fn find(&mut self, ids: &[Uuid]) -> Result<Vec<(usize, Place)>, StoreError> {
        self.inner.find(ids)
    }

    fn append(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let cause = || Arc::new(std::io::Error::other("made to fail"));
        while self.fault.load(Ordering::SeqCst) == Fault::Block as u8 {
            std::thread::yield_now();
        }
        match self.fault.load(Ordering::SeqCst) {
            fault if fault == Fault::Unavailable as u8 => Err(StoreError::Unavailable(cause())),
            fault if fault == Fault::Uncertain as u8 => Err(StoreError::Uncertain(cause())),
            fault if fault == Fault::Panic as u8 => panic!("made to panic"),
            _ => self.inner.append(batch),
        }
    }
}

/// A writer over a new log, and the switch for its faults.
fn faulty(data: &Path, limits: Limits) -> (Appender, WriterThread, Arc<AtomicU8>) {
    let store = Sqlite::open(data).unwrap();
    let key = load_key(&data.join("signing.key"), "test", true).unwrap();
    let (witness, _) = Witness::open(data, key.verifier()).unwrap();
    let fault = Arc::new(AtomicU8::new(Fault::None as u8));
    let writer = Box::new(Faulty { inner: store.writer().unwrap(), fault: Arc::clone(&fault) });
    let head = Head { writer, key, witness, frontier: Frontier::new() };
    let (appender, thread) = Appender::start(head, limits, Metrics::default()).unwrap();
    (appender, thread, fault)
}

#[tokio::test]
async fn a_store_that_fails_and_recovers_loses_and_skips_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (appender, thread, fault) = faulty(data.path(), Limits::default());
    appender.append(records(0..3)).await.unwrap();
    fault.store(Fault::Unavailable as u8, Ordering::SeqCst);
    let refused = appender.append(records(3..5)).await;
    assert!(matches!(refused, Err(Error::StoreUnavailable(_))), "{refused:?}");
    fault.store(Fault::None as u8, Ordering::SeqCst);
    assert_eq!(indexes(&appender.append(records(4..6)).await.unwrap()), [3, 4]);
    assert_eq!(*appender.state().borrow(), WriterState::Running);
    thread.stop();
    let options = Options { origin: "test".to_owned(), ..Options::new(data.path()) };
    assert_eq!(Log::open(&options, Metrics::default()).unwrap().opened_size(), 5);
}

#[tokio::test]
async fn a_store_that_cannot_say_what_is_on_disk_stops_the_writer() {
    for fault in [Fault::Uncertain, Fault::Panic] {
        let data = tempfile::tempdir().unwrap();
        let (appender, thread, switch) = faulty(data.path(), Limits::default());
        switch.store(fault as u8, Ordering::SeqCst);
        let refused = appender.append(records(0..3)).await;
        assert!(matches!(refused, Err(Error::WriterStopped)), "{refused:?}");
        let mut state = appender.state();
        assert_eq!(
            *state.wait_for(|state| *state != WriterState::Running).await.unwrap(),
            WriterState::Failed
        );
        switch.store(Fault::None as u8, Ordering::SeqCst);
        assert!(matches!(appender.append(records(0..3)).await, Err(Error::WriterStopped)));
        thread.stop();
    }
}

#[tokio::test]
async fn a_full_queue_pushes_back_at_once_and_takes_events_again_later() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits { queue_kib: 64, ..Limits::default() };
    let (appender, thread, fault) = faulty(data.path(), limits);
    fault.store(Fault::Block as u8, Ordering::SeqCst);
    let mut waiting = tokio::task::JoinSet::new();
    let mut refused = 0;
    for n in 0..100 {
        let appender = appender.clone();
        waiting.spawn(async move { appender.append(vec![record(n)]).await });
        tokio::task::yield_now().await;
        while let Some(done) = waiting.try_join_next() {
            assert!(matches!(done.unwrap(), Err(Error::QueueFull)));
            refused += 1;
        }
    }
    assert!(refused >= 30, "only {refused} were refused");
    fault.store(Fault::None as u8, Ordering::SeqCst);
    let written = waiting.join_all().await;
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(written.len() + refused, 100);
    for _ in 0..1_000 {
        let whole = appender.append(records(200..300)).await;
        assert!(
            whole.is_ok(),
            "larger than the queue, but alone, and the room is back with the answer: {whole:?}"
        );
    }
    thread.stop();
}
