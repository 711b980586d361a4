//! The real binary, killed and starved: what was acknowledged is there, and the log verifies.

use std::{collections::HashMap, path::Path, process::Command, sync::Arc};

use crate::support::{Client, Process, event, id, records, refusal};
use evenkeel_audit::{
    log::{Log, Options},
    metrics::Metrics,
};
use evenkeel_chain::{
    bundle::{Content, Facts, Verifier},
    note::VerifierKey,
};
use evenkeel_proto::audit::v1::{
    ExportEventsRequest, GetCheckpointRequest, GetEventRequest, LogEntry, WriteEventsRequest,
    WriteEventsResponse,
};
use tokio::{sync::watch, task::JoinSet};

const BATCH: u64 = 20;

async fn write(client: &mut Client, first: u64) -> Result<Vec<LogEntry>, tonic::Status> {
    let events = (first..first + BATCH).map(event).collect();
    let answer: WriteEventsResponse = client.write_events(WriteEventsRequest { events }).await?.into_inner();
    Ok(answer.entries)
}

/// Writes until the service is gone, and returns what was acknowledged.
async fn write_until_it_dies(client: Client, first: u64, count: Arc<watch::Sender<usize>>) -> Vec<LogEntry> {
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (mut client, count) = (client.clone(), count.clone());
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for batch in 0.. {
                match write(&mut client, first + writer * 100_000 + batch * BATCH).await {
                    Ok(entries) => {
                        count.send_modify(|count| *count += entries.len());
                        acknowledged.extend(entries);
                    }
                    Err(_) => break,
                }
            }
            acknowledged
        });
    }
    writers.join_all().await.into_iter().flatten().collect()
}

/// Exports the whole log and verifies it as an auditor would.
async fn verify(client: &mut Client, key: &str) -> (Facts, HashMap<i64, LogEntry>) {
    let newest = client.get_checkpoint(GetCheckpointRequest {}).await.unwrap().into_inner();
    assert_eq!(newest.verifier_key, key);
    let mut verifier = Verifier::new(&newest.checkpoint, &VerifierKey::parse(key).unwrap()).unwrap();
    let mut stream = client.export_events(ExportEventsRequest::default()).await.unwrap().into_inner();
    let mut all = HashMap::new();
    while let Some(chunk) = stream.message().await.unwrap() {
        for entry in chunk.entries {
            verifier.entry(entry.index.cast_unsigned(), Content::Body(&entry.body), None).unwrap();
            all.insert(entry.index, entry);
        }
    }
    (verifier.finish().unwrap(), all)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill_during_writes() {
    let data = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3_u64 {
        let mut process = Process::start(data.path(), "");
        let (count, mut counted) = watch::channel(0);
        let client = process.client.clone();
        let writes = tokio::spawn(write_until_it_dies(client, round * 1_000_000, Arc::new(count)));
        // In the middle of it: others are under way when one more is acknowledged.
        let enough = 100 * usize::try_from(round + 1).unwrap();
        counted.wait_for(|count| *count > enough).await.unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        acknowledged.extend(writes.await.unwrap());
    }
    assert!(acknowledged.len() > 600, "only {} were acknowledged", acknowledged.len());

    let mut process = Process::start(data.path(), "");
    let key = process.verifier_key.clone();
    let (facts, all) = verify(&mut process.client, &key).await;
    assert!(facts.complete);
    for entry in &acknowledged {
        let found = &all[&entry.index];
        assert_eq!((&found.event_id, &found.leaf_hash), (&entry.event_id, &entry.leaf_hash));
        assert_eq!(found.recorded_at, entry.recorded_at);
    }
}

#[tokio::test]
async fn an_event_is_there_after_a_crash_if_and_only_if_it_was_committed() {
    for (failpoint, committed) in [("audit.commit.before@2=kill", false), ("audit.commit.after@2=kill", true)]
    {
        let data = tempfile::tempdir().unwrap();
        let mut process = Process::start(data.path(), failpoint);
        write(&mut process.client, 0).await.unwrap();
        assert!(write(&mut process.client, 100).await.is_err(), "{failpoint}");
        process.child.wait().unwrap();

        let mut process = Process::start(data.path(), "");
        let found = process.client.get_event(GetEventRequest { event_id: id(100).to_string() }).await;
        assert_eq!(found.is_ok(), committed, "{failpoint}");
        let again = write(&mut process.client, 100).await.unwrap();
        assert_eq!(again[0].index.cast_unsigned(), BATCH, "{failpoint}");
        let key = process.verifier_key.clone();
        assert_eq!(verify(&mut process.client, &key).await.0.entries, 2 * BATCH, "{failpoint}");
    }
}

async fn size_after(data: &Path, more: std::ops::Range<u64>) -> u64 {
    let log = Log::open(&Options::new(data), Metrics::default()).unwrap();
    log.appender().append(records(more)).await.unwrap();
    let size = log.readers().read(|reader| Ok(reader.size()?)).await.unwrap();
    log.close();
    size
}

#[tokio::test]
async fn a_disk_that_takes_no_more_is_reported_and_nothing_acknowledged_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start_limited(data.path(), 600);
    let mut acknowledged = 0;
    let refused = loop {
        match write(&mut process.client, acknowledged).await {
            Ok(_) => acknowledged += BATCH,
            Err(status) => break refusal::<()>(Err(status)),
        }
        assert!(acknowledged < 100_000, "the limit was never reached");
    };
    assert_eq!((refused.code, refused.reason.as_str()), (tonic::Code::Unavailable, "STORE_UNAVAILABLE"));
    // Still there for readers, and for writers that ask again.
    let again =
        refusal(process.client.write_events(WriteEventsRequest { events: vec![event(999_999)] }).await);
    assert_eq!(again.reason, "STORE_UNAVAILABLE");
    let key = process.verifier_key.clone();
    assert_eq!(verify(&mut process.client, &key).await.0.entries, acknowledged);
    drop(process);
    assert_eq!(size_after(data.path(), 0..acknowledged).await, acknowledged);
}

#[test]
fn a_second_process_on_the_same_log_is_told_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let first = tokio::runtime::Runtime::new().unwrap().block_on(async { Process::start(data.path(), "") });
    let second = Command::new("timeout")
        // A second writer that starts after all would serve for ever.
        .args(["20", env!("CARGO_BIN_EXE_evenkeel-audit"), "--listen", "127.0.0.1:0"])
        .args(["--admin-listen", "127.0.0.1:0", "--plaintext", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(text.contains("is in use by another process"), "{text}");
    drop(first);
}
