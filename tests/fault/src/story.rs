//! What people do with executions while a service is struck, from the object they apply until
//! nothing is left of it.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_api::WorkflowExecution;
use evenkeel_kit::channel;
use evenkeel_proto::execution::v1::{
    CancelExecutionRequest, Owner, execution_service_client::ExecutionServiceClient,
};
use evenkeel_test_kit::{Environment, evidence::holds, wait};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::sleep;
use tonic::Code;

use crate::{
    ending::{Ending, Outcome},
    fault::Fault,
    lane::Lane,
    rival,
};

/// More than anything here takes, however busy the machine is. A step of a pipeline waits until the
/// kubelet shows it that it may begin, which now and then looks again only after a minute.
pub(crate) const LIMIT: Duration = Duration::from_secs(150);
/// Between the tries of a client that finds nobody.
const RETRY: Duration = Duration::from_millis(50);
/// Ends an execution before its time; the value says why.
pub(crate) const CANCEL_ANNOTATION: &str = "evenkeel.dev/cancel";
const WHY: &str = "a person asked for it";

/// What becomes of an execution when nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// It succeeds, and a person deletes it.
    Plain,
    /// The same on a target that was used before.
    UsedTarget,
    /// The same, and its run takes some seconds.
    Long,
    /// It succeeds, and the controller deletes it once it was kept long enough.
    Kept,
    /// A client has the executor cancel its run.
    Called,
    /// A person cancels it by annotation while it runs.
    Cancelled,
    /// A person cancels it by annotation before it starts.
    Withdrawn,
    /// It is refused, as nobody has its engine.
    Refused,
    /// A person deletes it while it runs.
    Deleted,
    /// One fails while it runs, a person clears the target, and the next one runs.
    Cleared,
}

