//! Makes work: at a steady pace, or as fast as it is taken.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_test_kit::Environment;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::PostParams;

use crate::{
    raw::Raw,
    timeline::{Stage, Timeline},
};

/// How many requests are on their way at once when work is made as fast as it is taken.
pub const CONCURRENCY: usize = 32;

/// What is made.
#[derive(Clone)]
pub enum Maker {
    /// Executions.
    Executions(Arc<Environment>),
    /// Runs, by the client that does the least.
    Raw(Arc<Raw>),
}

impl Maker {
    async fn make(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Executions(environment) => {
                let target = format!("shop/Deployment/{name}");
                let execution = environment.execution(name, &target, &[("AMOUNT", "1")]);
                environment.executions().create(&PostParams::default(), &execution).await?;
                Ok(())
            }
            Self::Raw(raw) => raw.launch(name).await,
        }
    }
}

/// Makes one thing after another at this pace, however long each takes. A thing counts from the
/// moment it is due, so that a slow start of it is not forgiven.
pub async fn pace(
    maker: &Maker,
    timeline: &Timeline,
    prefix: &str,
    per_second: u32,
    seconds: u32,
) -> anyhow::Result<usize> {
    let begun = Instant::now();
    let count = per_second * seconds;
    let made = stream::iter(0..count).map(|nth| {
        let (maker, timeline, name) = (maker.clone(), timeline.clone(), format!("{prefix}{nth}"));
        let due = begun + Duration::from_secs(1) * nth / per_second;
        tokio::spawn(async move {
            tokio::time::sleep_until(due.into()).await;
            timeline.note_at(&name, Stage::Asked, due);
            maker.make(&name).await
        })
    });
    let all: Vec<_> = made.collect().await;
    for one in all {
        one.await??;
    }
    Ok(count as usize)
}

/// Makes so many things as fast as they are taken.
pub async fn burst(maker: &Maker, timeline: &Timeline, prefix: &str, count: usize) -> anyhow::Result<()> {
    let made = stream::iter(0..count).map(|nth| {
        let (maker, timeline, name) = (maker.clone(), timeline.clone(), format!("{prefix}{nth}"));
        async move {
            timeline.note(&name, Stage::Asked);
            maker.make(&name).await
        }
    });
    made.buffer_unordered(CONCURRENCY).try_collect().await
}
