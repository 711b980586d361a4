//! The executions of a soak, and what people do with them.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use evenkeel_test_kit::evidence::holds;
use kube::{ResourceExt as _, api::DeleteParams};
use rand::{RngExt as _, rngs::StdRng};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::scene::{PERSON, Scene};
use crate::{
    ending::{Ending, Outcome},
    story::{CANCEL_ANNOTATION, annotate, clear},
};

/// On few enough targets that executions wait for each other.
const TARGETS: usize = 10;
/// So many at a time; more would only wait.
const AT_A_TIME: usize = 24;
/// One about every second and a half.
const GAP_MILLIS: std::ops::Range<u64> = 700..2_300;
/// Longer than anything waits, behind others, on two processors, while services are struck.
const LIMIT: Duration = Duration::from_secs(300);

/// What becomes of an execution.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Succeeds,
    /// It fails, and a person clears the target.
    Fails,
    /// A person cancels it while it runs, and deletes it then.
    Cancelled,
    /// A person cancels it before it starts.
    Withdrawn,
    /// Nobody has its engine.
    Refused,
    /// A person deletes it while it runs.
    Removed,
}

impl Fate {
    fn choose(random: &mut StdRng) -> Self {
        match random.random_range(0..100) {
            0..50 => Self::Succeeds,
            50..65 => Self::Fails,
            65..78 => Self::Cancelled,
            78..83 => Self::Withdrawn,
            83..87 => Self::Refused,
            _ => Self::Removed,
        }
    }

    fn parameters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Fails => &[("EXIT_CODE", "7")],
            Self::Cancelled | Self::Removed => &[("SLEEP_SECONDS", "600")],
            _ => &[],
        }
    }
}

/// Applies executions one after the other until a moment, and sees each through.
pub(super) async fn trickle(
    scene: &Arc<Scene>,
    mut random: StdRng,
    until: Instant,
) -> anyhow::Result<Vec<Ending>> {
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut under_way = JoinSet::new();
    let mut endings = Vec::new();
    for nth in 0.. {
        let pause = Duration::from_millis(random.random_range(GAP_MILLIS));
        let (fate, target) = (Fate::choose(&mut random), random.random_range(0..TARGETS));
        let place = room.clone().acquire_owned().await?;
        // The trickle: one drop, and nothing for a while.
        sleep(pause).await;
        if Instant::now() >= until {
            break;
        }
        let scene = scene.clone();
        under_way.spawn(async move {
            let name = format!("soak-{nth}");
            let seen = see_through(&scene, fate, &name, target).await;
            drop(place);
            seen.with_context(|| format!("{name}, which {fate:?}"))
        });
        while let Some(ended) = under_way.try_join_next() {
            endings.push(ended??);
        }
    }
    while let Some(ended) = under_way.join_next().await {
        endings.push(ended??);
    }
    Ok(endings)
}

async fn see_through(scene: &Scene, fate: Fate, name: &str, target: usize) -> anyhow::Result<Ending> {
    let environment = &scene.environment;
    let executions = environment.executions();
    let target = format!("shop/Deployment/target-{target}");
    let mut execution = environment.execution(name, &target, fate.parameters());
    match fate {
        Fate::Refused => execution.spec.workflow_ref.execution_engine = Some("argo".to_owned()),
        Fate::Withdrawn => {
            let why = "it was a mistake".to_owned();
            execution.annotations_mut().insert(CANCEL_ANNOTATION.to_owned(), why);
        }
        _ => {}
    }
    environment.apply(&execution).await?;
    let runs = async || scene.book.until(name, "a run", LIMIT, |page| page.phase() == "Running").await;
    let settled = async || scene.book.until(name, "the end", LIMIT, super::book::Page::is_settled).await;
    let gone = async || scene.book.until(name, "its deletion", LIMIT, |page| page.is_gone).await;
    let (page, outcome) = match fate {
        Fate::Succeeds => (settled().await?, Outcome::Completed),
        Fate::Withdrawn | Fate::Refused => (settled().await?, Outcome::NeverStarted),
        Fate::Fails => {
            settled().await?;
            clear(&scene.person, name, PERSON).await?;
            let is_told = |page: &super::book::Page| holds(&page.object, "Cleared");
            (scene.book.until(name, "the clearance", LIMIT, is_told).await?, Outcome::Cleared)
        }
        Fate::Cancelled => {
            runs().await?;
            annotate(&executions, name, "it takes too long").await?;
            let page = settled().await?;
            executions.delete(name, &DeleteParams::default()).await?;
            (page, Outcome::Failed)
        }
        Fate::Removed => {
            runs().await?;
            executions.delete(name, &DeleteParams::default()).await?;
            (gone().await?, Outcome::Removed)
        }
    };
    Ok(Ending::of(&page.object, outcome))
}