impl Story {
    /// A word for it, where the effect alone does not tell.
    pub(crate) fn tag(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::UsedTarget | Self::Long | Self::Called => None,
            Self::Kept => Some("retention"),
            Self::Cancelled => Some("annotated"),
            Self::Withdrawn => Some("withdrawn"),
            Self::Refused => Some("refused"),
            Self::Deleted => Some("deleted"),
            Self::Cleared => Some("cleared"),
        }
    }

    /// The settings of the controller that it needs.
    pub(crate) fn settings(self) -> &'static [(&'static str, &'static str)] {
        if self == Self::Kept { &[("EVENKEEL_RETENTION", "1s")] } else { &[] }
    }

    /// What has to be there before the service is struck.
    pub(crate) async fn prepare(self, lane: &Lane, fault: &Fault) -> anyhow::Result<()> {
        let environment = &lane.environment;
        match self {
            Self::UsedTarget => rival::use_target(lane, fault).await,
            Self::Cleared => {
                let name = broken(fault);
                let parameters = [("EXIT_CODE", "7")];
                environment.apply(&environment.execution(&name, &target(fault), &parameters)).await?;
                environment.settled(&name, LIMIT).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Applies an execution and sees it through until it is gone; what the row is about comes last.
    pub(crate) async fn tell(self, lane: &Lane, fault: &Fault) -> anyhow::Result<Vec<Ending>> {
        let environment = &lane.environment;
        let name = fault.slug();
        let earlier = match self {
            Self::Cleared => Some(clear_broken(environment, fault).await?),
            _ => None,
        };
        let created = environment.apply(&self.execution(lane, fault)?).await?;
        if matches!(self, Self::Called | Self::Cancelled) {
            environment.phase(&name, "Running", LIMIT).await?;
        }
        match self {
            Self::Called => call_off(lane, &created).await?,
            Self::Cancelled => annotate(&environment.executions(), &name, WHY).await?,
            _ => {}
        }
        let last = match self {
            Self::Deleted => environment.phase(&name, "Running", LIMIT).await?,
            _ => environment.settled(&name, LIMIT).await?,
        };
        if self != Self::Kept {
            environment.executions().delete(&name, &DeleteParams::default()).await?;
        }
        wait::until_gone(&environment.executions(), &name, LIMIT).await?;
        let own = Ending::of(&last, self.outcome());
        Ok(if let Some(earlier) = earlier { vec![own, earlier] } else { vec![own] })
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Called | Self::Cancelled => Outcome::Failed,
            Self::Withdrawn | Self::Refused => Outcome::NeverStarted,
            Self::Deleted => Outcome::Removed,
            _ => Outcome::Completed,
        }
    }

    fn execution(self, lane: &Lane, fault: &Fault) -> anyhow::Result<WorkflowExecution> {
        let parameters: &[(&str, &str)] = match self {
            Self::Called | Self::Cancelled | Self::Deleted => &[("SLEEP_SECONDS", "600")],
            Self::Long => &[("SLEEP_SECONDS", "4")],
            _ => &[],
        };
        let mut execution = lane.environment.execution(&fault.slug(), &target(fault), parameters);
        let workflow = &mut execution.spec.workflow_ref;
        lane.workflow(fault.engine)?.clone_into(&mut workflow.execution_bundle);
        workflow.execution_engine = Some(fault.engine.name().to_owned());
        match self {
            Self::Refused => execution.spec.workflow_ref.execution_engine = Some("argo".to_owned()),
            Self::Withdrawn => {
                execution.annotations_mut().insert(CANCEL_ANNOTATION.to_owned(), WHY.to_owned());
            }
            _ => {}
        }
        Ok(execution)
    }
}

fn target(fault: &Fault) -> String {
    format!("shop/Deployment/{}", fault.slug())
}

fn broken(fault: &Fault) -> String {
    format!("{}-broken", fault.slug())
}

/// A person of their own clears what blocks the target, waits until that is told, and deletes it.
async fn clear_broken(environment: &Environment, fault: &Fault) -> anyhow::Result<Ending> {
    let (name, person) = (broken(fault), fault.slug());
    let operator = environment.operator(&person).await?;
    clear(&Api::namespaced(operator, environment.namespace()), &name, &person).await?;
    let executions = environment.executions();
    let told = |it: &WorkflowExecution| holds(it, "Cleared");
    let cleared = wait::until(&executions, &name, "the clearance", LIMIT, told).await?;
    executions.delete(&name, &DeleteParams::default()).await?;
    wait::until_gone(&executions, &name, LIMIT).await?;
    Ok(Ending::of(&cleared, Outcome::Cleared))
}

/// A person says that the target of a failed execution is fine.
pub(crate) async fn clear(
    executions: &Api<WorkflowExecution>,
    name: &str,
    person: &str,
) -> anyhow::Result<()> {
    let clearance = json!({
        "clearMethod": "StatusField",
        "clearReason": "looked at the pods, they are fine",
        "clearedBy": person,
        "clearedAt": k8s_openapi::jiff::Timestamp::now().to_string(),
    });
    let patch = Patch::Merge(json!({ "status": { "blockClearance": clearance } }));
    let cleared = executions.patch_status(name, &PatchParams::default(), &patch).await;
    cleared.with_context(|| format!("clear {name}")).map(drop)
}

/// A person cancels an execution.
pub(crate) async fn annotate(
    executions: &Api<WorkflowExecution>,
    name: &str,
    why: &str,
) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { CANCEL_ANNOTATION: why } } }));
    let annotated = executions.patch(name, &PatchParams::default(), &patch).await;
    annotated.with_context(|| format!("cancel {name}")).map(drop)
}

/// Asks the executor to stop the run until somebody answers.
async fn call_off(lane: &Lane, execution: &WorkflowExecution) -> anyhow::Result<()> {
    let security = lane.environment.security()?;
    let mut client = ExecutionServiceClient::new(channel::connect(&lane.switch.address(), &security)?);
    let owner = Owner {
        namespace: execution.namespace().context("an execution has a namespace")?,
        name: execution.name_any(),
        uid: execution.uid().context("an execution has a uid")?,
    };
    let target = execution.spec.target_resource.clone();
    let request = CancelExecutionRequest { owner: Some(owner), target, reason: WHY.into() };
    let tries = async {
        loop {
            match client.cancel_execution(request.clone()).await {
                Ok(_) => return Ok(()),
                Err(status) if is_passing(status.code()) => sleep(RETRY).await,
                Err(status) => return Err(status),
            }
        }
    };
    tokio::time::timeout(LIMIT, tries).await.context("nobody took the cancel")?.context("cancel")
}

fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
}
