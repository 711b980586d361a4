//! `evenkeel clear`: somebody has looked at a target that a failed execution may have left half
//! changed. Who that is, the API server says: it takes a clearance in no other name.

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ClusterArgs},
    error::{Error, Result},
    execution::{self, Execution},
    output,
};

/// What to clear, and why.
#[derive(Args, Debug)]
pub struct ClearArgs {
    /// Name of the execution that failed.
    pub name: String,
    /// Why the target may be used again, in at least 10 characters. It is kept, with your name.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: ClearArgs) -> Result<()> {
    let cluster = Cluster::open(cluster).await?;
    let one = execution::get(&cluster, &args.name).await?;
    let target = &one.typed.spec.target_resource;
    if let Some(before) = already(&one)? {
        output::note(&format!("{} was cleared before, by {before}", args.name));
        return Ok(());
    }
    let user = user(&cluster).await?;
    let patch = patch(&one, &user, &args.reason, Timestamp::now());
    let api = execution::api(&cluster);
    let params = PatchParams::default();
    api.patch_status(&args.name, &params, &Patch::Merge(patch))
        .await
        .map_err(|error| cluster.explain(error))?;
    output::print(&format!("{target} is cleared after {}, in the name of {user}\n", args.name))
}

/// Who cleared it before; an error when there is nothing to clear.
fn already(one: &Execution) -> Result<Option<String>> {
    if !one.failed_while_running() {
        let name = one.name();
        return Err(Error::State(format!(
            "there is nothing to clear: {name} is {}, and only an execution that failed while it ran blocks its target",
            one.phase()
        )));
    }
    let clearance = one.status().and_then(|status| status.block_clearance.as_ref());
    Ok(clearance.map(|before| format!("{}: {}", before.cleared_by, before.clear_reason)))
}

/// Whom the API server takes this client for.
async fn user(cluster: &Cluster) -> Result<String> {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let status = review.map_err(|error| cluster.explain(error))?.status;
    let user = status.and_then(|status| status.user_info).and_then(|user| user.username);
    user.ok_or_else(|| Error::ClusterRefused("it does not say who you are".to_owned()))
}

/// The clearance, on condition that the execution is as it was seen.
fn patch(one: &Execution, user: &str, reason: &str, now: Timestamp) -> Value {
    json!({
        "metadata": { "resourceVersion": one.raw.metadata.resource_version },
        "status": { "blockClearance": {
            "clearMethod": "StatusField",
            "clearReason": reason,
            "clearedBy": user,
            "clearedAt": format!("{now:.0}"),
        }},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::tests::{execution, failed};

    #[test]
    fn only_a_failure_while_it_ran_can_be_cleared_and_once() {
        assert_eq!(already(&execution(failed(true))).unwrap(), None);
        for status in [json!({"phase": "Running"}), json!({"phase": "Completed"}), failed(false), Value::Null]
        {
            assert!(matches!(already(&execution(status)), Err(Error::State(_))));
        }
        let mut status = failed(true);
        status["blockClearance"] =
            json!({"clearMethod": "StatusField", "clearReason": "fine", "clearedBy": "mary"});
        assert_eq!(already(&execution(status)).unwrap().as_deref(), Some("mary: fine"));
    }

    #[test]
    fn a_clearance_says_who_why_and_when() {
        let now = "2026-01-02T03:05:00.123Z".parse().unwrap();
        let patch = patch(&execution(failed(true)), "mary", "looked at it", now);
        assert_eq!(
            patch["status"]["blockClearance"],
            json!({
                "clearMethod": "StatusField", "clearReason": "looked at it", "clearedBy": "mary",
                "clearedAt": "2026-01-02T03:05:00Z",
            })
        );
    }
}
