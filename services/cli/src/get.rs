//! `evenkeel get`: executions, as a table or as stored.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    cluster::{Cluster, ClusterArgs},
    error::Result,
    execution::{self, Execution},
    output::{self, Cell, Format, Screen, Table, Tone},
};

/// What to show, and how.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// One execution; all of the namespace when absent.
    pub name: Option<String>,
    /// The executions of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: GetArgs) -> Result<()> {
    let cluster = Cluster::open(cluster).await?;
    let executions = match &args.name {
        Some(name) => vec![execution::get(&cluster, name).await?],
        None => execution::list(&cluster, args.all_namespaces).await?,
    };
    match (args.output, args.name) {
        (Format::Table, _) if executions.is_empty() => {
            let place = if args.all_namespaces { "the cluster" } else { &cluster.namespace };
            output::note(&format!("no executions in {place}"));
            Ok(())
        }
        (Format::Table, _) => {
            let screen = Screen::detect();
            output::print(&table(&executions, args.all_namespaces, Timestamp::now()).render(screen))
        }
        (format, Some(_)) => output::print_value(format, &executions.first().map(Execution::stored)),
        (format, None) => {
            let items: Vec<_> = executions.iter().map(Execution::stored).collect();
            output::print_value(format, &json!({ "apiVersion": "v1", "kind": "List", "items": items }))
        }
    }
}

fn table(executions: &[Execution], namespaces: bool, now: Timestamp) -> Table {
    let mut header = vec!["NAME", "PHASE", "WORKFLOW", "TARGET", "DURATION", "REASON", "AGE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&header).keep(if namespaces { 2 } else { 1 });
    for one in executions {
        let mut cells: Vec<Cell> = vec![
            one.name().into(),
            Cell::toned(one.phase(), Tone::of_phase(one.phase())),
            or_dash(&one.typed.spec.workflow_ref.workflow_id).into(),
            or_dash(&one.typed.spec.target_resource).into(),
            one.duration(now).unwrap_or_else(|| "-".to_owned()).into(),
            reason(one).into(),
            one.age(now).unwrap_or_else(|| "-".to_owned()).into(),
        ];
        if namespaces {
            cells.insert(0, one.namespace().into());
        }
        table.row(cells);
    }
    table
}

/// Why it failed, or why it waits.
fn reason(one: &Execution) -> String {
    let failure = one.status().and_then(|status| status.failure_details.as_ref());
    match (failure, one.waiting()) {
        (Some(details), _) => details.reason.clone(),
        (None, Some(gate)) => gate.reason.clone(),
        (None, None) => "-".to_owned(),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_executions_says_what_each_is_doing() {
        let executions = [
            execution::tests::execution(json!({"phase": "Completed", "duration": "12s"})),
            execution::tests::execution(json!(null)),
        ];
        let screen = Screen { live: false, colour: false, width: None };
        let text = table(&executions, false, "2026-01-02T03:05:00Z".parse().unwrap()).render(screen);
        assert_eq!(
            text,
            "NAME     PHASE      WORKFLOW     TARGET                       DURATION  REASON  AGE\n\
             restart  Completed  restart-pod  default/Deployment/checkout  12s       -       5m\n\
             restart  Pending    restart-pod  default/Deployment/checkout  -         -       5m\n"
        );
    }
}
