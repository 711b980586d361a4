//! What an execution leaves behind: its end in status, its record, and what people were told.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use evenkeel_api::WorkflowExecution;
use evenkeel_proto::audit::v1::{ListEventsRequest, LogEntry};
use futures::TryStreamExt as _;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, ResourceExt as _,
    api::DynamicObject,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;

use crate::{environment::Environment, wait};

/// Type of the event of a workflow that was chosen.
pub const SELECTED: &str = "workflowexecution.selection.completed";
/// Type of the event of a run that went live.
pub const STARTED: &str = "workflowexecution.execution.started";
/// Type of the event of a workflow that succeeded.
pub const COMPLETED: &str = "workflowexecution.workflow.completed";
/// Type of the event of a workflow that failed.
pub const FAILED: &str = "workflowexecution.workflow.failed";
/// Type of the event of a block that somebody cleared.
pub const CLEARED: &str = "workflowexecution.block.cleared";

/// One event of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Place in the log.
    pub index: i64,
    /// What was recorded.
    pub body: Value,
}

impl AuditEvent {
    fn read(entry: LogEntry) -> anyhow::Result<Self> {
        let body = serde_json::from_slice(&entry.body);
        Ok(Self { index: entry.index, body: body.with_context(|| format!("read entry {}", entry.index))? })
    }

    /// A text field, or nothing when it is absent.
    pub fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_default()
    }

    /// Dotted type.
    pub fn kind(&self) -> &str {
        self.text("event_type")
    }
}

/// The condition of a type, if the execution has it.
pub fn condition<'a>(execution: &'a WorkflowExecution, kind: &str) -> Option<&'a Condition> {
    execution.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the execution has a condition and it is true.
pub fn holds(execution: &WorkflowExecution, kind: &str) -> bool {
    condition(execution, kind).is_some_and(|condition| condition.status == "True")
}

impl Environment {
    /// The pods that runs became.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client(), self.execution_namespace())
    }

    /// The tasks that Tekton runs became.
    pub fn task_runs(&self) -> Api<DynamicObject> {
        self.runs_of("tekton.dev", "TaskRun")
    }

    /// The locks of targets.
    pub fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client(), self.execution_namespace())
    }

    /// Waits until nothing is left to do for an execution: it has ended, its target is free, and
    /// the log has its events.
    pub async fn settled(&self, name: &str, limit: Duration) -> anyhow::Result<WorkflowExecution> {
        wait::until(&self.executions(), name, "being released and recorded", limit, |execution| {
            holds(execution, "Released") && holds(execution, "AuditRecorded")
        })
        .await
    }

    /// What the log has of an execution, in the order of the log.
    pub async fn audit_events(&self, name: &str) -> anyhow::Result<Vec<AuditEvent>> {
        let (resource_id, namespace) = (name.to_owned(), self.namespace().to_owned());
        self.audit_list(ListEventsRequest { resource_id, namespace, ..ListEventsRequest::default() }).await
    }

    /// The types of these events.
    pub async fn recorded(&self, name: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.audit_events(name).await?.iter().map(|event| event.kind().to_owned()).collect())
    }

    /// The whole log.
    pub async fn audit_log(&self) -> anyhow::Result<Vec<AuditEvent>> {
        self.audit_list(ListEventsRequest::default()).await
    }

    async fn audit_list(&self, mut request: ListEventsRequest) -> anyhow::Result<Vec<AuditEvent>> {
        let mut client = self.audit()?;
        let mut events = Vec::new();
        loop {
            let page = client.list_events(request.clone()).await?.into_inner();
            let read: anyhow::Result<Vec<AuditEvent>> =
                page.entries.into_iter().map(AuditEvent::read).collect();
            events.extend(read?);
            if page.next_page_token.is_empty() {
                return Ok(events);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Waits until the Kubernetes Events about an execution have all these reasons: they are told a
    /// moment after what they tell of. All that were told until then.
    pub async fn told(
        &self,
        execution: &WorkflowExecution,
        wanted: &[&str],
        limit: Duration,
    ) -> anyhow::Result<Vec<Event>> {
        let api: Api<Event> = Api::namespaced(self.client(), self.namespace());
        let (uid, mut missing) = (execution.uid(), wanted.iter().copied().collect::<BTreeSet<_>>());
        let mut seen = Vec::new();
        let listened = async {
            let events = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut events = std::pin::pin!(events);
            while !missing.is_empty() {
                let event = events.try_next().await?.context("the watch ended")?;
                if event.regarding.as_ref().is_some_and(|about| about.uid == uid) {
                    missing.remove(event.reason.as_deref().unwrap_or_default());
                    seen.push(event);
                }
            }
            anyhow::Ok(())
        };
        let heard = tokio::time::timeout(limit, listened).await;
        heard
            .with_context(|| format!("{} was not told {wanted:?}, only {seen:?}", execution.name_any()))??;
        Ok(seen)
    }
}
