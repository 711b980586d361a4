//! What may be recorded, and the bytes that are stored for it.

use crate::support::event;
use evenkeel_audit::event::{InvalidEvent, record};
use evenkeel_chain::hash;
use evenkeel_proto::audit::v1::{Event, EventOutcome};
use prost_types::Timestamp;

#[test]
fn an_event_becomes_exactly_these_bytes() {
    let mut stated = event(7);
    stated.event_id = stated.event_id.to_uppercase();
    stated.event_data_json = " {\"z\" : [1, 2.50],\n \"event_type\": \"workflowexecution.workflow.completed\" ,\"a\":\"\\u00e9\"} ".to_owned();
    let stored = record(stated).unwrap();
    let expected = concat!(
        r#"{"actor_id":"workflowexecution-controller","actor_type":"service","correlation_id":"rr-1","#,
        r#""event_action":"completed","event_category":"workflowexecution","#,
        r#""event_data":{"a":"é","event_type":"workflowexecution.workflow.completed","z":[1,2.5]},"#,
        r#""event_id":"00000000-0000-0000-0000-00000e5e0007","event_outcome":"success","#,
        r#""event_timestamp":"2025-06-15T15:06:47.005000000Z","event_type":"workflowexecution.workflow.completed","#,
        r#""namespace":"team-1","resource_id":"wfe-2","resource_type":"WorkflowExecution","#,
        r#""span_id":"b7ad6b7169203331","trace_id":"0af7651916cd43dd8448eb211c80319c","version":"1.0"}"#,
    );
    assert_eq!(String::from_utf8(stored.body.clone()).unwrap(), expected);
    assert_eq!(stored.leaf, hash::leaf(expected.as_bytes()));
}

#[test]
fn the_keys_of_a_body_are_sorted() {
    let body: serde_json::Value = serde_json::from_slice(&record(event(1)).unwrap().body).unwrap();
    let sorted = serde_json::to_vec(&body).unwrap();
    assert_eq!(
        String::from_utf8(sorted).unwrap(),
        String::from_utf8(record(event(1)).unwrap().body).unwrap()
    );
}

#[test]
fn what_is_left_out_is_the_service_of_the_category_and_the_incident() {
    let stored = record(Event {
        actor_type: String::new(),
        actor_id: String::new(),
        resource_type: String::new(),
        resource_id: String::new(),
        namespace: String::new(),
        trace_id: String::new(),
        span_id: String::new(),
        ..event(1)
    })
    .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&stored.body).unwrap();
    assert_eq!(body["actor_type"], "service");
    assert_eq!(body["actor_id"], "workflowexecution-service");
    assert_eq!(body["resource_type"], "workflowexecution");
    assert_eq!(body["resource_id"], "rr-1");
    assert_eq!(stored.resource_id, "rr-1");
    for absent in ["namespace", "trace_id", "span_id"] {
        assert!(body.get(absent).is_none(), "{absent}");
    }
}

/// One way to make an event wrong.
type Change = fn(&mut Event);

