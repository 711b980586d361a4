//! Verification, with nothing but the records, a checkpoint and a public key.

use evenkeel_chain::{
    Hash,
    bundle::{BundleError, Content, Verifier},
    hash,
    note::VerifierKey,
};
use serde::Deserialize;

use super::{
    bundle::{Header, Query, Record},
    report::{Report, Row},
};
use crate::error::{Error, Result};

/// Takes records one by one, in log order, and says what is wrong with each.
pub(super) struct Checker {
    verifier: Verifier,
    key: String,
    query: Query,
    rows: Vec<Row>,
    taken: u64,
}

/// The fields of a stored event that are shown or compared.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Body {
    #[serde(default)]
    pub(super) event_id: String,
    #[serde(default)]
    pub(super) event_timestamp: String,
    #[serde(default)]
    pub(super) event_type: String,
    #[serde(default)]
    pub(super) event_outcome: String,
    #[serde(default)]
    pub(super) resource_type: String,
    #[serde(default)]
    pub(super) resource_id: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) correlation_id: String,
}

impl Body {
    /// The object acted on.
    pub(super) fn resource(&self) -> String {
        let parts = [&self.resource_type, &self.namespace, &self.resource_id];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("/")
    }
}

impl Checker {
    /// Verifies the checkpoint's signature.
    pub(super) fn new(header: &Header, key: &VerifierKey) -> Result<Self> {
        let verifier = Verifier::new(&header.checkpoint, key).map_err(refuse)?;
        Ok(Self { verifier, key: key.label(), query: header.query.clone(), rows: Vec::new(), taken: 0 })
    }

    /// Number of entries under the checkpoint.
    pub(super) fn size(&self) -> u64 {
        self.verifier.checkpoint().size
    }

    /// Verifies that the log only grew since an older checkpoint.
    pub(super) fn extends(&mut self, old: &str, proof: &[Hash]) -> Result<()> {
        self.verifier.extends(old, proof).map_err(refuse)
    }

    /// Verifies one record. Wrong ones are kept for the report and do not stop it.
    pub(super) fn take(&mut self, record: &Record) {
        self.taken += 1;
        let content = match &record.body {
            Some(body) => Content::Body(body.as_bytes()),
            None => Content::Removed(record.leaf_hash),
        };
        let proved = self.verifier.entry(record.index, content, record.proof.as_deref());
        let body = record.body.as_deref().map(serde_json::from_str::<Body>);
        let problem = match (&body, proved) {
            (Some(_), _) if altered(record) => {
                Some("the body is not the one that the log took in".to_owned())
            }
            (_, Err(error)) => Some(chain(&error)),
            (Some(Err(error)), Ok(())) => Some(format!("the body is no event: {error}")),
            (Some(Ok(body)), Ok(())) => self.mismatch(record, body),
            (None, Ok(())) => Some("its body is not there, so nobody can tell what it said".to_owned()),
        };
        // A whole log is not printed, and may not fit the memory.
        if !self.query.all || problem.is_some() {
            let body = body.and_then(std::result::Result::ok).unwrap_or_default();
            self.rows.push(Row::new(record, &body, problem));
        }
    }

    /// An event that is in the log, but is not the one that was asked for.
    fn mismatch(&self, record: &Record, body: &Body) -> Option<String> {
        let differs = |wanted: &Option<String>, found: &str| wanted.as_deref().is_some_and(|it| it != found);
        if body.event_id != record.event_id {
            return Some(format!("the entry is the event '{}' and not '{}'", body.event_id, record.event_id));
        }
        let Query { execution, namespace, correlation_id, all: _ } = &self.query;
        let other = differs(execution, &body.resource_id)
            || differs(namespace, &body.namespace)
            || differs(correlation_id, &body.correlation_id);
        other.then(|| format!("the event is about {}, which was not asked for", body.resource()))
    }

    /// Ends the verification.
    pub(super) fn finish(self) -> Report {
        let Self { verifier, key, query, mut rows, taken } = self;
        let checkpoint = verifier.checkpoint().clone();
        let mut problems = Vec::new();
        let mut removed = 0;
        let complete = match verifier.finish() {
            Ok(facts) => {
                removed = facts.removed;
                facts.complete
            }
            Err(BundleError::Unproved { index, .. }) if !query.all => {
                unproved(&mut rows, index);
                false
            }
            Err(error) => {
                problems.push(chain(&error));
                false
            }
        };
        let wrong = rows.iter().any(|row| row.problem.is_some());
        if query.all && !complete && problems.is_empty() && !wrong {
            problems.push(format!("{taken} of the log's {} entries came", checkpoint.size));
        }
        if !query.all && taken == 0 {
            problems.push("there is no event".to_owned());
        }
        Report { checkpoint, key, rows, taken, removed, complete, problems }
    }
}

fn altered(record: &Record) -> bool {
    record.body.as_ref().is_some_and(|body| hash::leaf(body.as_bytes()) != record.leaf_hash)
}

fn unproved(rows: &mut [Row], index: u64) {
    if let Some(row) = rows.iter_mut().find(|row| row.index == index) {
        row.problem.get_or_insert_with(|| "it comes without an inclusion proof".to_owned());
    }
}

fn refuse(error: BundleError) -> Error {
    Error::Verification(chain(&error))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent layers repeat what is said already.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
