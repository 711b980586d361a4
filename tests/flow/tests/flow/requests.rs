//! Requests that are wrong: each is refused with its own reason, and nothing is made of it.

use bytes::Bytes;
use evenkeel_kit::channel;
use evenkeel_proto::{
    audit::v1::{Event, GetEventRequest, GetInclusionProofRequest, ListEventsRequest, WriteEventsRequest},
    execution::v1::{
        CancelExecutionRequest, Dependencies, ExecutionSpec, ExplainExecutionRequest, GetExecutionRequest,
        GetTargetRequest, Owner, ReleaseExecutionRequest, StartExecutionRequest,
    },
};
use evenkeel_test_kit::{Environment, Options, Service, run};
use tonic::{Code, Status, body::Body};
use tower::ServiceExt as _;

use crate::support::{EXECUTOR, check_error, check_nothing_exists, owner, spec, start};

/// What is wrong with a start, the reason it is refused for, and the field that is named.
type Case = (&'static str, &'static str, fn(&mut ExecutionSpec));

const CASES: &[Case] = &[
    ("INVALID_OWNER", "owner", |spec| spec.owner = None),
    ("INVALID_OWNER", "owner.namespace", |spec| of(spec).namespace = "Not A Label".into()),
    ("INVALID_OWNER", "owner.name", |spec| of(spec).name = String::new()),
    ("INVALID_OWNER", "owner.name", |spec| of(spec).name = "a".repeat(254)),
    ("INVALID_OWNER", "owner.uid", |spec| of(spec).uid = String::new()),
    ("INVALID_OWNER", "owner.uid", |spec| of(spec).uid = "u".repeat(129)),
    ("INVALID_OWNER", "owner.uid", |spec| of(spec).uid = "../../x".into()),
    ("INVALID_TARGET", "target", |spec| spec.target = String::new()),
    ("INVALID_TARGET", "target", |spec| spec.target = "default".into()),
    ("INVALID_TARGET", "target", |spec| spec.target = "a/b/c/d".into()),
    ("INVALID_TARGET", "target", |spec| spec.target = "default//x".into()),
    ("INVALID_TARGET", "target", |spec| spec.target = format!("Node/{}", "x".repeat(1 << 20))),
    ("EMPTY_BUNDLE", "bundle", |spec| spec.bundle = String::new()),
    ("INVALID_BUNDLE", "bundle", |spec| spec.bundle = "no image".into()),
    ("INVALID_DIGEST", "bundle_digest", |spec| spec.bundle_digest = "sha256:12".into()),
    ("INVALID_PARAMETER_NAME", "parameters", |spec| set(spec, "1ST", "x")),
    ("INVALID_PARAMETER_NAME", "parameters", |spec| set(spec, "WITH-DASH", "x")),
    ("INVALID_PARAMETER_NAME", "parameters", |spec| set(spec, "", "x")),
    ("INVALID_PARAMETER_NAME", "parameters", |spec| set(spec, "GRÖSSE", "x")),
    ("INVALID_PARAMETER_VALUE", "parameters", |spec| set(spec, "NUL", "a\0b")),
    ("PARAMETERS_TOO_LARGE", "parameters", |spec| set(spec, "LARGE", &"x".repeat(256 * 1024))),
    ("INVALID_SERVICE_ACCOUNT", "service_account_name", |spec| spec.service_account_name = "No Name".into()),
    ("INVALID_DEPENDENCY", "dependencies.secrets", |spec| {
        spec.dependencies = Some(Dependencies { secrets: vec!["a/b".into()], config_maps: vec![] });
    }),
    ("INVALID_TIMEOUT", "timeout", |spec| {
        spec.timeout = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    }),
];

fn of(spec: &mut ExecutionSpec) -> &mut Owner {
    spec.owner.as_mut().unwrap()
}

fn set(spec: &mut ExecutionSpec, name: &str, value: &str) {
    spec.parameters.insert(name.to_owned(), value.to_owned());
}

