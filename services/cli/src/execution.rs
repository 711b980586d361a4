//! WorkflowExecutions as read from the cluster, and what their fields mean to people.

use evenkeel_api::{WorkflowExecution, WorkflowExecutionStatus};
use evenkeel_core::{conditions::kind, phase::Phase};
use evenkeel_kit::trace::{Carrier, TRACEPARENT_ANNOTATION};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;

use crate::{
    cluster::Cluster,
    error::{Error, Result},
    output,
};

/// An execution: the object as stored, with fields that this release may not know, and its typed form.
#[derive(Clone, Debug)]
pub struct Execution {
    /// As stored.
    pub raw: DynamicObject,
    /// As understood, and fit to be shown. Only the metadata when `unreadable`.
    pub typed: WorkflowExecution,
    /// Why the object is not understood.
    pub unreadable: Option<String>,
}

impl From<DynamicObject> for Execution {
    fn from(raw: DynamicObject) -> Self {
        let mut shown = raw.clone();
        defuse(&mut shown.data);
        let (typed, unreadable) = match shown.try_parse::<WorkflowExecution>() {
            Ok(typed) => (typed, None),
            // One odd object must not hide the others.
            Err(error) => {
                let metadata = raw.metadata.clone();
                (WorkflowExecution { metadata, ..WorkflowExecution::default() }, Some(error.to_string()))
            }
        };
        Self { raw, typed, unreadable }
    }
}

/// Makes every text in a value fit for a terminal.
fn defuse(value: &mut Value) {
    match value {
        Value::String(text) => *text = output::harmless(text, |c| c == '\n'),
        Value::Array(items) => items.iter_mut().for_each(defuse),
        Value::Object(fields) => {
            let defused = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                defuse(&mut value);
                (output::harmless(&name, |_| false), value)
            });
            fields.extend(defused);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Execution {
    /// Name of the object.
    pub fn name(&self) -> String {
        self.typed.name_any()
    }

    /// Namespace of the object.
    pub fn namespace(&self) -> String {
        self.typed.namespace().unwrap_or_default()
    }

    /// As stored, without the bookkeeping of who wrote which field.
    pub fn stored(&self) -> DynamicObject {
        let mut object = self.raw.clone();
        object.metadata.managed_fields = None;
        object
    }

    /// Where it stands. An object that no controller has seen yet is pending.
    pub fn phase(&self) -> &str {
        if self.unreadable.is_some() {
            return "Unreadable";
        }
        self.status().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
    }

    /// Whether it has ended.
    pub fn is_terminal(&self) -> bool {
        Phase::parse(self.phase()).is_some_and(Phase::is_terminal)
    }

    /// Whether it failed while it ran: then its target is blocked until somebody clears it.
    pub fn failed_while_running(&self) -> bool {
        let details = self.status().and_then(|status| status.failure_details.as_ref());
        self.phase() == "Failed" && details.is_some_and(|details| details.was_execution_failure)
    }

    /// What the controller wrote.
    pub fn status(&self) -> Option<&WorkflowExecutionStatus> {
        self.typed.status.as_ref()
    }

    /// Condition of a type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Engine that runs it, as resolved or as asked for.
    pub fn engine(&self) -> Option<&str> {
        let resolved = self.status().and_then(|status| status.execution_engine.as_deref());
        resolved.or(self.typed.spec.workflow_ref.execution_engine.as_deref())
    }

    /// What it waits for; none when it does not wait.
    pub fn waiting(&self) -> Option<&Condition> {
        self.condition(kind::BLOCKED).filter(|condition| condition.status == "True")
    }

    /// How long it ran, or has been running.
    pub fn duration(&self, now: Timestamp) -> Option<String> {
        let status = self.status()?;
        match (&status.duration, &status.start_time, &status.completion_time) {
            (Some(duration), ..) => Some(duration.clone()),
            (None, Some(start), None) => Some(output::since(start.0, now)),
            _ => None,
        }
    }

    /// Time since it was created.
    pub fn age(&self, now: Timestamp) -> Option<String> {
        self.created().map(|created| output::since(created, now))
    }

    /// When it was created.
    pub fn created(&self) -> Option<Timestamp> {
        self.typed.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// The trace it belongs to.
    pub fn trace_id(&self) -> Option<String> {
        let traceparent = self.typed.annotations().get(TRACEPARENT_ANNOTATION)?.clone();
        let carrier = Carrier { traceparent, tracestate: String::new() };
        Some(carrier.trace_id().to_owned()).filter(|id| !id.is_empty())
    }

    /// The failure in plain language.
    pub fn failure(&self) -> String {
        let details = self.status().and_then(|status| status.failure_details.as_ref());
        match details {
            Some(details) if !details.natural_language_summary.is_empty() => {
                details.natural_language_summary.clone()
            }
            Some(details) => format!("{}: {}", details.reason, details.message),
            None => "no details were recorded".to_owned(),
        }
    }

    /// One line that says what is going on.
    pub fn detail(&self) -> String {
        let waiting = self.waiting().map(|gate| format!("waiting: {} ({})", gate.message, gate.reason));
        match self.phase() {
            "Running" => [Some(self.run()), waiting].into_iter().flatten().collect::<Vec<_>>().join("; "),
            "Completed" => {
                let duration = self.status().and_then(|status| status.duration.as_ref());
                duration.map_or_else(|| "done".to_owned(), |duration| format!("in {duration}"))
            }
            "Failed" => self.failure(),
            "Unreadable" => self.unreadable.clone().unwrap_or_default(),
            _ => waiting.unwrap_or_else(|| "not started yet".to_owned()),
        }
    }

    /// The run, what it acts on, and how far it is.
    fn run(&self) -> String {
        let status = self.status();
        let run = status.and_then(|status| status.execution_ref.as_ref());
        let run = run.map_or_else(String::new, |run| format!("{} ", run.name));
        let tasks = status.and_then(|status| status.execution_status.as_ref());
        let tasks = tasks.and_then(|tasks| Some((tasks.completed_tasks?, tasks.total_tasks?)));
        let tasks = tasks.map_or_else(String::new, |(done, all)| format!(", {done} of {all} tasks done"));
        format!("{run}on {}{tasks}", self.typed.spec.target_resource)
    }
}

/// The kind, for the untyped client.
pub fn resource() -> ApiResource {
    ApiResource::erase::<WorkflowExecution>(&())
}

/// The executions of the namespace.
pub fn api(cluster: &Cluster) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource())
}