#[test]
fn what_is_not_valid_is_refused_by_the_name_of_its_field() {
    let cases: &[(&str, Change)] = &[
        ("event_id", |e| e.event_id = String::new()),
        ("event_id", |e| e.event_id = "not-a-uuid".into()),
        ("event_id", |e| e.event_id = e.event_id.replace('-', "")),
        ("event_id", |e| e.event_id = format!("{{{}}}", e.event_id)),
        ("version", |e| e.version = String::new()),
        ("version", |e| e.version = "2.0".into()),
        ("event_type", |e| e.event_type = String::new()),
        ("event_type", |e| e.event_type = "x".repeat(101)),
        ("event_category", |e| e.event_category = String::new()),
        ("event_category", |e| e.event_category = "x".repeat(51)),
        ("event_action", |e| e.event_action = String::new()),
        ("event_action", |e| e.event_action = "x".repeat(51)),
        ("event_outcome", |e| e.event_outcome = EventOutcome::Unspecified as i32),
        ("event_outcome", |e| e.event_outcome = 99),
        ("event_timestamp", |e| e.event_timestamp = None),
        ("event_timestamp", |e| e.event_timestamp = Some(Timestamp { seconds: 0, nanos: -1 })),
        ("event_timestamp", |e| e.event_timestamp = Some(Timestamp { seconds: 0, nanos: 1_000_000_000 })),
        ("event_timestamp", |e| e.event_timestamp = Some(Timestamp { seconds: i64::MAX, nanos: 0 })),
        ("event_timestamp", |e| e.event_timestamp = Some(Timestamp { seconds: -62_135_596_801, nanos: 0 })),
        ("event_timestamp", |e| e.event_timestamp = Some(Timestamp { seconds: 253_402_300_800, nanos: 0 })),
        ("actor_type", |e| e.actor_type = "x".repeat(51)),
        ("actor_id", |e| e.actor_id = "x".repeat(256)),
        ("resource_type", |e| e.resource_type = "x".repeat(51)),
        ("resource_id", |e| e.resource_id = "x".repeat(256)),
        ("correlation_id", |e| e.correlation_id = String::new()),
        ("correlation_id", |e| e.correlation_id = "x".repeat(256)),
        ("namespace", |e| e.namespace = "x".repeat(254)),
        ("trace_id", |e| e.trace_id = "0af7".into()),
        ("trace_id", |e| e.trace_id = "x".repeat(32)),
        ("span_id", |e| e.span_id = "b7ad6b716920333".into()),
        ("span_id", |e| e.span_id = "ü234567890abcde".into()),
        ("event_data_json", |e| e.event_data_json = String::new()),
        ("event_data_json", |e| e.event_data_json = "[]".into()),
        ("event_data_json", |e| e.event_data_json = "{}".into()),
        ("event_data_json", |e| e.event_data_json = "{".into()),
        ("event_data_json", |e| e.event_data_json += " {}"),
        ("event_data_json", |e| e.event_data_json = r#"{"event_type":"other"}"#.into()),
        ("event_data_json", |e| e.event_data_json = r#"{"event_type":["x"]}"#.into()),
        ("event_data_json", |e| e.event_data_json = e.event_data_json.replacen('{', r#"{"number":0,"#, 1)),
        ("event_data_json", |e| e.event_data_json = with_field(&"[".repeat(100), &"]".repeat(100))),
        ("event_data_json", |e| e.event_data_json = with_field("\"", &("x".repeat(256 * 1024) + "\""))),
    ];
    for (n, (field, change)) in cases.iter().enumerate() {
        let mut wrong = event(1);
        change(&mut wrong);
        match record(wrong) {
            Err(InvalidEvent { field: named, .. }) => assert_eq!(named, *field, "case {n}"),
            Ok(stored) => panic!("case {n} ({field}) was taken: {}", String::from_utf8_lossy(&stored.body)),
        }
    }
}

fn with_field(before: &str, after: &str) -> String {
    format!(r#"{{"event_type":"workflowexecution.workflow.completed","x":{before}{after}}}"#)
}

#[test]
fn a_payload_that_is_no_object_is_told_so() {
    let mut wrong = event(1);
    wrong.event_data_json = "[]".to_owned();
    assert_eq!(record(wrong).unwrap_err().problem, "must be a JSON object");
}

#[test]
fn the_limits_count_characters_and_are_allowed_themselves() {
    let cases: &[Change] = &[
        |e| e.event_category = "é".repeat(50),
        |e| e.event_action = "é".repeat(50),
        |e| e.correlation_id = "é".repeat(255),
        |e| e.event_timestamp = Some(Timestamp { seconds: -62_135_596_800, nanos: 0 }),
        |e| e.event_timestamp = Some(Timestamp { seconds: 253_402_207_199, nanos: 999_999_999 }),
        |e| e.event_data_json = with_field(&"[".repeat(60), &"]".repeat(60)),
        |e| e.event_data_json = with_field("\"", &("x".repeat(256 * 1024 - 80) + "\"")),
    ];
    for (n, change) in cases.iter().enumerate() {
        let mut right = event(1);
        change(&mut right);
        record(right).unwrap_or_else(|error| panic!("case {n}: {error}"));
    }
}

#[test]
fn a_refusal_shows_nothing_of_the_payload() {
    let mut wrong = event(1);
    wrong.event_data_json = r#"{"password":"hunter2","password":"hunter2"}"#.to_owned();
    let text = format!("{:?}", record(wrong).unwrap_err());
    assert!(!text.contains("hunter2") && !text.contains("password"), "{text}");
}