#[test]
fn a_wrong_field_is_named_with_its_own_reason_and_nothing_is_made() {
    run(async {
        let environment = EXECUTOR.get().await.unwrap();
        let mut executor = environment.executor().unwrap();
        for (reason, field, spoil) in CASES {
            let mut wrong = spec(owner("wrong"), "shop/Deployment/wrong", &[]);
            spoil(&mut wrong);
            let explained = ExplainExecutionRequest { spec: Some(wrong.clone()) };
            let explained = executor.explain_execution(explained).await.unwrap_err();
            let started = executor.start_execution(start(wrong, 0)).await.unwrap_err();
            for refused in [explained, started] {
                let metadata = check_error(&refused, Code::InvalidArgument, reason);
                assert!(metadata["field"].starts_with(field), "{field}: {metadata:?}");
                assert!(refused.message().contains(field), "{refused:?}");
                assert!(refused.message().len() < 1000, "what was wrong is not sent back in full");
            }
        }
        let none = StartExecutionRequest::default();
        check_error(
            &executor.start_execution(none).await.unwrap_err(),
            Code::InvalidArgument,
            "MISSING_SPEC",
        );
        check_nothing_exists(&environment).await;
    });
}

#[test]
fn an_unknown_engine_is_refused_with_those_that_exist() {
    run(async {
        let environment = EXECUTOR.get().await.unwrap();
        let mut executor = environment.executor().unwrap();
        for engine in ["", "argo", "JOB"] {
            let wrong = ExecutionSpec { engine: engine.into(), ..spec(owner("engine"), "Node/engine", &[]) };
            let refused = executor.start_execution(start(wrong, 0)).await.unwrap_err();
            let metadata = check_error(&refused, Code::InvalidArgument, "UNKNOWN_ENGINE");
            assert!(metadata["available"].contains("job"), "{metadata:?}");
        }
        check_nothing_exists(&environment).await;
    });
}

#[test]
fn every_other_call_names_its_wrong_field_too() {
    run(async {
        let environment = EXECUTOR.get().await.unwrap();
        let mut executor = environment.executor().unwrap();
        let (me, target) = (Some(owner("other")), "Node/other".to_owned());
        let bad = "a/b/c/d".to_owned();
        let refused = [
            executor.get_target(GetTargetRequest { target: bad.clone() }).await.unwrap_err(),
            executor
                .get_execution(GetExecutionRequest { owner: me.clone(), target: bad.clone() })
                .await
                .unwrap_err(),
            executor
                .cancel_execution(CancelExecutionRequest {
                    owner: me.clone(),
                    target: bad.clone(),
                    reason: String::new(),
                })
                .await
                .unwrap_err(),
            executor
                .release_execution(ReleaseExecutionRequest { owner: me.clone(), target: bad.clone() })
                .await
                .unwrap_err(),
        ];
        for status in &refused {
            check_error(status, Code::InvalidArgument, "INVALID_TARGET");
        }
        let refused = [
            executor
                .get_execution(GetExecutionRequest { owner: None, target: target.clone() })
                .await
                .unwrap_err(),
            executor
                .release_execution(ReleaseExecutionRequest { owner: None, target: target.clone() })
                .await
                .unwrap_err(),
        ];
        for status in &refused {
            check_error(status, Code::InvalidArgument, "INVALID_OWNER");
        }
        let long =
            CancelExecutionRequest { owner: me.clone(), target: target.clone(), reason: "x".repeat(1025) };
        check_error(
            &executor.cancel_execution(long).await.unwrap_err(),
            Code::InvalidArgument,
            "INVALID_REASON",
        );
        let absent = GetExecutionRequest { owner: me, target };
        let absent = executor.get_execution(absent).await.unwrap_err();
        check_error(&absent, Code::NotFound, "EXECUTION_NOT_FOUND");
        check_nothing_exists(&environment).await;
    });
}