/// Reads one execution.
pub async fn get(cluster: &Cluster, name: &str) -> Result<Execution> {
    let object = api(cluster).get(name).await.map_err(|error| match cluster.explain(error) {
        Error::NotFound(_) => absent(cluster, name),
        error => error,
    })?;
    Ok(object.into())
}

/// Reads all executions, oldest first.
pub async fn list(cluster: &Cluster, everywhere: bool) -> Result<Vec<Execution>> {
    let api = if everywhere { Api::all_with(cluster.client.clone(), &resource()) } else { api(cluster) };
    let list = api.list(&ListParams::default()).await.map_err(|error| cluster.explain(error))?;
    let mut executions: Vec<Execution> = list.items.into_iter().map(Execution::from).collect();
    executions.sort_by_key(|execution| (execution.created(), execution.name()));
    Ok(executions)
}

/// There is no such execution.
pub fn absent(cluster: &Cluster, name: &str) -> Error {
    Error::NotFound(format!(
        "there is no execution '{name}' in namespace '{}'; `evenkeel get` lists them",
        cluster.namespace
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn execution(status: Value) -> Execution {
        let object = json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution",
            "metadata": {
                "name": "restart", "namespace": "kubernaut-system",
                "creationTimestamp": "2026-01-02T03:00:00Z",
                "annotations": {
                    "opentelemetry.io/traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                },
            },
            "spec": {
                "remediationRequestRef": {"name": "rr-1"},
                "workflowRef": {"workflowId": "restart-pod", "version": "1.0.0", "executionBundle": "local/x:1"},
                "targetResource": "default/Deployment/checkout",
            },
            "status": status,
        });
        serde_json::from_value::<DynamicObject>(object).unwrap().into()
    }

    /// The status of one that failed, while it ran or before.
    pub(crate) fn failed(while_running: bool) -> Value {
        json!({
            "phase": "Failed", "completionTime": "2026-01-02T03:02:30Z",
            "failureDetails": {
                "failedTaskIndex": 0, "failedTaskName": "", "reason": "TaskFailed", "message": "m",
                "failedAt": "2026-01-02T03:02:30Z", "naturalLanguageSummary": "it broke",
                "wasExecutionFailure": while_running,
            },
        })
    }

    #[test]
    fn an_execution_that_nobody_has_seen_is_pending() {
        let new = execution(Value::Null);
        assert_eq!((new.phase(), new.is_terminal()), ("Pending", false));
        assert_eq!(new.detail(), "not started yet");
        assert_eq!(new.trace_id().as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    }

    #[test]
    fn a_running_execution_names_its_run_and_counts_its_time() {
        let running = execution(json!({
            "phase": "Running", "startTime": "2026-01-02T03:00:05Z", "executionRef": {"name": "wfe-1"},
        }));
        assert_eq!(running.detail(), "wfe-1 on default/Deployment/checkout");
        assert_eq!(running.duration("2026-01-02T03:00:47Z".parse().unwrap()).as_deref(), Some("42s"));
    }

    #[test]
    fn an_object_that_is_not_understood_is_shown_and_not_hidden() {
        let odd = execution(json!({"phase": 7}));
        assert_eq!((odd.phase(), odd.name().as_str()), ("Unreadable", "restart"));
        assert!(!odd.detail().is_empty());
    }
}
