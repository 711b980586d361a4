//! `evenkeel cancel`: an execution shall end before its time.

use clap::Args;
use evenkeel_controller::CANCEL_ANNOTATION;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    cluster::{Cluster, ClusterArgs},
    error::{Error, Result},
    execution::{self, Execution},
    output,
};

/// What to cancel, and why.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// Name of the execution.
    pub name: String,
    /// Why; it becomes part of the failure.
    #[arg(long, value_name = "TEXT", default_value = "cancelled by hand")]
    pub reason: String,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: CancelArgs) -> Result<()> {
    let cluster = Cluster::open(cluster).await?;
    let one = execution::get(&cluster, &args.name).await?;
    let what = follows(&one)?;
    let patch = json!({ "metadata": { "annotations": { CANCEL_ANNOTATION: args.reason } } });
    let patched =
        execution::api(&cluster).patch(&args.name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map_err(|error| cluster.explain(error))?;
    output::print(&format!("{} is cancelled: {what}\n", args.name))
}

/// What follows from cancelling it.
fn follows(one: &Execution) -> Result<&'static str> {
    match one.phase() {
        "Pending" => Ok("it will not start"),
        "Running" => Ok("its run is stopped, and it ends as Failed; its target may be half changed"),
        phase => Err(Error::State(format!("{} cannot be cancelled: it has ended as {phase}", one.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::tests::execution;

    #[test]
    fn only_what_has_not_ended_can_be_cancelled() {
        for (status, can) in [
            (json!(null), true),
            (json!({"phase": "Pending"}), true),
            (json!({"phase": "Running"}), true),
            (json!({"phase": "Completed"}), false),
            (json!({"phase": "Failed"}), false),
        ] {
            assert_eq!(follows(&execution(status.clone())).is_ok(), can, "{status}");
        }
    }
}
