//! What the tests of the service share.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use evenkeel_audit::{
    App, Config,
    event::{self, Record},
};
use evenkeel_kit::{
    channel::{Connection, connect},
    config::Security,
    shutdown::CancellationToken,
};
use evenkeel_proto::audit::v1::{Event, EventOutcome, audit_service_client::AuditServiceClient};
use prost_types::Timestamp;
use uuid::Uuid;

pub(crate) type Client = AuditServiceClient<Connection>;

/// The id of the nth event.
pub(crate) fn id(n: u64) -> Uuid {
    Uuid::from_u128(0x0e5e_0000 + u128::from(n))
}

/// A valid event, the same for the same number.
pub(crate) fn event(n: u64) -> Event {
    Event {
        event_id: id(n).to_string(),
        version: "1.0".to_owned(),
        event_type: "workflowexecution.workflow.completed".to_owned(),
        event_timestamp: Some(Timestamp { seconds: 1_750_000_000 + n.cast_signed(), nanos: 5_000_000 }),
        event_category: "workflowexecution".to_owned(),
        event_action: "completed".to_owned(),
        event_outcome: EventOutcome::Success as i32,
        actor_type: "service".to_owned(),
        actor_id: "workflowexecution-controller".to_owned(),
        resource_type: "WorkflowExecution".to_owned(),
        resource_id: format!("wfe-{}", n % 5),
        correlation_id: format!("rr-{}", n % 3),
        namespace: format!("team-{}", n % 2),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        span_id: "b7ad6b7169203331".to_owned(),
        event_data_json: format!(
            r#"{{"number": {n}, "event_type": "workflowexecution.workflow.completed"}}"#
        ),
    }
}

pub(crate) fn record(n: u64) -> Record {
    event::record(event(n)).unwrap()
}

pub(crate) fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(record).collect()
}

fn plaintext() -> Security {
    Security { plaintext: true, ..Security::default() }
}

pub(crate) fn client(address: impl ToString) -> Client {
    AuditServiceClient::new(connect(&address.to_string(), &plaintext()).unwrap())
}

/// A service in this process.
pub(crate) struct Service {
    pub(crate) client: Client,
    pub(crate) verifier_key: String,
    pub(crate) admin: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Service {
    pub(crate) async fn start(data: &Path) -> Self {
        let local = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            listen: local,
            admin_listen: local,
            data: data.to_owned(),
            signing_key: None,
            origin: "evenkeel.dev/test".to_owned(),
            allowed_clients: Vec::new(),
            security: plaintext(),
        };
        let app = App::bind(&config, None).await.unwrap();
        let (client, verifier_key, admin) = (client(app.address()), app.verifier_key(), app.admin_address());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(app.serve(shutdown.clone()));
        Self { client, verifier_key, admin, shutdown, task }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        drop(self.client);
        self.task.await.unwrap().unwrap();
    }
}

/// The real binary, killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) client: Client,
    pub(crate) verifier_key: String,
}

impl Process {
    pub(crate) fn start(data: &Path, failpoints: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-audit"));
        Self::spawn(command.env("EVENKEEL_FAILPOINTS", failpoints), data)
    }

    /// Starts the binary with a limit to the size of the files it writes.
    pub(crate) fn start_limited(data: &Path, kib: u32) -> Self {
        // The signal would kill it; without it, writing fails as on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\"");
        let mut command = Command::new("bash");
        Self::spawn(command.args(["-c", &script, env!("CARGO_BIN_EXE_evenkeel-audit")]), data)
    }

    fn spawn(command: &mut Command, data: &Path) -> Self {
        let mut child = command
            .env("EVENKEEL_AUDIT_DATA", data)
            .env("EVENKEEL_AUDIT_LISTEN", "127.0.0.1:0")
            .env("EVENKEEL_AUDIT_ADMIN_LISTEN", "127.0.0.1:0")
            .env("EVENKEEL_PLAINTEXT", "true")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut seen = Vec::new();
        let ready = lines.by_ref().find(|line| {
            seen.push(line.clone());
            line.contains("the log verifies")
        });
        let Some(ready) = ready else {
            let _ = child.wait();
            panic!("the service did not start: {seen:#?}")
        };
        // Nobody may wait for a reader of the rest.
        std::thread::spawn(move || lines.for_each(drop));
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let fields = ready.get("fields").unwrap_or(&ready);
        let text = |name: &str| fields[name].as_str().unwrap().to_owned();
        Self { child, client: client(text("address")), verifier_key: text("verifier_key") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a service says about a refused call.
pub(crate) struct Refusal {
    pub(crate) code: tonic::Code,
    pub(crate) reason: String,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) text: String,
}

pub(crate) fn refusal<T>(result: Result<tonic::Response<T>, tonic::Status>) -> Refusal {
    let Err(status) = result else { panic!("the call was not refused") };
    Refusal {
        code: status.code(),
        reason: evenkeel_kit::rpc::reason(&status).unwrap_or_default(),
        metadata: evenkeel_kit::rpc::metadata(&status),
        text: status.message().to_owned(),
    }
}
