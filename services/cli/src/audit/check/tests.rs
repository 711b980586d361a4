use evenkeel_chain::{
    Checkpoint,
    note::SignerKey,
    verify::{self, Replay},
};
use serde_json::json;

use super::*;
use crate::audit::bundle::{self, Writer};

const ROOT_SEED: [u8; 32] = [7; 32];

fn signer(seed: [u8; 32]) -> SignerKey {
    SignerKey::from_seed("audit.example", &seed).unwrap()
}

fn body(index: u64) -> String {
    let id = format!("00000000-0000-0000-0000-{index:012}");
    json!({
        "event_id": id, "event_type": "workflowexecution.workflow.completed", "event_outcome": "success",
        "event_timestamp": "2026-01-02T03:00:00Z", "resource_type": "WorkflowExecution", "resource_id": "restart",
        "namespace": "ns", "correlation_id": "rr-1",
    })
    .to_string()
}

fn record(index: u64) -> Record {
    let body = body(index);
    Record {
        index,
        event_id: format!("00000000-0000-0000-0000-{index:012}"),
        recorded_at: String::new(),
        leaf_hash: hash::leaf(body.as_bytes()),
        body: Some(body),
        proof: None,
    }
}

fn root(leaves: &[Hash]) -> Hash {
    let mut replay = Replay::new();
    for leaf in leaves {
        replay.push(*leaf, |_, _, _| ());
    }
    replay.root()
}

/// RFC 6962, `PATH`, straight from its text.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    let (mut proof, other) =
        if index < middle { (path(index, left), right) } else { (path(index - middle, right), left) };
    proof.push(root(other));
    proof
}

/// A log of `size` events; the bundle holds those at `wanted`, with proofs.
fn sample(size: u64, wanted: &[u64]) -> (Header, Vec<Record>) {
    let records: Vec<Record> = (0..size).map(record).collect();
    let leaves: Vec<Hash> = records.iter().map(|record| record.leaf_hash).collect();
    let key = signer(ROOT_SEED);
    let checkpoint = Checkpoint::sign(size, root(&leaves), &key);
    let query =
        Query { execution: Some("restart".to_owned()), namespace: Some("ns".to_owned()), ..Query::default() };
    let chosen = wanted.iter().map(|index| {
        let at = usize::try_from(*index).unwrap();
        Record { proof: Some(path(at, &leaves)), ..records[at].clone() }
    });
    (Header::new(checkpoint, key.verifier().to_string(), query), chosen.collect())
}

fn whole(size: u64) -> (Header, Vec<Record>) {
    let (mut header, mut records) = sample(size, &(0..size).collect::<Vec<_>>());
    header.query = Query { all: true, ..Query::default() };
    for record in &mut records {
        record.proof = None;
    }
    (header, records)
}

fn check(header: &Header, records: &[Record]) -> Report {
    let mut checker = Checker::new(header, signer(ROOT_SEED).verifier()).unwrap();
    for record in records {
        checker.take(record);
    }
    checker.finish()
}

fn failure(header: &Header, records: &[Record]) -> String {
    let error = check(header, records).outcome().unwrap_err();
    assert_eq!(error.exit_code(), 5);
    error.to_string()
}

#[test]
fn what_is_in_the_log_is_verified() {
    for size in [1, 2, 3, 7, 8, 13] {
        let (header, records) = sample(size, &[size - 1]);
        let report = check(&header, &records);
        assert!(report.is_good(), "{size}: {report:?}");
    }
    let (header, records) = sample(13, &[2, 5, 12]);
    assert_eq!(check(&header, &records).rows.len(), 3);
}

#[test]
fn a_bundle_survives_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bundle");
    let (header, records) = sample(5, &[1, 4]);
    let mut writer = Writer::create(&file, &header).unwrap();
    for record in &records {
        writer.write(record).unwrap();
    }
    writer.finish().unwrap();
    let (read_header, read_records) = bundle::read(&file).unwrap();
    let read_records: Vec<Record> = read_records.map(Result::unwrap).collect();
    assert_eq!((read_header, read_records), (header.clone(), records.clone()));
    assert!(check(&header, &records).is_good());
}

#[test]
fn an_erased_body_is_named() {
    let (header, mut records) = sample(7, &[2, 5]);
    records[1].body = None;
    let message = failure(&header, &records);
    assert!(message.contains("entry 5") && message.contains("body is not there"), "{message}");
}

