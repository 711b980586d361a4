//! What happens to a start that stands still while its target goes to somebody else: to another
//! attempt, or to nobody because the attempt is released. Spoken to the executors directly, as by
//! a client that has no controller.

use std::time::Duration;

use anyhow::{Context as _, bail};
use evenkeel_kit::{channel, channel::Connection, rpc};
use evenkeel_proto::execution::v1::{
    ExecutionSpec, GetTargetRequest, Owner, ReleaseExecutionRequest, ReleaseState, StartExecutionRequest,
    execution_service_client::ExecutionServiceClient,
};
use evenkeel_test_kit::Service;
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::{
    fault::{Action, Engine, Fault},
    lane::{Lane, START_TIMEOUT},
    verdict::{Verdict, judge_rivals},
};

/// A pod has 30 seconds to end, and some take them all.
const LIMIT: Duration = Duration::from_secs(90);
/// Long enough for the target to be taken over, if it ever is.
const PATIENCE: Duration = START_TIMEOUT.saturating_add(Duration::from_secs(2));
const RETRY: Duration = Duration::from_millis(50);

type Client = ExecutionServiceClient<Connection>;

/// How a start was answered: with success, or with the reason why not.
type Answer = Result<(), String>;

/// Plays a fault to its end and judges what became of the attempts.
pub async fn play(lane: &Lane, fault: &Fault) -> anyhow::Result<Verdict> {
    let process = lane.environment.service(Service::Executor);
    process.stop().await?;
    lane.start(Service::Executor, &fault.failpoint()).await?;
    let mut slow = client(lane, &lane.environment.executor_address())?;
    let first = attempt(lane, fault, "first", fault.engine)?;
    let second = attempt(lane, fault, "second", fault.rival)?;
    let token = token(&mut slow, &first).await?;
    let started = tokio::spawn(start(slow.clone(), first.clone(), token));
    if fault.is_killed() {
        process.exited(LIMIT).await?;
    } else {
        process.paused(LIMIT).await?;
    }
    let other = lane.start_replica(Service::Executor, &[]).await?;
    let mut quick = client(lane, other.address())?;
    let meanwhile = match fault.action {
        Action::Release => release(&mut quick, &first).await.map(|()| Err("not asked".to_owned()))?,
        _ => take(&mut quick, &second).await?,
    };
    let late = if fault.is_killed() {
        lane.start(Service::Executor, "").await?;
        start(slow, first.clone(), token).await
    } else {
        process.resume();
        started.await?
    };
    // Whatever it still had in hand is done when it has ended.
    process.stop().await?;
    let verdict = judge_rivals(lane, [(&uid(&first), &late), (&uid(&second), &meanwhile)], fault).await;
    for spec in [&first, &second] {
        release(&mut quick, spec).await?;
    }
    lane.start(Service::Executor, "").await?;
    let mut verdict = verdict?;
    verdict.leftovers = crate::verdict::leftovers(&lane.environment).await?;
    Ok(verdict)
}

fn client(lane: &Lane, address: &str) -> anyhow::Result<Client> {
    Ok(ExecutionServiceClient::new(channel::connect(address, &lane.environment.security()?)?))
}

/// Makes the target of this fault one that was used before.
pub async fn use_target(lane: &Lane, fault: &Fault) -> anyhow::Result<()> {
    let mut client = client(lane, &lane.environment.executor_address())?;
    release(&mut client, &attempt(lane, fault, "earlier", fault.engine)?).await
}

/// An attempt on the target of this fault, that runs until it is released.
fn attempt(lane: &Lane, fault: &Fault, which: &str, engine: Engine) -> anyhow::Result<ExecutionSpec> {
    let name = format!("{}-{which}", fault.slug());
    let owner =
        Owner { namespace: lane.environment.namespace().to_owned(), uid: format!("uid-of-{name}"), name };
    Ok(ExecutionSpec {
        owner: Some(owner),
        target: format!("shop/Deployment/{}", fault.slug()),
        engine: engine.name().into(),
        workflow_id: "rivals".into(),
        bundle: lane.workflow(engine)?.into(),
        parameters: [("SLEEP_SECONDS".to_owned(), "600".to_owned())].into(),
        ..ExecutionSpec::default()
    })
}

fn uid(spec: &ExecutionSpec) -> String {
    spec.owner.as_ref().map(|owner| owner.uid.clone()).unwrap_or_default()
}

async fn token(client: &mut Client, spec: &ExecutionSpec) -> anyhow::Result<i64> {
    let request = GetTargetRequest { target: spec.target.clone() };
    let target = client.get_target(request).await?.into_inner().target;
    Ok(target.context("every target has a lock to read")?.token)
}

async fn start(mut client: Client, spec: ExecutionSpec, expected_token: i64) -> Answer {
    let request = StartExecutionRequest { spec: Some(spec), expected_token };
    client.start_execution(request).await.map(drop).map_err(|status| reason(&status))
}

fn reason(status: &Status) -> String {
    rpc::reason(status).unwrap_or_else(|| status.code().to_string())
}

/// Asks for the target until it is given, or was not for so long that it never will be.
async fn take(client: &mut Client, spec: &ExecutionSpec) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    loop {
        let token = token(client, spec).await?;
        let answer = start(client.clone(), spec.clone(), token).await;
        if answer.is_ok() || begun.elapsed() > PATIENCE {
            return Ok(answer);
        }
        sleep(RETRY).await;
    }
}

/// Releases an attempt, whatever has become of it.
async fn release(client: &mut Client, spec: &ExecutionSpec) -> anyhow::Result<()> {
    let request = ReleaseExecutionRequest { owner: spec.owner.clone(), target: spec.target.clone() };
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        let answer = client.release_execution(request.clone()).await?.into_inner();
        if answer.state() == ReleaseState::Released {
            return Ok(());
        }
    }
    bail!("{} is still being released after {LIMIT:?}", uid(spec))
}
