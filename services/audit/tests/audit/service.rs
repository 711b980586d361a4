//! The service over gRPC, as clients and auditors see it.

use crate::support::{Client, Service, event, id, record, refusal};
use evenkeel_chain::{Checkpoint, Hash, bundle, hash, note::VerifierKey, verify};
use evenkeel_proto::audit::v1::{
    ExportEventsRequest, GetCheckpointRequest, GetConsistencyProofRequest, GetEventRequest,
    GetInclusionProofRequest, ListEventsRequest, LogEntry, WriteEventsRequest,
    get_inclusion_proof_request::Entry,
};
use tonic::Code;

async fn write(client: &mut Client, numbers: std::ops::Range<u64>) -> Vec<LogEntry> {
    let events = numbers.map(event).collect();
    client.write_events(WriteEventsRequest { events }).await.unwrap().into_inner().entries
}

async fn checkpoint(client: &mut Client) -> String {
    client.get_checkpoint(GetCheckpointRequest {}).await.unwrap().into_inner().checkpoint
}

fn hashes(hashes: &[Vec<u8>]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash::from_slice(hash).unwrap()).collect()
}

fn numbers(entries: &[LogEntry]) -> Vec<i64> {
    entries.iter().map(|entry| entry.index).collect()
}

#[tokio::test]
async fn a_written_event_is_read_back_with_the_bytes_that_were_hashed() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    let written = write(&mut client, 0..3).await;
    assert_eq!(numbers(&written), [0, 1, 2]);
    assert!(written.iter().all(|entry| entry.body.is_empty() && entry.recorded_at.is_some()));

    let request = GetEventRequest { event_id: id(1).to_string().to_uppercase() };
    let found = client.get_event(request).await.unwrap().into_inner().entry.unwrap();
    assert_eq!(found.body, record(1).body);
    assert_eq!(found.leaf_hash, hash::leaf(&found.body).as_bytes());
    assert_eq!(LogEntry { body: Vec::new(), ..found }, written[1]);
    service.stop().await;
}

#[tokio::test]
async fn repeats_and_conflicts_are_told_apart() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    let first = write(&mut client, 0..2).await;
    assert_eq!(write(&mut client, 0..2).await, first);
    let mut changed = event(1);
    changed.event_action = "changed".to_owned();
    let request = WriteEventsRequest { events: vec![event(7), changed] };
    let refused = refusal(client.write_events(request).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "EVENT_CONFLICT"));
    assert_eq!(refused.metadata["event_id"], id(1).to_string());
    assert_eq!(refused.metadata["position"], "1");
    let absent = refusal(client.get_event(GetEventRequest { event_id: id(7).to_string() }).await);
    assert_eq!((absent.code, absent.reason.as_str()), (Code::NotFound, "ENTRY_NOT_FOUND"));
    service.stop().await;
}

