//! Delivers audit events until the log has acknowledged them. Nothing that matters is kept here:
//! the events are derived from what is stored, so after a restart they are derived and sent again,
//! and the log answers a repeat with the entry it has. Nothing waits for a delivery but the
//! deletion of the object that it speaks of.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use evenkeel_api::WorkflowExecution;
use evenkeel_core::{
    event::{self, ACTOR, CATEGORY},
    plan::Audit,
    record::Record,
};
use evenkeel_kit::{
    channel::Connection,
    failpoint,
    rpc::{self, Class},
    shutdown::CancellationToken,
    trace::Carrier,
};
use evenkeel_proto::audit::v1::{
    Event, EventOutcome, WriteEventsRequest, audit_service_client::AuditServiceClient,
};
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::sleep};
use tonic::Status;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{backoff::delay, facts::timestamp, spans, watch::Wake};

/// Events sent in one request: enough to keep up, few enough to stay small.
const BATCH: usize = 200;
/// Attempts in a row that may fail before it is told.
const QUIET_FAILURES: u32 = 2;
/// Failures in a row that the wait goes on growing for: up to 3.2 seconds, for all executions wait.
const WORST: u32 = 5;
/// How long the last events may take at shutdown; they are derived again at the next start.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Where the events of executions are.
pub struct Deliveries {
    queue: Option<mpsc::UnboundedSender<Item>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    tracked: Mutex<HashMap<String, Tracked>>,
    is_failing: AtomicBool,
}

#[derive(Default)]
struct Tracked {
    submitted: usize,
    acknowledged: usize,
    is_refused: bool,
    is_awaited: bool,
}

struct Item {
    uid: String,
    reference: ObjectRef<WorkflowExecution>,
    carrier: Option<Carrier>,
    event: Event,
}

/// Sends what is submitted, one request at a time, so that the events of one execution stay in order.
pub(crate) struct Delivery {
    client: AuditServiceClient<Connection>,
    queue: mpsc::UnboundedReceiver<Item>,
    state: Arc<State>,
    wake: Wake,
}

/// Deliveries over a connection; without one there are none.
pub(crate) fn deliveries(connection: Option<Connection>, wake: Wake) -> (Deliveries, Option<Delivery>) {
    let state = Arc::new(State::default());
    let Some(connection) = connection else { return (Deliveries { queue: None, state }, None) };
    // Bounded by what is in the cluster: every execution has at most four events.
    let (sender, queue) = mpsc::unbounded_channel();
    let client = AuditServiceClient::new(connection);
    let delivery = Delivery { client, queue, state: state.clone(), wake };
    (Deliveries { queue: Some(sender), state }, Some(delivery))
}

impl Deliveries {
    /// Submits what the record calls for and was not submitted yet, and says how far it all is.
    pub(crate) fn follow(&self, record: &Record, carrier: Option<&Carrier>) -> Audit {
        let Some(queue) = &self.queue else { return Audit::Off };
        let due = event::count(record);
        if due == 0 || record.is_settled() {
            self.forget(&record.uid);
            return Audit::Acknowledged;
        }
        let mut all = self.state.tracked.lock();
        let tracked = all.entry(record.uid.clone()).or_default();
        if tracked.submitted < due {
            let reference = ObjectRef::new(&record.name).within(&record.namespace);
            for event in event::derive(record).iter().skip(tracked.submitted) {
                let event = message(&record.uid, event);
                let (uid, carrier) = (record.uid.clone(), carrier.cloned());
                // The other end lives as long as the process; if it is gone, so are we soon.
                let _ = queue.send(Item { uid, reference: reference.clone(), carrier, event });
            }
            tracked.submitted = due;
        }
        let is_done = tracked.acknowledged >= due;
        tracked.is_awaited = !is_done && (record.is_terminal() || record.deleting);
        match () {
            () if is_done => Audit::Acknowledged,
            () if tracked.is_refused => Audit::Refused,
            () if self.state.is_failing.load(Ordering::Relaxed) => Audit::Failing,
            () => Audit::Pending,
        }
    }

    /// Forgets an execution that is settled or gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.state.tracked.lock().remove(uid);
    }
}

