//! Appending: many callers, one writer, and one synced commit for as many requests as are waiting.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use evenkeel_chain::{note::SignerKey, tree::Frontier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::{
    checkpoint::Witness,
    error::{Error, Result},
    event::Record,
    metrics::Metrics,
    store::{Place, Writer},
};

mod plan;
mod writer;

/// How much may wait, and how much one commit may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// KiB of events that may wait or be under way; more are refused. A request that is larger by
    /// itself is taken when nothing else waits.
    pub queue_kib: u32,
    /// Events after which a commit takes no further request.
    pub commit_events: usize,
    /// KiB after which a commit takes no further request.
    pub commit_kib: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_kib: 64 * 1024, commit_events: 8192, commit_kib: 16 * 1024 }
    }
}

/// What the writer needs to continue a log.
pub struct Head {
    /// Writes the store.
    pub writer: Box<dyn Writer>,
    /// Signs checkpoints.
    pub key: SignerKey,
    /// Remembers the newest of them.
    pub witness: Witness,
    /// The verified tree.
    pub frontier: Frontier,
}

/// Whether the log takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterState {
    /// It does.
    Running,
    /// It was asked to stop.
    Stopped,
    /// It failed in a way that only a new start, which verifies the log, can mend.
    Failed,
}

/// Hands events to the writer. Cheap to clone; all clones feed the same writer.
#[derive(Clone)]
pub struct Appender {
    queue: mpsc::Sender<Message>,
    budget: Arc<Semaphore>,
    limits: Limits,
    state: watch::Receiver<WriterState>,
    metrics: Metrics,
}

/// The thread that writes.
#[derive(Debug)]
pub struct WriterThread {
    thread: thread::JoinHandle<()>,
    queue: mpsc::Sender<Message>,
}

enum Message {
    Append(Request),
    Stop,
}

/// Records of one caller, all or none.
struct Request {
    records: Vec<Record>,
    answer: oneshot::Sender<Result<Vec<Place>>>,
    kib: u32,
    room: OwnedSemaphorePermit,
}

impl Request {
    /// Answers the caller, and gives the room in the queue back before: the caller may ask again at once.
    fn settle(self, answer: Result<Vec<Place>>) {
        drop(self.room);
        // Who has gone away will ask again, and be told the same.
        let _ = self.answer.send(answer);
    }
}

impl Appender {
    /// Starts the writer.
    pub fn start(head: Head, limits: Limits, metrics: Metrics) -> std::io::Result<(Self, WriterThread)> {
        let (queue, requests) = mpsc::channel();
        let (sender, state) = watch::channel(WriterState::Running);
        metrics.size.set(i64::try_from(head.frontier.size()).unwrap_or(i64::MAX));
        let worker = writer::Worker::new(head, requests, limits, metrics.clone(), sender);
        let thread = thread::Builder::new().name("audit-writer".to_owned()).spawn(|| worker.run())?;
        let budget = Arc::new(Semaphore::new(limits.queue_kib as usize));
        let appender = Self { queue: queue.clone(), budget, limits, state, metrics };
        Ok((appender, WriterThread { thread, queue }))
    }

    /// Appends records in order, all or none, and returns their places when they are durable. Records
    /// that the log has already are answered with the places they have.
    pub async fn append(&self, records: Vec<Record>) -> Result<Vec<Place>> {
        let started = Instant::now();
        let kib = size_in_kib(&records).min(self.limits.queue_kib);
        let room = Arc::clone(&self.budget).try_acquire_many_owned(kib).map_err(|_| Error::QueueFull)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { records, answer, kib, room };
        // Counted before it is sent, so that the writer can never count it out first.
        self.metrics.queue_depth.inc();
        if self.queue.send(Message::Append(request)).is_err() {
            self.metrics.queue_depth.dec();
            return Err(Error::WriterStopped);
        }
        let places = answered.await.map_err(|_| Error::WriterStopped)??;
        self.metrics.append_duration.observe(started.elapsed().as_secs_f64());
        Ok(places)
    }

    /// Follows whether the log takes events.
    pub fn state(&self) -> watch::Receiver<WriterState> {
        self.state.clone()
    }
}

impl WriterThread {
    /// Lets the writer finish what is waiting, and ends it. Blocks until then.
    pub fn stop(self) {
        // Both fail only if the thread has ended already.
        let _ = self.queue.send(Message::Stop);
        let _ = self.thread.join();
    }
}

fn size_in_kib(records: &[Record]) -> u32 {
    /// What a record takes beside its body.
    const OVERHEAD: usize = 256;
    let bytes: usize = records.iter().map(|record| record.body.len() + OVERHEAD).sum();
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}
