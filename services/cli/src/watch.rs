//! `evenkeel watch`: live progress of one execution until it ends, or of all of them.

use std::time::Duration;

use clap::Args;
use evenkeel_kit::config::parse_duration;
use futures::{StreamExt as _, stream::BoxStream};
use jiff::SignedDuration;
use kube::{
    api::DynamicObject,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};

use crate::{
    cluster::{Cluster, ClusterArgs},
    error::{Error, Result},
    execution::{self, Execution},
    output,
    progress::Progress,
};

const TICK: Duration = Duration::from_secs(1);

/// What to follow, and for how long.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// One execution, until it ends; all of the namespace, for ever, when absent.
    pub name: Option<String>,
    /// Stop after this long (exit code 6); the execution goes on.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION", requires = "name")]
    pub timeout: Option<Duration>,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: WatchArgs) -> Result<()> {
    let cluster = Cluster::open(cluster).await?;
    match args.name {
        Some(name) => outcome(&until_end(&cluster, &name, args.timeout, false).await?),
        None => all(&cluster).await,
    }
}

/// Success, or the failure of an execution that has ended.
pub fn outcome(one: &Execution) -> Result<()> {
    match one.phase() {
        "Failed" => {
            let details = one.status().and_then(|status| status.failure_details.as_ref());
            let reason = details.map_or_else(|| "Unknown".to_owned(), |details| details.reason.clone());
            Err(Error::ExecutionFailed { name: one.name(), reason })
        }
        _ => Ok(()),
    }
}

/// Follows one execution until it has ended.
pub async fn until_end(
    cluster: &Cluster,
    name: &str,
    limit: Option<Duration>,
    silent: bool,
) -> Result<Execution> {
    let mut progress = Progress::of_one(silent);
    let followed = match limit {
        Some(limit) => tokio::time::timeout(limit, follow(cluster, name, &mut progress)).await,
        None => Ok(follow(cluster, name, &mut progress).await),
    };
    progress.clear();
    followed.unwrap_or_else(|_| {
        let limit = SignedDuration::try_from(limit.unwrap_or_default()).unwrap_or(SignedDuration::MAX);
        Err(Error::Timeout {
            name: name.to_owned(),
            phase: progress.phase().to_owned(),
            limit: output::span(limit),
        })
    })
}

async fn follow(cluster: &Cluster, name: &str, progress: &mut Progress) -> Result<Execution> {
    // Asked for first, so that a wrong name or an absent cluster is said at once.
    let first = execution::get(cluster, name).await?;
    progress.take(first.clone())?;
    if first.is_terminal() {
        return Ok(first);
    }
    let mut events = events(cluster, Some(name));
    let mut tick = tokio::time::interval(TICK);
    let deleted = || Error::NotFound(format!("execution '{name}' was deleted before it ended"));
    let mut listed = true;
    loop {
        let event = tokio::select! {
            _ = tick.tick() => {
                progress.tick();
                continue;
            }
            event = events.next() => event.ok_or_else(|| lost(cluster))?,
        };
        match seen(event, progress) {
            // Another uid under the name is another execution.
            Some(Seen::Here(one)) if one.typed.metadata.uid != first.typed.metadata.uid => {
                return Err(deleted());
            }
            Some(Seen::Here(one)) => {
                listed = true;
                progress.take(*one.clone())?;
                if one.is_terminal() {
                    return Ok(*one);
                }
            }
            Some(Seen::Gone(_)) => return Err(deleted()),
            Some(Seen::ListBegins) => listed = false,
            // It may have gone while the watch was broken.
            Some(Seen::ListEnds) if !listed => return Err(deleted()),
            Some(Seen::ListEnds) | None => {}
        }
    }
}

async fn all(cluster: &Cluster) -> Result<()> {
    let mut progress = Progress::of_many();
    for one in execution::list(cluster, false).await? {
        progress.take(one)?;
    }
    let mut events = events(cluster, None);
    while let Some(event) = events.next().await {
        match seen(event, &mut progress) {
            Some(Seen::Here(one)) => progress.take(*one)?,
            Some(Seen::Gone(one)) => progress.gone(&one)?,
            Some(Seen::ListBegins | Seen::ListEnds) | None => {}
        }
    }
    Err(lost(cluster))
}

enum Seen {
    Here(Box<Execution>),
    Gone(Box<Execution>),
    ListBegins,
    ListEnds,
}

/// What an event tells of an execution. Losing the connection is no end: the watch begins anew.
fn seen(event: watcher::Result<Event<DynamicObject>>, progress: &mut Progress) -> Option<Seen> {
    match event {
        Ok(Event::Apply(object) | Event::InitApply(object)) => Some(Seen::Here(Box::new(object.into()))),
        Ok(Event::Delete(object)) => Some(Seen::Gone(Box::new(object.into()))),
        Ok(Event::Init) => Some(Seen::ListBegins),
        Ok(Event::InitDone) => Some(Seen::ListEnds),
        Err(error) => {
            progress.note(&format!("the watch broke ({}); trying again", crate::error::root(&error)));
            None
        }
    }
}

fn events(
    cluster: &Cluster,
    name: Option<&str>,
) -> BoxStream<'static, watcher::Result<Event<DynamicObject>>> {
    let mut config = watcher::Config::default();
    if let Some(name) = name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    let api = execution::api(cluster);
    watcher(api, config).default_backoff().boxed()
}

fn lost(cluster: &Cluster) -> Error {
    Error::ClusterUnreachable { server: cluster.server.clone(), cause: "the watch ended".to_owned() }
}