#[tokio::test]
async fn an_invalid_event_is_named_by_position_and_field_and_nothing_is_written() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    let mut wrong = event(2);
    wrong.event_category = String::new();
    let refused =
        refusal(client.write_events(WriteEventsRequest { events: vec![event(0), event(1), wrong] }).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_EVENT"));
    assert_eq!(refused.metadata["position"], "2");
    assert_eq!(refused.metadata["field"], "events[2].event_category");
    assert!(refused.text.contains("event_category"), "{}", refused.text);
    for count in [0, 1001] {
        let events = (0..count).map(event).collect();
        let refused = refusal(client.write_events(WriteEventsRequest { events }).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(refused.metadata["field"], "events");
    }
    assert!(checkpoint(&mut client).await.starts_with("evenkeel.dev/test\n0\n"));
    service.stop().await;
}

#[tokio::test]
async fn lists_are_filtered_and_paged_in_log_order() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    write(&mut client, 0..30).await;
    let list = ListEventsRequest::default;
    let cases = [
        (list(), (0..30).collect::<Vec<_>>()),
        (
            ListEventsRequest { correlation_id: "rr-1".into(), ..list() },
            (0..30).filter(|n| n % 3 == 1).collect(),
        ),
        (
            ListEventsRequest { resource_id: "wfe-2".into(), namespace: "team-1".into(), ..list() },
            (0..30).filter(|n| n % 5 == 2 && n % 2 == 1).collect(),
        ),
        (
            ListEventsRequest {
                event_type: "workflowexecution.workflow.completed".into(),
                correlation_id: "rr-0".into(),
                ..list()
            },
            (0..30).filter(|n| n % 3 == 0).collect(),
        ),
        (ListEventsRequest { event_type: "other".into(), ..list() }, vec![]),
    ];
    for (request, expected) in cases {
        for page_size in [0, 1, 4, 30, 5000] {
            let mut found = Vec::new();
            let mut request = ListEventsRequest { page_size, ..request.clone() };
            loop {
                let page = client.list_events(request.clone()).await.unwrap().into_inner();
                assert!(page_size == 0 || page.entries.len() <= usize::try_from(page_size).unwrap());
                assert!(page.entries.iter().all(|entry| !entry.body.is_empty()));
                found.extend(numbers(&page.entries));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            assert_eq!(found, expected, "{request:?}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_page_has_a_hundred_entries_unless_asked_and_a_thousand_at_most() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    write(&mut client, 0..1000).await;
    write(&mut client, 1000..1001).await;
    for (page_size, expected) in [(0, 100), (5000, 1000)] {
        let request = ListEventsRequest { page_size, ..ListEventsRequest::default() };
        let page = client.list_events(request).await.unwrap().into_inner();
        assert_eq!((page.entries.len(), page.next_page_token.is_empty()), (expected, false));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_token_of_another_list_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    write(&mut client, 0..9).await;
    let request = ListEventsRequest { page_size: 2, ..ListEventsRequest::default() };
    let token = client.list_events(request.clone()).await.unwrap().into_inner().next_page_token;
    let other = ListEventsRequest { page_token: token, namespace: "team-1".into(), ..request.clone() };
    let junk = ["?", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA", "/////////////////////w"];
    let junk = junk.map(|token| ListEventsRequest { page_token: token.to_owned(), ..request.clone() });
    for request in junk.into_iter().chain([other]) {
        let refused = refusal(client.list_events(request.clone()).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_PAGE_TOKEN"));
    }
    let negative = ListEventsRequest { page_size: -1, ..request };
    assert_eq!(refusal(client.list_events(negative).await).metadata["field"], "page_size");
    service.stop().await;
}

#[tokio::test]
async fn large_events_are_paged_and_exported_in_messages_that_clients_take() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    let events = (0..40).map(|n| {
        let mut large = event(n);
        let filler = "x".repeat(200 * 1024);
        large.event_data_json = large.event_data_json.replacen('{', &format!(r#"{{"filler":"{filler}","#), 1);
        large
    });
    client.write_events(WriteEventsRequest { events: events.collect() }).await.unwrap();
    let page = client.list_events(ListEventsRequest::default()).await.unwrap().into_inner();
    assert!(!page.next_page_token.is_empty() && page.entries.len() > 10);
    let request = ExportEventsRequest { start_index: 3, end_index: 38 };
    let mut stream = client.export_events(request).await.unwrap().into_inner();
    let mut exported = Vec::new();
    while let Some(chunk) = stream.message().await.unwrap() {
        exported.extend(numbers(&chunk.entries));
    }
    assert_eq!(exported, (3..38).collect::<Vec<_>>());
    drop(stream);
    service.stop().await;
}

#[tokio::test]
async fn an_export_beyond_the_log_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    write(&mut client, 0..5).await;
    for (start_index, end_index, field) in [
        (-1, 0, "start_index"),
        (0, -1, "end_index"),
        (0, 6, "end_index"),
        (4, 3, "start_index"),
        (6, 0, "start_index"),
    ] {
        let refused = refusal(client.export_events(ExportEventsRequest { start_index, end_index }).await);
        assert_eq!((refused.code, refused.metadata["field"].as_str()), (Code::InvalidArgument, field));
    }
    let request = ExportEventsRequest { start_index: 5, end_index: 5 };
    assert!(client.export_events(request).await.unwrap().into_inner().message().await.unwrap().is_none());
    service.stop().await;
}

#[tokio::test]
async fn proofs_verify_with_nothing_but_the_public_key() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    let key = VerifierKey::parse(&service.verifier_key).unwrap();
    let sizes = [1, 6, 7, 20, 33];
    let mut older = vec![Checkpoint::open(&checkpoint(&mut client).await, &key).unwrap()];
    for (previous, size) in std::iter::once(0).chain(sizes).zip(sizes) {
        write(&mut client, previous..size).await;
        older.push(Checkpoint::open(&checkpoint(&mut client).await, &key).unwrap());
    }
    assert_eq!(older.iter().map(|checkpoint| checkpoint.size).collect::<Vec<_>>(), [0, 1, 6, 7, 20, 33]);
    for signed in older.iter().skip(1) {
        for index in 0..signed.size {
            let asked = [Entry::Index(index.cast_signed()), Entry::EventId(id(index).to_string())];
            let entry = Some(asked[usize::from(index % 2 == 0)].clone());
            let request = GetInclusionProofRequest { entry, tree_size: signed.size.cast_signed() };
            let proof = client.get_inclusion_proof(request).await.unwrap().into_inner();
            let stated = Checkpoint::open(&proof.checkpoint, &key).unwrap();
            assert_eq!(&stated, signed);
            let leaf = hash::leaf(&record(index).body);
            assert_eq!(proof.leaf_hash, leaf.as_bytes());
            verify::inclusion(leaf, index, signed.size, stated.root, &hashes(&proof.hashes)).unwrap();
        }
    }
    for old in &older {
        for new in older.iter().filter(|new| new.size >= old.size.max(1)) {
            let (old_size, new_size) = (old.size.cast_signed(), new.size.cast_signed());
            let request = GetConsistencyProofRequest { old_size, new_size };
            let proof = client.get_consistency_proof(request).await.unwrap().into_inner();
            assert_eq!(&Checkpoint::open(&proof.checkpoint, &key).unwrap(), new);
            verify::consistency(old.size, old.root, new.size, new.root, &hashes(&proof.hashes)).unwrap();
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_bundle_of_some_events_is_verified_offline() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    write(&mut client, 0..4).await;
    let old = checkpoint(&mut client).await;
    write(&mut client, 4..21).await;
    let request = ListEventsRequest { correlation_id: "rr-2".into(), ..ListEventsRequest::default() };
    let entries = client.list_events(request).await.unwrap().into_inner().entries;
    let key = VerifierKey::parse(&service.verifier_key).unwrap();
    let mut verifier = bundle::Verifier::new(&checkpoint(&mut client).await, &key).unwrap();
    let request = GetConsistencyProofRequest { old_size: 4, new_size: 0 };
    let proof = client.get_consistency_proof(request).await.unwrap().into_inner();
    verifier.extends(&old, &hashes(&proof.hashes)).unwrap();
    for entry in &entries {
        let request = GetInclusionProofRequest { entry: Some(Entry::Index(entry.index)), tree_size: 0 };
        let proof = client.get_inclusion_proof(request).await.unwrap().into_inner();
        let content = bundle::Content::Body(&entry.body);
        verifier.entry(entry.index.cast_unsigned(), content, Some(&hashes(&proof.hashes))).unwrap();
    }
    let facts = verifier.finish().unwrap();
    assert_eq!((facts.entries, facts.complete, facts.extends.unwrap().size), (7, false, 4));
    service.stop().await;
}

#[tokio::test]
async fn proofs_that_do_not_exist_are_refused_with_what_does() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    write(&mut client, 0..5).await;
    write(&mut client, 5..20).await;
    let index = |index| Some(Entry::Index(index));
    let cases = [
        (index(0), 4, Code::FailedPrecondition, "NO_CHECKPOINT_AT_SIZE", ("nearest", "5")),
        (index(0), 18, Code::FailedPrecondition, "NO_CHECKPOINT_AT_SIZE", ("nearest", "20")),
        (index(0), 99, Code::FailedPrecondition, "NO_CHECKPOINT_AT_SIZE", ("nearest", "20")),
        (index(5), 5, Code::FailedPrecondition, "ENTRY_OUTSIDE_TREE", ("index", "5")),
        (index(20), 0, Code::NotFound, "ENTRY_NOT_FOUND", ("entry", "20")),
        (index(-1), 0, Code::InvalidArgument, "INVALID_REQUEST", ("field", "index")),
        (index(0), -1, Code::InvalidArgument, "INVALID_REQUEST", ("field", "tree_size")),
        (
            Some(Entry::EventId("x".into())),
            0,
            Code::InvalidArgument,
            "INVALID_REQUEST",
            ("field", "event_id"),
        ),
        (None, 0, Code::InvalidArgument, "INVALID_REQUEST", ("field", "entry")),
    ];
    for (entry, tree_size, code, reason, (key, value)) in cases {
        let refused =
            refusal(client.get_inclusion_proof(GetInclusionProofRequest { entry, tree_size }).await);
        assert_eq!((refused.code, refused.reason.as_str()), (code, reason));
        assert_eq!(refused.metadata[key], value, "{reason}");
    }
    for (old_size, new_size, reason) in
        [(6, 5, "INVALID_REQUEST"), (-1, 0, "INVALID_REQUEST"), (1, 7, "NO_CHECKPOINT_AT_SIZE")]
    {
        let request = GetConsistencyProofRequest { old_size, new_size };
        assert_eq!(refusal(client.get_consistency_proof(request).await).reason, reason);
    }
    service.stop().await;
}

#[tokio::test]
async fn an_empty_log_has_a_checkpoint_and_no_entries() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    let key = VerifierKey::parse(&service.verifier_key).unwrap();
    let signed = Checkpoint::open(&checkpoint(&mut client).await, &key).unwrap();
    assert_eq!((signed.size, signed.root), (0, hash::empty()));
    assert!(client.list_events(ListEventsRequest::default()).await.unwrap().into_inner().entries.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn metrics_and_readiness_are_on_the_admin_port() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut client = service.client.clone();
    write(&mut client, 0..3).await;
    write(&mut client, 0..4).await;
    assert!(get(service.admin, "/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = get(service.admin, "/metrics").await;
    for line in [
        "audit_events_appended_total 4",
        "audit_log_size 4",
        "audit_writer_queue_depth 0",
        "audit_append_duration_seconds_count 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    service.stop().await;
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: audit\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
