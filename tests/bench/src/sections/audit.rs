//! How fast the audit log takes events durably, and how fast it is verified.

use std::time::Instant;

use anyhow::Context as _;
use evenkeel_audit::{
    append::Appender,
    event,
    log::{Log, Options},
    metrics::Metrics,
};
use evenkeel_chain::{
    bundle::{Content, Verifier},
    note::VerifierKey,
};
use evenkeel_proto::audit::v1::{
    Event, EventOutcome, ExportEventsRequest, GetCheckpointRequest, WriteEventsRequest,
};
use evenkeel_test_kit::Environment;
use futures::future::try_join_all;
use uuid::Uuid;

use crate::{
    report::{Budget, Figure, Table},
    stats::as_float,
};

const APPENDED: f64 = 30_000.0;
const VERIFIED: f64 = 300_000.0;
const EVENTS: usize = 200_000;
const OVER_THE_WIRE: usize = 100_000;
/// Few large requests, as when a backlog is sent, and many small ones, as each transition is sent.
const SHAPES: [(usize, usize); 3] = [(1000, 4), (100, 8), (1, 256)];

/// Measures the library in this process, and the service of this environment over gRPC.
pub async fn measure(environment: &Environment) -> anyhow::Result<Table> {
    let mut table = Table::new("audit log");
    // Beside the log of the service, so on the same disk.
    let home = tempfile::tempdir_in(environment.directory())?;
    for (batch, callers) in SHAPES {
        let count = if batch == 1 { EVENTS / 20 } else { EVENTS };
        let options = Options::new(home.path().join(format!("{batch}-{callers}")));
        let log = open(&options).await?;
        let rate = append(log.appender(), count, batch, callers).await?;
        tokio::task::spawn_blocking(|| log.close()).await?;
        let budget = if batch == 1 { Budget::None } else { Budget::AtLeast(APPENDED) };
        let name = format!("durable, in process, {callers} callers x {batch}");
        table.figure(Figure::new(name, rate, "events/s").budget(budget));
        if batch == SHAPES[0].0 {
            let begun = Instant::now();
            let log = open(&options).await?;
            let rate = as_float(count) / begun.elapsed().as_secs_f64();
            tokio::task::spawn_blocking(|| log.close()).await?;
            table.figure(
                Figure::new("opened and verified from disk", rate, "events/s")
                    .budget(Budget::AtLeast(VERIFIED)),
            );
        }
    }
    let rate = write(environment).await?;
    let name = "durable, over gRPC with TLS, 4 callers x 1000";
    table.figure(Figure::new(name, rate, "events/s").budget(Budget::AtLeast(APPENDED)));
    let rate = verify(environment).await?;
    table.figure(
        Figure::new("verified offline, in memory", rate, "events/s").budget(Budget::AtLeast(VERIFIED)),
    );
    table.remark("durable: acknowledged after fsync; events of about 800 bytes");
    Ok(table)
}

async fn open(options: &Options) -> anyhow::Result<Log> {
    let options = options.clone();
    Ok(tokio::task::spawn_blocking(move || Log::open(&options, Metrics::default())).await??)
}

/// Events a second that the library takes.
async fn append(appender: &Appender, count: usize, batch: usize, callers: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let each = count / callers;
    let calls = (0..callers).map(|caller| {
        let appender = appender.clone();
        let events = caller * each..(caller + 1) * each;
        tokio::spawn(async move {
            for first in events.clone().step_by(batch) {
                let some = first..(first + batch).min(events.end);
                let records = some.map(|n| event::record(event("library", n))).collect::<Result<_, _>>()?;
                appender.append(records).await?;
            }
            anyhow::Ok(())
        })
    });
    for done in try_join_all(calls).await? {
        done?;
    }
    Ok(as_float(each * callers) / begun.elapsed().as_secs_f64())
}

/// Events a second that the service takes.
async fn write(environment: &Environment) -> anyhow::Result<f64> {
    let (batch, callers) = SHAPES[0];
    let requests: Vec<Vec<WriteEventsRequest>> = (0..callers).map(|caller| requests(caller, batch)).collect();
    let begun = Instant::now();
    let calls = requests.into_iter().map(|requests| {
        let client = environment.audit();
        async move {
            let mut client = client?;
            for request in requests {
                client.write_events(request).await?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(calls).await?;
    Ok(as_float(OVER_THE_WIRE) / begun.elapsed().as_secs_f64())
}

fn requests(caller: usize, batch: usize) -> Vec<WriteEventsRequest> {
    let each = OVER_THE_WIRE / SHAPES[0].1;
    let first = caller * each;
    let starts = (first..first + each).step_by(batch);
    starts
        .map(|n| WriteEventsRequest { events: (n..n + batch).map(|n| event("wire", n)).collect() })
        .collect()
}

/// Events a second that an auditor verifies, once they are in memory.
async fn verify(environment: &Environment) -> anyhow::Result<f64> {
    let mut client = environment.audit()?;
    let newest = client.get_checkpoint(GetCheckpointRequest {}).await?.into_inner();
    let key = VerifierKey::parse(&newest.verifier_key)?;
    let mut verifier = Verifier::new(&newest.checkpoint, &key)?;
    let end_index = i64::try_from(verifier.checkpoint().size)?;
    let mut stream =
        client.export_events(ExportEventsRequest { start_index: 0, end_index }).await?.into_inner();
    let mut entries = Vec::new();
    while let Some(chunk) = stream.message().await? {
        entries.extend(chunk.entries);
    }
    let begun = Instant::now();
    for entry in &entries {
        verifier.entry(entry.index.cast_unsigned(), Content::Body(&entry.body), None)?;
    }
    anyhow::ensure!(verifier.finish().context("verify the log")?.complete, "the log is not complete");
    Ok(as_float(entries.len()) / begun.elapsed().as_secs_f64())
}

/// An event like those of an execution.
fn event(origin: &str, n: usize) -> Event {
    let kind = "workflowexecution.workflow.completed";
    let data = serde_json::json!({
        "event_type": kind,
        "workflow_id": "5f0c1c70-0f0e-4e0c-9d2a-3c6a4f1b7d10",
        "workflow_version": "1.0.0",
        "target_resource": format!("shop/Deployment/cart-{n}"),
        "phase": "Completed",
        "container_image": "example.com/workflows/restart@sha256:0123456789abcdef0123456789abcdef",
        "execution_name": format!("restart-{n}"),
        "pipelinerun_name": "wfe-0123456789abcdef",
        "started_at": "2026-01-01T00:00:00Z",
        "completed_at": "2026-01-01T00:01:00Z",
        "duration": "1m0s",
    });
    Event {
        event_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{origin}-{n}").as_bytes()).to_string(),
        version: "1.0".into(),
        event_type: kind.into(),
        event_timestamp: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
        event_category: "workflowexecution".into(),
        event_action: "completed".into(),
        event_outcome: EventOutcome::Success.into(),
        actor_type: "service".into(),
        actor_id: "workflowexecution-controller".into(),
        resource_type: "WorkflowExecution".into(),
        resource_id: format!("restart-{n}"),
        correlation_id: format!("rr-{n}"),
        namespace: "bench".into(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        span_id: "b7ad6b7169203331".into(),
        event_data_json: data.to_string(),
    }
}