#[test]
fn what_is_no_message_or_no_method_is_refused_with_a_reason() {
    run(async {
        let environment = EXECUTOR.get().await.unwrap();
        let service = "/evenkeel.execution.v1.ExecutionService";
        let junk = b"\xff\xff\xff\xff\xff\xff\xff";
        let malformed = send(&environment, &format!("{service}/StartExecution"), junk).await;
        check_error(&malformed, Code::InvalidArgument, "MALFORMED_REQUEST");
        let huge = vec![b'x'; 5 << 20];
        let huge = send(&environment, &format!("{service}/StartExecution"), &huge).await;
        check_error(&huge, Code::InvalidArgument, "REQUEST_TOO_LARGE");
        for path in [format!("{service}/LaunchExecution"), "/evenkeel.other.v1.OtherService/Get".to_owned()] {
            let unknown = send(&environment, &path, b"").await;
            check_error(&unknown, Code::Unimplemented, "UNKNOWN_METHOD");
        }
        check_nothing_exists(&environment).await;
    });
}

/// A field of an event, and what makes it wrong.
type Spoilt = (&'static str, fn(&mut Event));

/// Sends a body as it is, and gives the status of the answer.
async fn send(environment: &Environment, path: &str, body: &[u8]) -> Status {
    let connection =
        channel::connect(&environment.executor_address(), &environment.security().unwrap()).unwrap();
    let mut frame = vec![0];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend(body);
    let request = http::Request::post(format!("https://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(http_body_util::Full::new(Bytes::from(frame))))
        .unwrap();
    let response = connection.oneshot(request).await.unwrap();
    Status::from_header_map(response.headers()).unwrap_or_else(|| panic!("not refused: {response:?}"))
}

#[test]
fn the_log_refuses_what_is_no_event_and_names_the_field() {
    run(async {
        let options = Options::default().without(Service::Controller).without(Service::Executor);
        let environment = Environment::start(options).await.unwrap();
        let mut audit = environment.audit().unwrap();
        let event = Event {
            event_id: uuid::Uuid::new_v4().to_string(),
            version: "1.0".into(),
            event_type: "test.thing.done".into(),
            event_category: "test".into(),
            event_action: "done".into(),
            correlation_id: "rr".into(),
            event_outcome: 1,
            event_timestamp: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            event_data_json: r#"{"event_type":"test.thing.done"}"#.into(),
            ..Event::default()
        };
        let cases: &[Spoilt] = &[
            ("event_id", |event| event.event_id = "1".into()),
            ("version", |event| event.version = "2.0".into()),
            ("event_type", |event| event.event_type = String::new()),
            ("correlation_id", |event| event.correlation_id = "c".repeat(256)),
            ("event_outcome", |event| event.event_outcome = 0),
            ("event_data", |event| event.event_data_json = "[".into()),
        ];
        for (field, spoil) in cases {
            let mut wrong = event.clone();
            spoil(&mut wrong);
            let both = WriteEventsRequest { events: vec![event.clone(), wrong] };
            let refused = audit.write_events(both).await.unwrap_err();
            let metadata = check_error(&refused, Code::InvalidArgument, "INVALID_EVENT");
            assert!(metadata["field"].starts_with(&format!("events[1].{field}")), "{metadata:?}");
        }
        let page = ListEventsRequest { page_token: "forged".into(), ..ListEventsRequest::default() };
        check_error(&audit.list_events(page).await.unwrap_err(), Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        let absent = GetEventRequest { event_id: uuid::Uuid::new_v4().to_string() };
        check_error(&audit.get_event(absent).await.unwrap_err(), Code::NotFound, "ENTRY_NOT_FOUND");
        let none = GetInclusionProofRequest::default();
        check_error(
            &audit.get_inclusion_proof(none).await.unwrap_err(),
            Code::InvalidArgument,
            "INVALID_REQUEST",
        );
        assert_eq!(environment.audit_log().await.unwrap(), [], "one wrong event keeps its whole request out");
    });
}
