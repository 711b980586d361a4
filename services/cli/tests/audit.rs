//! `evenkeel audit` as people call it, against a real audit service.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::{
    path::Path,
    process::{Command, Output},
};

use evenkeel_audit::{App, Config};
use evenkeel_kit::{channel, config::Security, shutdown::CancellationToken};
use evenkeel_proto::audit::v1::{
    Event, EventOutcome, WriteEventsRequest, audit_service_client::AuditServiceClient,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A log that serves, in a directory of its own.
struct Log {
    address: String,
    key: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Log {
    async fn start(directory: &Path) -> Self {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            data: directory.to_owned(),
            signing_key: None,
            origin: "audit.example".to_owned(),
            allowed_clients: Vec::new(),
            security: plaintext(),
        };
        let app = App::bind(&config, None).await.unwrap();
        let (address, key) = (app.address().to_string(), app.verifier_key());
        let stop = CancellationToken::new();
        let task = tokio::spawn(app.serve(stop.clone()));
        Self { address, key, stop, task }
    }

    async fn write(&self, numbers: std::ops::Range<u32>, name: &str) {
        let channel = channel::connect(&self.address, &plaintext()).unwrap();
        let events = numbers.map(|number| event(number, name)).collect();
        AuditServiceClient::new(channel).write_events(WriteEventsRequest { events }).await.unwrap();
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Runs `evenkeel audit …` against this log.
    async fn audit(&self, arguments: &[&str]) -> Output {
        let mut command = audit(arguments);
        command.env("EVENKEEL_AUDIT", &self.address).env("EVENKEEL_PLAINTEXT", "true");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn audit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.arg("audit").args(arguments).env_clear();
    command
}

fn plaintext() -> Security {
    Security { plaintext: true, ..Security::default() }
}

fn event(number: u32, name: &str) -> Event {
    let event_type = "workflowexecution.workflow.completed".to_owned();
    Event {
        event_id: format!("00000000-0000-5000-8000-{number:012}"),
        version: "1.0".to_owned(),
        event_data_json: format!("{{\"event_type\":\"{event_type}\"}}"),
        event_type,
        event_timestamp: Some(prost_types::Timestamp { seconds: 1_767_322_800, nanos: 0 }),
        event_category: "workflowexecution".to_owned(),
        event_action: "completed".to_owned(),
        event_outcome: EventOutcome::Success.into(),
        actor_type: "service".to_owned(),
        actor_id: "workflowexecution-controller".to_owned(),
        resource_type: "WorkflowExecution".to_owned(),
        resource_id: name.to_owned(),
        correlation_id: "rr-1".to_owned(),
        namespace: "kubernaut-system".to_owned(),
        ..Event::default()
    }
}

fn expect(output: &Output, code: i32, said: &str) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(said), "{said:?} is not in\n{text}");
}

#[tokio::test]
async fn the_events_of_an_execution_are_verified_here_and_anywhere() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("bundle");
    let file = file.to_str().unwrap();
    let log = Log::start(&directory.path().join("log")).await;
    log.write(0..5, "other").await;
    log.write(5..8, "one").await;
    let key = log.key.clone();
    expect(&log.audit(&["list", "one"]).await, 0, "WorkflowExecution/kubernaut-system/one");
    expect(&log.audit(&["verify", "one"]).await, 0, "trust on first use");
    let verified = log.audit(&["verify", "one", "--verifier-key", &key, "--bundle", file]).await;
    expect(&verified, 0, "verified: 3 events\n");
    expect(
        &log.audit(&["verify", "--all", "--verifier-key", &key]).await,
        0,
        "8 events, which is the whole log",
    );
    expect(&log.audit(&["verify", "nobody"]).await, 4, "no events of 'nobody'");
    let other = "audit.example+4fd70c2c+AeHJJu0bcHOnw0B9ySh5V3WNeNVXpyQ3CBLNe/eAm7aB";
    expect(&log.audit(&["verify", "one", "--verifier-key", other]).await, 2, "");
    log.end().await;

    let offline = |key: &str| audit(&["verify", "--offline", file, "--verifier-key", key]).output().unwrap();
    expect(&offline(&key), 0, "verified: 3 events\n");
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replacen("completed", "refused", 1)).unwrap();
    expect(&offline(&key), 5, "entry 5, event 00000000-0000-5000-8000-000000000005");
    let no_key = audit(&["verify", "--offline", file]).output().unwrap();
    expect(&no_key, 2, "cannot vouch for itself");
}

#[tokio::test]
async fn as_many_events_are_listed_as_were_asked_for() {
    let directory = TempDir::new().unwrap();
    let log = Log::start(directory.path()).await;
    for begin in [0, 800, 1600] {
        log.write(begin..begin + 800, "one").await;
    }
    for (limit, listed, told) in
        [(1, 1, true), (1000, 1000, true), (2001, 2001, true), (2400, 2400, false), (1_000_000, 2400, false)]
    {
        let output = log.audit(&["list", "one", "-o", "json", "--limit", &limit.to_string()]).await;
        expect(&output, 0, "");
        let events: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let places: Vec<u64> =
            events.as_array().unwrap().iter().map(|event| event["index"].as_u64().unwrap()).collect();
        assert_eq!(places, (0..listed).collect::<Vec<_>>(), "--limit {limit}: in order, once each");
        let note = String::from_utf8(output.stderr).unwrap();
        assert_eq!(note.contains("there are more"), told, "--limit {limit}: {note}");
    }
    expect(&log.audit(&["list", "--limit", "0"]).await, 2, "--limit");
    log.end().await;
}

#[tokio::test]
async fn a_pinned_log_may_grow_and_may_not_be_replaced() {
    let directory = TempDir::new().unwrap();
    let pin = directory.path().join("pin");
    let pinned = ["verify", "--all", "--pin", pin.to_str().unwrap()];
    let data = directory.path().join("log");
    let log = Log::start(&data).await;
    log.write(0..5, "one").await;
    expect(&log.audit(&pinned).await, 0, "remembered from now on");
    log.write(5..12, "one").await;
    expect(&log.audit(&pinned).await, 0, "12 events, which is the whole log");
    let remembered = std::fs::read(&pin).unwrap();
    log.end().await;

    // A new log under the old key, with fewer events and then with other ones.
    let again = directory.path().join("again");
    std::fs::create_dir(&again).unwrap();
    std::fs::copy(data.join("signing.key"), again.join("signing.key")).unwrap();
    let log = Log::start(&again).await;
    log.write(1..3, "one").await;
    expect(&log.audit(&pinned).await, 5, "cannot be a prefix");
    log.write(3..20, "one").await;
    expect(&log.audit(&pinned).await, 5, "does not extend the older checkpoint");
    log.end().await;

    let log = Log::start(&directory.path().join("other")).await;
    expect(&log.audit(&pinned).await, 5, "not signed by");
    log.end().await;
    assert_eq!(std::fs::read(&pin).unwrap(), remembered, "a refused log is not remembered");
}

#[tokio::test]
async fn a_service_that_is_away_is_said_in_one_line() {
    let mut command = audit(&["verify", "one"]);
    command.env("EVENKEEL_AUDIT", "127.0.0.1:9").env("EVENKEEL_PLAINTEXT", "true");
    let output = command.output().unwrap();
    expect(&output, 1, "cannot reach the audit service at 127.0.0.1:9: Connection refused");
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}