impl Delivery {
    /// Delivers until shutdown, and what is left then for a little longer.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                taken = self.queue.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                () = shutdown.cancelled() => break,
            }
            tokio::select! {
                () = self.deliver(&mut batch) => {}
                () = shutdown.cancelled() => break,
            }
        }
        self.queue.close();
        let drained = tokio::time::timeout(DRAIN_LIMIT, async {
            while !batch.is_empty() || self.queue.recv_many(&mut batch, BATCH).await > 0 {
                self.deliver(&mut batch).await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!("some audit events were not acknowledged; they are sent again at the next start");
        }
    }

    /// Sends a batch until every event in it is acknowledged or refused.
    async fn deliver(&mut self, batch: &mut Vec<Item>) {
        let mut failures = 0;
        while !batch.is_empty() {
            match self.send(batch).await {
                Ok(()) => {
                    failures = 0;
                    self.recovered();
                    batch.drain(..).for_each(|item| self.acknowledged(&item));
                }
                // Another content under the id of an event is no better: neither gets in by asking again.
                Err(status) if matches!(rpc::class(&status), Class::Invalid | Class::AlreadyExists) => {
                    self.refused(batch, &status).await;
                }
                Err(status) => {
                    failures += 1;
                    self.failing(batch, failures, &status);
                    sleep(delay(failures.min(WORST))).await;
                }
            }
        }
    }

    async fn send(&mut self, batch: &[Item]) -> Result<(), Status> {
        let events = batch.iter().map(|item| item.event.clone()).collect();
        let span = spans::deliver(batch.first().and_then(|item| item.carrier.as_ref()), batch.len());
        failpoint::hit("controller.audit.before");
        let sent = self.client.write_events(WriteEventsRequest { events }).instrument(span).await;
        failpoint::hit("controller.audit.after");
        sent.map(|_| ())
    }

    /// A request is taken as a whole or not at all, so one bad event is found by sending it alone.
    async fn refused(&mut self, batch: &mut Vec<Item>, status: &Status) {
        if batch.len() > 1 {
            for item in std::mem::take(batch) {
                let mut alone = vec![item];
                Box::pin(self.deliver(&mut alone)).await;
            }
            return;
        }
        for item in batch.drain(..) {
            tracing::error!(
                execution = %item.reference, event_type = item.event.event_type,
                reason = rpc::reason(status), "the audit log refused an event: {}", status.message()
            );
            if let Some(tracked) = self.state.tracked.lock().get_mut(&item.uid) {
                tracked.is_refused = true;
            }
            self.wake.object(&item.reference);
        }
    }

    fn acknowledged(&self, item: &Item) {
        let mut all = self.state.tracked.lock();
        let Some(tracked) = all.get_mut(&item.uid) else { return };
        tracked.acknowledged += 1;
        if tracked.is_awaited && tracked.acknowledged >= tracked.submitted {
            self.wake.object(&item.reference);
        }
    }

    fn failing(&self, batch: &[Item], failures: u32, status: &Status) {
        if failures < QUIET_FAILURES || self.state.is_failing.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            reason = rpc::reason(status),
            "the audit log does not acknowledge events, trying on: {}",
            status.message()
        );
        let waiting: HashSet<_> = batch.iter().map(|item| item.reference.clone()).collect();
        for reference in &waiting {
            self.wake.object(reference);
        }
    }

    fn recovered(&self) {
        if self.state.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the audit log acknowledges events again");
        }
    }
}

fn message(uid: &str, event: &event::Event) -> Event {
    Event {
        event_id: event_id(uid, event.event_type),
        version: "1.0".to_owned(),
        event_type: event.event_type.to_owned(),
        event_timestamp: Some(timestamp(event.timestamp)),
        event_category: CATEGORY.to_owned(),
        event_action: event.action().to_owned(),
        event_outcome: if event.succeeded { EventOutcome::Success } else { EventOutcome::Failure }.into(),
        actor_type: if event.user.is_some() { "user" } else { "service" }.to_owned(),
        actor_id: event.user.clone().unwrap_or_else(|| ACTOR.to_owned()),
        resource_type: "WorkflowExecution".to_owned(),
        resource_id: event.resource_id.clone(),
        correlation_id: event.correlation_id.clone(),
        namespace: event.namespace.clone(),
        trace_id: event.trace_id.clone(),
        span_id: event.span_id.clone(),
        event_data_json: serde_json::Value::Object(event.data.clone()).to_string(),
    }
}

/// The same event of the same execution has the same id, whoever sends it and however often.
fn event_id(uid: &str, event_type: &str) -> String {
    let namespace =
        Uuid::parse_str(uid).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, uid.as_bytes()));
    Uuid::new_v5(&namespace, event_type.as_bytes()).to_string()
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
