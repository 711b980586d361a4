//! Writes to the object: its status, and the metadata that is ours. Every write carries the
//! version that it was decided on; if the object moved meanwhile, the caller plans again.

use evenkeel_api::WorkflowExecution;
use evenkeel_core::record::Status;
use evenkeel_kit::{
    failpoint,
    trace::{Carrier, TRACEPARENT_ANNOTATION, TRACESTATE_ANNOTATION},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Map, Value, json};

use crate::{
    error::{Change, Error, Result, sort},
    metrics::Metrics,
    record::{FINALIZER, carrier, to_status},
};

/// The objects of one namespace.
#[derive(Clone)]
pub struct Objects {
    api: Api<WorkflowExecution>,
    metrics: Metrics,
}

impl Objects {
    /// The objects of `namespace`.
    pub fn new(client: Client, namespace: &str, metrics: Metrics) -> Self {
        Self { api: Api::namespaced(client, namespace), metrics }
    }

    /// Reads an object from the API server itself.
    pub(crate) async fn read(&self, name: &str) -> Result<Change<WorkflowExecution>> {
        sort("read the execution", self.api.get(name).await)
    }

    /// Stores what changed between two statuses.
    pub(crate) async fn write(
        &self,
        object: &WorkflowExecution,
        (old, new): (&Status, &Status),
    ) -> Result<Change<WorkflowExecution>> {
        let patch =
            json!({ "metadata": { "resourceVersion": version(object)? }, "status": difference(old, new) });
        failpoint::hit("controller.status.before");
        let params = PatchParams::default();
        let written = self.api.patch_status(&object.name_any(), &params, &Patch::Merge(&patch)).await;
        failpoint::hit("controller.status.after");
        self.metrics.status_write();
        sort("write the status", written)
    }

    /// Puts our finalizer on the object, and the trace unless it came with one.
    pub(crate) async fn accept(
        &self,
        object: &WorkflowExecution,
        trace: Option<Carrier>,
    ) -> Result<Change<WorkflowExecution>> {
        let mut metadata = json!({
            "resourceVersion": version(object)?,
            "finalizers": with_finalizer(object.finalizers()),
        });
        if let (None, Some(trace)) = (carrier(object), trace) {
            metadata["annotations"] = json!({ TRACEPARENT_ANNOTATION: trace.traceparent });
            if !trace.tracestate.is_empty() {
                metadata["annotations"][TRACESTATE_ANNOTATION] = json!(trace.tracestate);
            }
        }
        failpoint::hit("controller.finalizer.before");
        let patched = self.metadata(object, &metadata).await;
        failpoint::hit("controller.finalizer.after");
        sort("put the finalizer on the execution", patched)
    }

    /// Takes our finalizer off the object.
    pub(crate) async fn finish(&self, object: &WorkflowExecution) -> Result<Change<WorkflowExecution>> {
        let others: Vec<_> = object.finalizers().iter().filter(|name| *name != FINALIZER).collect();
        let metadata = json!({ "resourceVersion": version(object)?, "finalizers": others });
        failpoint::hit("controller.finalizer_remove.before");
        let patched = self.metadata(object, &metadata).await;
        failpoint::hit("controller.finalizer_remove.after");
        sort("take the finalizer off the execution", patched)
    }

    /// Deletes an object that is as it was read.
    pub(crate) async fn delete(&self, object: &WorkflowExecution) -> Result<Change<()>> {
        let preconditions =
            Preconditions { resource_version: Some(version(object)?), uid: object.metadata.uid.clone() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        failpoint::hit("controller.delete.before");
        let deleted = self.api.delete(&object.name_any(), &params).await;
        failpoint::hit("controller.delete.after");
        sort("delete the execution", deleted.map(drop))
    }

    /// Metadata alone: a full update would send the spec back, which must not change by a byte.
    async fn metadata(
        &self,
        object: &WorkflowExecution,
        metadata: &Value,
    ) -> kube::Result<WorkflowExecution> {
        let patch = json!({ "metadata": metadata });
        self.api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await
    }
}

fn version(object: &WorkflowExecution) -> Result<String> {
    object.resource_version().ok_or(Error::Incomplete("resourceVersion"))
}

fn with_finalizer(present: &[String]) -> Vec<String> {
    let mut all = present.to_vec();
    if !all.iter().any(|name| name == FINALIZER) {
        all.push(FINALIZER.to_owned());
    }
    all
}

/// The fields that differ, as a merge patch: what the rules do not know of is left alone.
fn difference(old: &Status, new: &Status) -> Value {
    let fields = |status: &Status| match serde_json::to_value(to_status(status)) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let mut changed: Map<String, Value> = gone.collect();
    changed.extend(new.into_iter().filter(|(name, value)| old.get(name) != Some(value)));
    // Objects are merged key by key, and a key that a new failure does not have must not survive.
    for name in ["failureDetails", "executionStatus"] {
        if let (Some(Value::Object(before)), Some(Value::Object(after))) =
            (old.get(name), changed.get_mut(name))
        {
            before.keys().for_each(|key| _ = after.entry(key).or_insert(Value::Null));
        }
    }
    Value::Object(changed)
}

#[cfg(test)]
mod tests {
    use evenkeel_core::{
        conditions,
        phase::Phase,
        record::{Outcome, StoredPhase},
    };

    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let old = Status { engine: Some("job".to_owned()), ..Status::default() };
        let new = Status {
            phase: StoredPhase::Known(Phase::Running),
            run_name: Some("wfe-1".to_owned()),
            ..old.clone()
        };
        assert_eq!(
            difference(&old, &new),
            json!({ "phase": "Running", "executionRef": { "name": "wfe-1" } })
        );
        assert_eq!(difference(&new, &new), json!({}));
    }

    #[test]
    fn conditions_are_sent_as_a_whole_or_not_at_all() {
        let mut old = Status::default();
        conditions::set(&mut old.conditions, "example.com/Seen", true, ("Seen", String::new()), 1, 1_000);
        let mut new = old.clone();
        conditions::set(&mut new.conditions, "Ready", true, ("Ready", String::new()), 1, 2_000);
        let patch = difference(&old, &new);
        assert_eq!(patch["conditions"].as_array().unwrap().len(), 2);
        assert_eq!(difference(&old, &old), json!({}));
    }

    #[test]
    fn a_key_that_is_gone_is_taken_away() {
        let outcome = |message: &str| Status {
            outcome: Some(Outcome { succeeded: true, message: message.to_owned(), ..Outcome::default() }),
            ..Status::default()
        };
        let patch = difference(&outcome("text"), &outcome(""));
        assert_eq!(patch["executionStatus"]["message"], Value::Null);
        assert!(patch["executionStatus"].as_object().unwrap().contains_key("message"));
    }

    #[test]
    fn a_field_that_is_gone_is_taken_away() {
        let old = Status { completion: Some(1_000), engine: Some("job".to_owned()), ..Status::default() };
        let new = Status { completion: None, ..old.clone() };
        assert_eq!(difference(&old, &new), json!({ "completionTime": null }));
        let mut told = old.clone();
        conditions::set(&mut told.conditions, "Ready", true, ("Ready", String::new()), 1, 2_000);
        assert_eq!(difference(&told, &old), json!({ "conditions": null }), "the last condition, too");
    }

    #[test]
    fn our_finalizer_is_added_to_those_of_others_and_once() {
        let with = with_finalizer(&["example.com/keep".to_owned()]);
        assert_eq!(with, ["example.com/keep", FINALIZER]);
        assert_eq!(with_finalizer(&with), with);
    }
}
