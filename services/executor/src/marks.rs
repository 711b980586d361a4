//! What every run carries, whatever its engine: whose it is, what it acts on, under which token it was
//! made, and what was asked of it.

use std::collections::BTreeMap;

use evenkeel_core::target::label_value;
use evenkeel_proto::execution::v1::Execution;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::attempt::{Attempt, Owner};

/// Annotation that says a run went live, also if somebody suspends it afterwards.
pub(crate) const LIVE: &str = "evenkeel.dev/live";
/// Annotation with the reason of a cancel.
pub(crate) const CANCELLED: &str = "evenkeel.dev/cancelled";
pub(crate) const OWNER_UID: &str = "evenkeel.dev/owner-uid";
pub(crate) const OWNER: &str = "evenkeel.dev/owner";
pub(crate) const TOKEN: &str = "evenkeel.dev/token";
/// Label and annotation; only the annotation has the target as it was given.
pub(crate) const TARGET: &str = "kubernaut.ai/target-resource";
/// Label of every run and everything that belongs to it.
pub(crate) const EXECUTION_LABEL: &str = "kubernaut.ai/workflow-execution";
pub(crate) const ENGINE_LABEL: &str = "kubernaut.ai/execution-engine";
const NAMESPACE_LABEL: &str = "kubernaut.ai/source-namespace";

/// Name, labels and annotations of the run of an attempt.
pub(crate) fn metadata(attempt: &Attempt, engine: &str, namespace: &str, token: i64) -> ObjectMeta {
    let owner = &attempt.owner;
    ObjectMeta {
        name: Some(attempt.target.run_name()),
        namespace: Some(namespace.to_owned()),
        labels: Some(texts(&[
            (EXECUTION_LABEL, &label_value(&owner.name)),
            ("kubernaut.ai/workflow-id", &label_value(&attempt.workflow_id)),
            (TARGET, &label_value(attempt.target.as_str())),
            (NAMESPACE_LABEL, &label_value(&owner.namespace)),
            (ENGINE_LABEL, engine),
        ])),
        annotations: Some(texts(&[
            (TARGET, attempt.target.as_str()),
            (OWNER, &owner.path()),
            (OWNER_UID, &owner.uid),
            (TOKEN, &token.to_string()),
        ])),
        ..ObjectMeta::default()
    }
}

/// Labels or annotations.
pub(crate) fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What an annotation says; none when it is not there.
pub(crate) fn note<'a>(run: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    run.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Whether a run was never live, as far as its marks say. One that is not ours never counts as such:
/// whoever made it sleep had reasons of their own, and nobody may remove it.
pub(crate) fn was_never_live(run: &ObjectMeta) -> bool {
    note(run, OWNER_UID).is_some() && note(run, LIVE).is_none()
}

/// The owner as annotated; a run that somebody else made has none of our annotations, and its labels
/// and uid say as much as can be known.
pub(crate) fn owner(run: &ObjectMeta, engine: &str) -> Owner {
    if let Some(uid) = note(run, OWNER_UID).filter(|uid| !uid.is_empty()) {
        return Owner::from_path(note(run, OWNER).unwrap_or_default(), uid);
    }
    let label = |key: &str| run.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    Owner {
        namespace: label(NAMESPACE_LABEL).unwrap_or_default(),
        name: label(EXECUTION_LABEL).or_else(|| run.name.clone()).unwrap_or_default(),
        uid: format!("{engine}-{}", run.uid.as_deref().unwrap_or_default()),
    }
}

/// The facts that the marks tell.
pub(crate) fn facts(run: &ObjectMeta, engine: &str) -> Execution {
    Execution {
        owner: Some(owner(run, engine).into()),
        target: note(run, TARGET).unwrap_or_default().to_owned(),
        engine: engine.to_owned(),
        run_name: run.name.clone().unwrap_or_default(),
        run_namespace: run.namespace.clone().unwrap_or_default(),
        run_uid: run.uid.clone().unwrap_or_default(),
        token: note(run, TOKEN).and_then(|token| token.parse().ok()).unwrap_or(0),
        ..Execution::default()
    }
}

/// A time as the protocol has it.
pub(crate) fn wire_time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}
