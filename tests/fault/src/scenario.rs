//! One fault, from fresh executions until nothing is left of them.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use evenkeel_test_kit::{Environment, Replica, Service, ServiceProcess};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    process::Command,
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    fault::{Action, Fault, Place},
    lane::{Lane, START_TIMEOUT},
    rival,
    story::LIMIT,
    verdict::{Verdict, judge},
};

/// How long a fault may come after the end of its execution.
const TRAILING: Duration = Duration::from_secs(5);
/// A pause that outlasts the start timeout.
const PAUSE: Duration = START_TIMEOUT.saturating_add(Duration::from_millis(500));
/// Between two looks at who leads.
const MOMENT: Duration = Duration::from_millis(20);
/// Random moments lie this close together.
const SPREAD_MILLIS: u64 = 700;

/// Turns true when every execution of a row is gone.
type Over = watch::Receiver<bool>;

/// Plays a fault to its end and judges what became of the executions.
pub async fn play(lane: &Lane, fault: &Fault, seed: u64) -> anyhow::Result<Verdict> {
    fault.story.prepare(lane, fault).await?;
    if fault.is_about_rivals() {
        return rival::play(lane, fault).await;
    }
    let standby = arm(lane, fault).await?;
    let (over, is_over) = watch::channel(false);
    let told = async {
        let endings = fault.story.tell(lane, fault).await?;
        over.send_replace(true);
        anyhow::Ok(endings)
    };
    let (endings, ()) = tokio::try_join!(told, strike(lane, fault, standby, seed, is_over))?;
    if !fault.settings().is_empty() {
        // The settings were for this row alone.
        let process = lane.environment.service(fault.service);
        process.stop().await?;
        lane.start(fault.service, "").await?;
    }
    Verdict::of_last(judge(&lane.environment, &lane.launches, &endings).await?)
}

/// Starts the service that is to be struck, and whoever has to be there beside it.
async fn arm(lane: &Lane, fault: &Fault) -> anyhow::Result<Option<Replica>> {
    let armed = lane.environment.service(fault.armed());
    armed.stop().await?;
    if fault.is_first_of_all() {
        forget_leaders(&lane.environment).await?;
    }
    lane.launch(armed, &fault.failpoint(), &fault.settings())?;
    if fault.is_at_once() {
        return Ok(None);
    }
    armed.ready().await?;
    let is_one_of_two = fault.action == Action::Both && matches!(fault.place, Place::Anywhere(_));
    if fault.action == Action::Failover || fault.is_at_end() {
        leading(armed).await?;
    } else if !is_one_of_two {
        return Ok(None);
    }
    lane.start_replica(fault.service, &fault.settings()).await.map(Some)
}

/// Removes the Lease of the leaders there were.
async fn forget_leaders(environment: &Environment) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(environment.client(), environment.namespace());
    leases
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .context("delete Leases")?;
    Ok(())
}

/// Waits until a controller leads.
async fn leading(process: &ServiceProcess) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        if process.metrics().await?.get("evenkeel_controller_leader").is_some_and(|leads| *leads > 0.0) {
            return Ok(());
        }
        ensure!(begun.elapsed() < LIMIT, "it does not lead after {LIMIT:?}:\n{}", process.log_tail());
        // Only its metrics tell.
        sleep(MOMENT).await;
    }
}

/// Does to the service what the fault says, and brings it back.
async fn strike(
    lane: &Lane,
    fault: &Fault,
    standby: Option<Replica>,
    seed: u64,
    over: Over,
) -> anyhow::Result<()> {
    let process = lane.environment.service(fault.service);
    if let Place::Anywhere(count) = fault.place {
        harass(lane, fault, count, seed).await?;
        return see_out(fault, standby, over).await;
    }
    if fault.is_at_end() {
        lane.environment.phase(&fault.slug(), "Running", LIMIT).await?;
        ask_to_end(process).await?;
    }
    reach(lane, fault, over.clone()).await?;
    match fault.action {
        Action::Kill => bring_back(lane, fault).await,
        Action::Pause => {
            // The pause itself: time has to pass while it stands still.
            sleep(PAUSE).await;
            process.resume();
            Ok(())
        }
        Action::Failover => {
            see_out(fault, standby, over).await?;
            bring_back(lane, fault).await
        }
        Action::Both => {
            let other = lane.start_replica(fault.service, &fault.settings()).await?;
            process.resume();
            see_out(fault, Some(other), over).await
        }
        _ => {
            let other = match standby {
                Some(other) => other,
                None => lane.start_replica(fault.service, &fault.settings()).await?,
            };
            take_over(lane, fault, other, over).await
        }
    }
}

/// Waits until the fault happens: the service is dead, or stands still.
async fn reach(lane: &Lane, fault: &Fault, over: Over) -> anyhow::Result<()> {
    let (armed, process) = (lane.environment.service(fault.armed()), lane.environment.service(fault.service));
    if fault.failpoint().ends_with("kill") {
        return reached(armed.exited(LIMIT), over).await;
    }
    reached(armed.paused(LIMIT), over).await?;
    if fault.armed() != fault.service {
        if fault.action == Action::Kill {
            process.kill();
        } else {
            process.pause();
        }
        armed.resume();
    }
    Ok(())
}

/// Waits for a fault to happen; not for ever once it can no longer happen.
async fn reached(happened: impl Future<Output = anyhow::Result<()>>, mut over: Over) -> anyhow::Result<()> {
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
async fn take_over(lane: &Lane, fault: &Fault, other: Replica, over: Over) -> anyhow::Result<()> {
    if fault.service == Service::Executor {
        lane.switch.turn(other.address());
    }
    let mut is_over = over.clone();
    is_over.wait_for(|over| *over).await.context("the execution did not come to its end")?;
    let paused = lane.environment.service(fault.service);
    paused.resume();
    // It ends when it is through with what it has in hand.
    paused.stop().await.context("resume late")?;
    bring_back(lane, fault).await?;
    lane.switch.turn(&lane.environment.executor_address());
    see_out(fault, Some(other), over).await
}

/// Waits until everything is over, and has another process end in good order: a leader that is
/// killed would be waited for in the next row.
async fn see_out(fault: &Fault, other: Option<Replica>, mut over: Over) -> anyhow::Result<()> {
    over.wait_for(|over| *over).await.context("the execution did not come to its end")?;
    let Some(other) = other else { return Ok(()) };
    other.stop().await.with_context(|| format!("end the other {}", fault.service))
}

/// Starts the service again as the row has it.
async fn bring_back(lane: &Lane, fault: &Fault) -> anyhow::Result<()> {
    let process = lane.environment.service(fault.service);
    lane.start_process(process, "", &fault.settings()).await
}

/// Asks a process to end, without waiting: it is to stand still before it has.
async fn ask_to_end(process: &ServiceProcess) -> anyhow::Result<()> {
    let pid = process.pid().context("it does not run")?.to_string();
    let status = Command::new("kill").args(["-s", "TERM", &pid]).status().await.context("run kill")?;
    ensure!(status.success(), "kill: {status}");
    Ok(())
}

/// Kills a service at random moments and starts it again.
async fn harass(lane: &Lane, fault: &Fault, count: u32, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..count {
        // The moment itself.
        sleep(Duration::from_millis(random.random_range(0..SPREAD_MILLIS))).await;
        lane.environment.service(fault.service).kill();
        bring_back(lane, fault).await?;
    }
    Ok(())
}
