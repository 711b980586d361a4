//! Watches the executions, whether this process leads or not, so that it can lead at once.
//!
//! Of executions that are at rest only what gates and retention need is kept, in the index: there
//! can be very many of them, and none is looked at again.

use std::sync::Arc;

use evenkeel_api::WorkflowExecution;
use evenkeel_kit::{readiness::Readiness, shutdown::CancellationToken};
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, store::Writer},
        watcher::{self, Event, watcher},
    },
};

use crate::{
    index::Index,
    latest::Latest,
    record,
    watch::{Runs, Wake},
};

/// Readiness: all executions are known.
pub(crate) const OBJECTS: &str = "executions";

/// Watches the executions of one namespace.
pub(crate) struct Watching {
    pub(crate) api: Api<WorkflowExecution>,
    /// Holds those that are not at rest.
    pub(crate) writer: Writer<WorkflowExecution>,
    pub(crate) index: Arc<Index>,
    pub(crate) latest: Arc<Latest>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) wake: Wake,
    pub(crate) readiness: Readiness,
    /// Whether there is an audit log that has to have everything first.
    pub(crate) has_audit: bool,
}

impl Watching {
    /// Watches until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let events = watcher(self.api.clone(), watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events.take_until(shutdown.cancelled_owned()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => tracing::warn!("could not watch executions, trying on: {error}"),
            }
        }
    }

    fn take(&mut self, event: Event<WorkflowExecution>) {
        // Before anything is woken because of it: gates look at the index.
        let concerned = self.index.apply(&event);
        match event {
            Event::Init => self.writer.apply_watcher_event(&Event::Init),
            Event::InitApply(object) => {
                self.latest.seen(&object);
                if !self.is_at_rest(&object) {
                    self.writer.apply_watcher_event(&Event::InitApply(slim(object)));
                }
            }
            Event::InitDone => {
                self.writer.apply_watcher_event(&Event::InitDone);
                self.readiness.set(OBJECTS, true);
                self.wake.everything();
            }
            Event::Apply(object) => self.changed(object),
            Event::Delete(object) => {
                self.latest.seen(&object);
                self.runs.forget(&object.uid().unwrap_or_default());
                self.writer.apply_watcher_event(&Event::Delete(object));
            }
        }
        for next in &concerned {
            self.wake.object(next);
        }
    }

    fn changed(&mut self, object: WorkflowExecution) {
        self.latest.seen(&object);
        if self.is_at_rest(&object) {
            self.runs.forget(&object.uid().unwrap_or_default());
            self.writer.apply_watcher_event(&Event::Delete(object));
            return;
        }
        let reference = ObjectRef::from_obj(&object);
        self.writer.apply_watcher_event(&Event::Apply(slim(object)));
        self.wake.object(&reference);
    }

    fn is_at_rest(&self, object: &WorkflowExecution) -> bool {
        record::from_object(object).is_at_rest(self.has_audit)
    }
}

/// Without what nobody here reads.
fn slim(mut object: WorkflowExecution) -> WorkflowExecution {
    object.metadata.managed_fields = None;
    object
}

#[cfg(test)]
mod tests {
    use kube::{Client, runtime::reflector};
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, conditions: &[&str], deleting: bool) -> WorkflowExecution {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|kind| {
                json!({
                    "type": kind, "status": "True", "reason": "Set", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                })
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": {
                "namespace": "ops", "name": name, "uid": name, "resourceVersion": "1",
                "deletionTimestamp": deleting.then_some("2026-01-02T00:00:00Z"),
                "managedFields": [{ "manager": "somebody" }],
            },
            "spec": {
                "remediationRequestRef": {},
                "workflowRef": { "workflowId": "w", "version": "1", "executionBundle": "b" },
                "targetResource": "x/1",
            },
            "status": {
                "phase": "Completed", "completionTime": "2026-01-01T00:00:00Z", "conditions": conditions,
            },
        }))
        .unwrap()
    }

    const SETTLED: [&str; 2] = ["Released", "AuditRecorded"];

    fn watching() -> (reflector::Store<WorkflowExecution>, Watching) {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
        });
        let (reader, writer) = reflector::store();
        let watching = Watching {
            api: Api::namespaced(Client::new(service, "ops"), "ops"),
            writer,
            index: Arc::default(),
            latest: Arc::default(),
            runs: Arc::default(),
            wake: Wake::default(),
            readiness: Readiness::new(&[OBJECTS]),
            has_audit: true,
        };
        (reader, watching)
    }

    fn names(reader: &reflector::Store<WorkflowExecution>) -> Vec<String> {
        let mut names: Vec<_> = reader.state().iter().map(|object| object.name_any()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_is_at_rest_is_neither_kept_nor_looked_at() {
        let (reader, mut watching) = watching();
        let mut woken = watching.wake.attach();
        watching.take(Event::Init);
        watching.take(Event::InitApply(object("settled", &SETTLED, false)));
        watching.take(Event::InitApply(object("open", &["Released"], false)));
        watching.take(Event::InitDone);
        assert_eq!(names(&reader), ["open"]);
        assert!(watching.index.knows("settled") && watching.readiness.missing().is_empty());
        assert!(woken.try_recv().is_err(), "the first looks are not all at once");
        watching.take(Event::Apply(object("open", &SETTLED, false)));
        assert_eq!(names(&reader), [""; 0]);
        assert!(woken.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_is_deleted_is_looked_at_again() {
        let (reader, mut watching) = watching();
        let mut woken = watching.wake.attach();
        watching.take(Event::Apply(object("settled", &SETTLED, false)));
        watching.take(Event::Apply(object("settled", &SETTLED, true)));
        assert_eq!(names(&reader), ["settled"]);
        assert_eq!(woken.try_recv().unwrap().name, "settled");
        assert!(reader.state()[0].metadata.managed_fields.is_none());
        watching.take(Event::Delete(object("settled", &SETTLED, true)));
        assert_eq!(names(&reader), [""; 0]);
    }

    /// Bytes that this process occupies.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    #[tokio::test]
    async fn fifty_thousand_finished_executions_take_little_memory() {
        const FINISHED: usize = 50_000;
        const OPEN: usize = 2_000;
        let (reader, mut watching) = watching();
        let (settled, open) = (object("settled", &SETTLED, false), object("open", &[], false));
        let before = resident();
        watching.take(Event::Init);
        for number in 0..FINISHED + OPEN {
            let mut object = if number < FINISHED { settled.clone() } else { open.clone() };
            object.metadata.name = Some(format!("we-remediation-request-{number}"));
            object.metadata.uid = Some(format!("00000000-0000-4000-8000-{number:012}"));
            object.spec.target_resource = format!("some-namespace/Deployment/some-name-{}", number % 1_000);
            // As large as such objects are with their parameters and their summary.
            object.spec.parameters.insert("TEXT".to_owned(), "x".repeat(8_192));
            watching.take(Event::InitApply(object));
        }
        watching.take(Event::InitDone);
        let grown = resident().saturating_sub(before) / 1024 / 1024;
        println!("{FINISHED} finished and {OPEN} open executions: {grown} MiB");
        assert_eq!(reader.len(), OPEN);
        assert!(grown < 160, "{grown} MiB");
    }
}