#[test]
fn a_file_that_is_no_bundle_is_an_error_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bundle");
    for text in ["", "{}", "{\"format\":\"other/1\",\"checkpoint\":\"\",\"verifier_key\":\"\",\"query\":{}}"]
    {
        std::fs::write(&file, text).unwrap();
        assert!(matches!(bundle::read(&file), Err(Error::File { .. })), "{text}");
    }
    let (header, _) = sample(1, &[0]);
    std::fs::write(&file, serde_json::to_string(&header).unwrap() + "\n{\"index\": 0").unwrap();
    let error = bundle::read(&file).unwrap().1.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn a_changed_body_is_named() {
    let (header, mut records) = sample(7, &[2, 5]);
    records[1].body = records[1].body.as_ref().map(|body| body.replace("success", "failure"));
    let message = failure(&header, &records);
    assert!(message.contains("entry 5, event 00000000-0000-0000-0000-000000000005"), "{message}");
    // Also when the hash is made to fit the changed body.
    records[1].leaf_hash = hash::leaf(records[1].body.as_ref().unwrap().as_bytes());
    assert!(failure(&header, &records).contains("entry 5"));
}

#[test]
fn the_signature_of_another_key_is_refused() {
    let (header, _) = sample(3, &[0]);
    let error = Checker::new(&header, signer([9; 32]).verifier()).err().unwrap();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("not signed by"), "{error}");
}

#[test]
fn an_event_without_its_proof_is_named() {
    let (header, mut records) = sample(7, &[2, 5]);
    records[1].proof = None;
    let message = failure(&header, &records);
    assert!(message.contains("entry 5") && message.contains("without an inclusion proof"), "{message}");
}

#[test]
fn the_proof_of_another_event_is_refused() {
    let (header, mut records) = sample(7, &[2, 5]);
    records[1].proof = records[0].proof.clone();
    assert!(failure(&header, &records).contains("entry 5"));
}

#[test]
fn an_event_that_was_not_asked_for_is_refused() {
    let (mut header, records) = sample(3, &[1]);
    header.query.execution = Some("other".to_owned());
    assert!(failure(&header, &records).contains("not asked for"));
}

#[test]
fn an_entry_under_another_events_id_is_refused() {
    let (header, mut records) = sample(3, &[1]);
    records[0].event_id = "mine".to_owned();
    assert!(failure(&header, &records).contains("and not 'mine'"));
}

#[test]
fn a_bundle_without_events_proves_nothing() {
    let (header, _) = sample(3, &[1]);
    assert!(failure(&header, &[]).contains("no event"));
}

#[test]
fn a_whole_log_needs_no_proofs_and_keeps_no_rows() {
    for size in [0, 1, 6] {
        let (header, records) = whole(size);
        let report = check(&header, &records);
        assert!(report.is_good() && report.complete && report.rows.is_empty(), "{size}: {report:?}");
    }
}

#[test]
fn a_whole_log_with_an_event_left_out_is_refused() {
    for missing in [0, 3, 5] {
        let (header, mut records) = whole(6);
        records.remove(missing);
        let message = failure(&header, &records);
        assert!(message.contains(&missing.to_string()) || message.contains("5 of"), "{message}");
    }
}

#[test]
fn a_whole_log_with_a_changed_event_is_refused_by_its_root() {
    let (header, mut records) = whole(6);
    let changed = records[3].body.as_ref().map(|body| body.replace("success", "failure"));
    records[3].leaf_hash = hash::leaf(changed.as_ref().unwrap().as_bytes());
    records[3].body = changed;
    assert!(failure(&header, &records).contains("root"));
}

#[test]
fn a_log_that_shrank_is_refused() {
    let (new, _) = sample(3, &[0]);
    let (old, _) = sample(5, &[0]);
    let mut checker = Checker::new(&new, signer(ROOT_SEED).verifier()).unwrap();
    let error = checker.extends(&old.checkpoint, &[]).unwrap_err();
    assert!(error.to_string().contains("cannot be a prefix"), "{error}");
}

#[test]
fn the_test_proofs_are_real_ones() {
    let leaves: Vec<Hash> = (0..11).map(|index| record(index).leaf_hash).collect();
    for index in 0..11 {
        let proof = path(index, &leaves);
        verify::inclusion(leaves[index], index as u64, 11, root(&leaves), &proof).unwrap();
    }
}
