//! The writer's thread: gather, plan, commit, answer.

use std::{collections::HashMap, sync::mpsc};

use evenkeel_chain::Checkpoint;
use evenkeel_kit::failpoint;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    Head, Limits, Message, Request, WriterState,
    plan::{Plan, plan},
};
use crate::{
    error::Error,
    event::Record,
    metrics::Metrics,
    store::{Batch, Place, StoreError, StoredCheckpoint},
};

pub(super) struct Worker {
    head: Head,
    queue: mpsc::Receiver<Message>,
    limits: Limits,
    metrics: Metrics,
    state: StateGuard,
}

impl Worker {
    pub(super) fn new(
        head: Head,
        queue: mpsc::Receiver<Message>,
        limits: Limits,
        metrics: Metrics,
        state: watch::Sender<WriterState>,
    ) -> Self {
        Self { head, queue, limits, metrics, state: StateGuard(state) }
    }

    /// Works until it is asked to stop, nobody can ask any more, or the store cannot be trusted.
    pub(super) fn run(mut self) {
        let mut running = true;
        while running {
            let Ok(Message::Append(first)) = self.queue.recv() else { break };
            let group;
            (group, running) = self.gather(first);
            if let Err(error) = self.commit(group) {
                tracing::error!("the log takes no more events until it is started again: {error:?}");
                return;
            }
        }
        // Whatever was sent before the stop message has been gathered; later requests are refused.
        self.state.0.send_replace(WriterState::Stopped);
    }

    /// Takes what else is waiting, as much as one commit may hold; and whether to go on after it.
    fn gather(&self, first: Request) -> (Vec<Request>, bool) {
        let (mut events, mut kib) = (first.records.len(), first.kib);
        let mut group = vec![first];
        let mut running = true;
        while events < self.limits.commit_events && kib < self.limits.commit_kib {
            match self.queue.try_recv() {
                Ok(Message::Append(request)) => {
                    events += request.records.len();
                    kib += request.kib;
                    group.push(request);
                }
                Ok(Message::Stop) => {
                    running = false;
                    break;
                }
                Err(_) => break,
            }
        }
        self.metrics.queue_depth.dec_by(i64::try_from(group.len()).unwrap_or(i64::MAX));
        (group, running)
    }

    /// Commits a group and answers each request. An error means that the store cannot be trusted.
    fn commit(&mut self, group: Vec<Request>) -> Result<(), StoreError> {
        match self.write(&group) {
            Ok(answers) => {
                for (request, answer) in group.into_iter().zip(answers) {
                    request.settle(answer);
                }
                Ok(())
            }
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::warn!("could not append {} requests: {error:?}", group.len());
                for request in group {
                    request.settle(Err(Error::StoreUnavailable(error.clone())));
                }
                Ok(())
            }
            // Dropping the requests tells their callers that the outcome is not known.
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, group: &[Request]) -> Result<Vec<crate::error::Result<Vec<Place>>>, StoreError> {
        let known = self.known(group)?;
        let now = Timestamp::now().as_microsecond();
        let requests = group.iter().map(|request| request.records.as_slice());
        let Plan { frontier, fresh, nodes, answers } = plan(&self.head.frontier, known, requests, now);
        if fresh.is_empty() {
            return Ok(answers);
        }
        let text = Checkpoint::sign(frontier.size(), frontier.root(), &self.head.key);
        let batch = Batch {
            first: self.head.frontier.size(),
            recorded_at: now,
            records: fresh,
            nodes,
            checkpoint: StoredCheckpoint { size: frontier.size(), text },
        };
        failpoint::hit("audit.commit.before");
        self.head.writer.append(&batch)?;
        failpoint::hit("audit.commit.after");
        if let Err(error) = self.head.witness.remember(&batch.checkpoint.text) {
            // The entries are durable; only the check at the next start knows less.
            tracing::warn!("could not write the newest checkpoint beside the log: {error}");
        }
        self.metrics.appended.inc_by(batch.records.len() as u64);
        self.metrics.size.set(i64::try_from(frontier.size()).unwrap_or(i64::MAX));
        self.head.frontier = frontier;
        Ok(answers)
    }

    /// The records of the group that are in the log already.
    fn known(&mut self, group: &[Request]) -> Result<HashMap<Uuid, Place>, StoreError> {
        let records = group.iter().flat_map(|request| &request.records);
        let ids: Vec<Uuid> = records.map(|record: &Record| record.event_id).collect();
        let found = self.head.writer.find(&ids)?;
        let mut known = HashMap::with_capacity(ids.len());
        known.extend(found.into_iter().map(|(position, place)| (ids[position], place)));
        Ok(known)
    }
}

/// Says `Failed` when the thread ends in any way but the orderly one, a panic included.
struct StateGuard(watch::Sender<WriterState>);

impl Drop for StateGuard {
    fn drop(&mut self) {
        self.0.send_if_modified(|state| {
            let failed = *state == WriterState::Running;
            if failed {
                *state = WriterState::Failed;
            }
            failed
        });
    }
}
