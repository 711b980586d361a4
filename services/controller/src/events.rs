//! Kubernetes Events: what people are told. Best effort and out of the way: an Event that cannot
//! be published in time is dropped and counted, and nothing waits for one.

use std::{pin::pin, time::Duration};

use evenkeel_api::WorkflowExecution;
use evenkeel_core::plan::{Notice, Severity};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use crate::{metrics::Metrics, record};

/// Who speaks.
const SOURCE: &str = "workflowexecution-controller";
/// Longest message of an Event.
const NOTE_MAX: usize = 1024;
/// Longest part of the object's name in the name of its Event.
const NAME_MAX: usize = 236;
/// Events that may wait.
const QUEUE: usize = 4096;
/// Time between two Events. Under load most of what is written would be Events otherwise; so they come
/// later, and executions come first.
const PACE: Duration = Duration::from_millis(10);

/// Publishes Events.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Event>,
    metrics: Metrics,
}

/// The other end of the queue.
pub(crate) struct Publisher {
    api: Api<Event>,
    queue: mpsc::Receiver<Event>,
    metrics: Metrics,
}

/// Events of one namespace.
pub(crate) fn events(client: Client, namespace: &str, metrics: Metrics) -> (Events, Publisher) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let api = Api::namespaced(client, namespace);
    (Events { queue: sender, metrics: metrics.clone() }, Publisher { api, queue: receiver, metrics })
}

impl Events {
    /// Publishes notices about an object, some time soon.
    pub(crate) fn publish(&self, object: &WorkflowExecution, notices: &[Notice]) {
        for notice in notices {
            if self.queue.try_send(event(object, notice)).is_err() {
                self.metrics.event_dropped();
            }
        }
    }
}

impl Publisher {
    /// Publishes until every sender is gone.
    pub(crate) async fn run(self) {
        let Self { api, queue, metrics } = self;
        let mut queue = pin!(ReceiverStream::new(queue).throttle(PACE));
        while let Some(event) = queue.next().await {
            match api.create(&PostParams::default(), &event).await {
                Ok(_) => {}
                // Said before, by us.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => {
                    metrics.event_dropped();
                    tracing::warn!(reason = event.reason, "could not publish an event: {error}");
                }
            }
        }
    }
}

fn event(object: &WorkflowExecution, notice: &Notice) -> Event {
    let now = record::time(record::now());
    Event {
        metadata: ObjectMeta {
            name: Some(name(object, notice)),
            namespace: object.namespace(),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference { resource_version: None, ..object.object_ref(&()) },
        type_: Some(match notice.severity {
            Severity::Normal => "Normal".to_owned(),
            Severity::Warning => "Warning".to_owned(),
        }),
        reason: Some(notice.reason.to_owned()),
        message: Some(shorten(&notice.note, NOTE_MAX)),
        source: Some(EventSource { component: Some(SOURCE.to_owned()), host: None }),
        reporting_component: Some(SOURCE.to_owned()),
        first_timestamp: Some(now.clone()),
        last_timestamp: Some(now),
        count: Some(1),
        ..Event::default()
    }
}

/// The same notice about the same object has the same name, so that saying it twice is once.
fn name(object: &WorkflowExecution, notice: &Notice) -> String {
    let uid = object.uid().unwrap_or_default();
    let digest = Sha256::digest([uid.as_str(), notice.reason, &notice.note].join("\n"));
    let mark = hex::encode(digest);
    format!(
        "{}.{}",
        shorten(&object.name_any(), NAME_MAX).trim_end_matches(['.', '-']),
        mark.get(..16).unwrap_or(&mark)
    )
}

fn shorten(text: &str, limit: usize) -> String {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use evenkeel_api::WorkflowExecutionSpec;

    use super::*;

    fn object() -> WorkflowExecution {
        let mut object = WorkflowExecution::new(&"x".repeat(300), WorkflowExecutionSpec::default());
        object.metadata.uid = Some("u-1".to_owned());
        object.metadata.namespace = Some("ops".to_owned());
        object
    }

    fn notice(note: &str) -> Notice {
        Notice { severity: Severity::Warning, reason: "WorkflowFailed", note: note.to_owned() }
    }

    #[test]
    fn saying_it_twice_is_saying_it_once() {
        let name = |note: &str| name(&object(), &notice(note));
        assert_eq!(name("a"), name("a"));
        assert_ne!(name("a"), name("b"));
        assert!(name("a").len() <= 253);
    }

    #[test]
    fn an_event_speaks_of_the_object_in_the_known_voice() {
        let event = event(&object(), &notice(&"ü".repeat(2_000)));
        assert_eq!(event.involved_object.kind.as_deref(), Some("WorkflowExecution"));
        assert_eq!(event.involved_object.uid.as_deref(), Some("u-1"));
        assert_eq!(event.source.unwrap().component.as_deref(), Some("workflowexecution-controller"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.message.unwrap().len(), 1024);
    }
}
