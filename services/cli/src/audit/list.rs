//! `evenkeel audit list`: recorded events, as the service tells them.

use std::num::NonZeroUsize;

use clap::Args;
use evenkeel_proto::audit::v1::LogEntry;
use serde_json::{Value, json};

use super::{ServiceArgs, bundle::Query, check::Body, service, service::AuditLog};
use crate::{
    error::Result,
    output::{self, Format, Screen, Table},
};

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only events of this execution.
    execution: Option<String>,
    /// Only events of this incident.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// At most this many, from the start of the log.
    #[arg(long, default_value = "100")]
    limit: NonZeroUsize,
    /// How to print; json and yaml print the stored events.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

pub(super) async fn run(namespace: &str, args: ListArgs) -> Result<()> {
    let log = AuditLog::connect(&args.service)?;
    let query = Query {
        all: false,
        namespace: args.execution.as_ref().map(|_| namespace.to_owned()),
        execution: args.execution,
        correlation_id: args.correlation_id,
    };
    let (entries, has_more) = log.first(&query, args.limit.get()).await?;
    if args.output == Format::Table {
        output::print(&table(&entries).render(Screen::detect()))?;
    } else {
        let events: Vec<Value> = entries.iter().map(value).collect();
        output::print_value(args.output, &events)?;
    }
    if has_more {
        output::note(&format!("there are more than {}; raise --limit or narrow the question", args.limit));
    }
    Ok(())
}

fn table(entries: &[LogEntry]) -> Table {
    let mut table = Table::new(&["INDEX", "TIME", "TYPE", "OUTCOME", "RESOURCE", "CORRELATION"]);
    for entry in entries {
        let body: Body = serde_json::from_slice(&entry.body).unwrap_or_default();
        let kind = if entry.body.is_empty() { "(erased)" } else { &body.event_type };
        table.row(vec![
            entry.index.to_string().into(),
            output::moment(&body.event_timestamp).into(),
            kind.into(),
            body.event_outcome.as_str().into(),
            body.resource().into(),
            body.correlation_id.as_str().into(),
        ]);
    }
    table
}

fn value(entry: &LogEntry) -> Value {
    let recorded = entry.recorded_at.and_then(service::time);
    let event: Value = serde_json::from_slice(&entry.body).unwrap_or(Value::Null);
    json!({ "index": entry.index, "event_id": entry.event_id, "recorded_at": recorded, "event": event })
}
