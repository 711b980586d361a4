//! One fault, from a fresh execution until nothing is left of it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use evenkeel_api::WorkflowExecution;
use evenkeel_kit::channel;
use evenkeel_proto::execution::v1::{
    CancelExecutionRequest, Owner, execution_service_client::ExecutionServiceClient,
};
use evenkeel_test_kit::{Service, ServiceProcess, wait};
use kube::{ResourceExt as _, api::DeleteParams};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::watch, time::sleep};
use tonic::Code;

use crate::{
    fault::{Action, Fault, Place},
    lane::{Lane, START_TIMEOUT},
    rival,
    verdict::{Ending, Verdict, judge},
};

/// More than anything here takes, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a fault may come after the end of its execution.
const TRAILING: Duration = Duration::from_secs(5);
/// A pause that outlasts the start timeout.
const PAUSE: Duration = START_TIMEOUT.saturating_add(Duration::from_millis(500));
/// Between the tries of a client that finds nobody.
const RETRY: Duration = Duration::from_millis(50);
/// Random moments lie this close together.
const SPREAD_MILLIS: u64 = 700;

/// Plays a fault to its end and judges what became of the execution.
pub async fn play(lane: &Lane, fault: &Fault, seed: u64) -> anyhow::Result<Verdict> {
    if fault.is_on_used_target() {
        rival::use_target(lane, fault).await?;
    }
    if fault.is_about_rivals() {
        return rival::play(lane, fault).await;
    }
    let process = lane.environment.service(fault.service);
    process.stop().await?;
    lane.start(fault.service, &fault.failpoint()).await?;
    let (over, is_over) = watch::channel(false);
    let told = async {
        let ending = tell(lane, fault).await?;
        over.send_replace(true);
        anyhow::Ok(ending)
    };
    let (ending, ()) = tokio::try_join!(told, strike(lane, fault, seed, is_over))?;
    judge(lane, &[ending]).await.map(|mut verdicts| verdicts.remove(0))
}

/// Applies an execution, sees it through to its end, and deletes it.
async fn tell(lane: &Lane, fault: &Fault) -> anyhow::Result<Ending> {
    let environment = &lane.environment;
    let name = fault.slug();
    let target = format!("shop/Deployment/{name}");
    let cancelled = fault.is_in_cancel();
    let parameters: &[(&str, &str)] = if cancelled { &[("SLEEP_SECONDS", "600")] } else { &[] };
    let created = environment.apply(&environment.execution(&name, &target, parameters)).await?;
    if cancelled {
        environment.phase(&name, "Running", LIMIT).await?;
        cancel(lane, &created).await?;
    }
    let settled = environment.settled(&name, LIMIT).await?;
    environment.executions().delete(&name, &DeleteParams::default()).await?;
    wait::until_gone(&environment.executions(), &name, LIMIT).await?;
    Ok(Ending::of(&settled, if cancelled { "Failed" } else { "Completed" }))
}

/// Asks for the run to be stopped until somebody answers.
async fn cancel(lane: &Lane, execution: &WorkflowExecution) -> anyhow::Result<()> {
    let security = lane.environment.security()?;
    let mut client = ExecutionServiceClient::new(channel::connect(&lane.switch.address(), &security)?);
    let owner = Owner {
        namespace: execution.namespace().context("an execution has a namespace")?,
        name: execution.name_any(),
        uid: execution.uid().context("an execution has a uid")?,
    };
    let request = CancelExecutionRequest {
        owner: Some(owner),
        target: execution.spec.target_resource.clone(),
        reason: "a person asked for it".into(),
    };
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

/// Does to the service what the fault says, and brings it back.
async fn strike(lane: &Lane, fault: &Fault, seed: u64, over: watch::Receiver<bool>) -> anyhow::Result<()> {
    let process = lane.environment.service(fault.service);
    match (fault.action, fault.place) {
        (_, Place::Anywhere(count)) => harass(lane, fault.service, count, seed).await,
        (Action::Kill, _) => {
            reached(process.exited(LIMIT), over).await?;
            lane.start(fault.service, "").await
        }
        (Action::Pause, _) => {
            reached(process.paused(LIMIT), over).await?;
            // The pause itself: time has to pass while it stands still.
            sleep(PAUSE).await;
            process.resume();
            Ok(())
        }
        _ => {
            reached(process.paused(LIMIT), over.clone()).await?;
            take_over(lane, process, over).await
        }
    }
}

/// Waits for a fault to happen; not for ever once it can no longer happen.
async fn reached(
    happened: impl Future<Output = anyhow::Result<()>>,
    mut over: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let too_late = async {
        let _ = over.wait_for(|over| *over).await;
        sleep(TRAILING).await;
    };
    tokio::select! {
        happened = happened => happened,
        () = too_late => bail!("the execution ended and the failpoint was never reached"),
    }
}

/// Another process does the work of a paused one, which goes on when everything is over.
async fn take_over(
    lane: &Lane,
    paused: &ServiceProcess,
    mut over: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let service = paused.service();
    let other = lane.start_replica(service).await?;
    if service == Service::Executor {
        lane.switch.turn(other.address());
    }
    over.wait_for(|over| *over).await.context("the execution did not come to its end")?;
    paused.resume();
    // It ends when it is through with what it has in hand.
    paused.stop().await.context("resume late")?;
    lane.start(service, "").await?;
    lane.switch.turn(&lane.environment.executor_address());
    Ok(())
}

/// Kills a service at random moments and starts it again.
async fn harass(lane: &Lane, service: Service, count: u32, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..count {
        // The moment itself.
        sleep(Duration::from_millis(random.random_range(0..SPREAD_MILLIS))).await;
        lane.environment.service(service).kill();
        lane.start(service, "").await?;
    }
    Ok(())
}
