//! `evenkeel.execution.v1` on the wire: understand, call, answer.

use std::{pin::Pin, time::Instant};

use evenkeel_kit::{failpoint, rpc, rpc::Coded as _, shutdown::CancellationToken};
use evenkeel_proto::execution::v1::{self as proto, execution_service_server::ExecutionService};
use futures::Stream;
use tonic::{Request, Response, Status};

use crate::{
    attempt::Owner,
    engine::{Found, Removal},
    error::{Error, Result},
    marks::wire_time,
    metrics::Metrics,
    parse, release,
    runs::{Cursor, Runs},
    start::{Started, Starter},
};
use evenkeel_core::{start::Stage, target::Target};

/// Serves executions.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) starter: Starter,
    pub(crate) runs: Runs,
    pub(crate) default_timeout: std::time::Duration,
    pub(crate) metrics: Metrics,
    /// Cancelled when the service is to end.
    pub(crate) ending: CancellationToken,
}

type Reply<T> = std::result::Result<Response<T>, Status>;

fn reply<T>(result: Result<T>) -> Reply<T> {
    result.map(Response::new).map_err(|error| rpc::status("executor", &error))
}

impl Service {
    fn list_engines(&self) -> proto::ListEnginesResponse {
        let engines = self.starter.engines.iter().map(|engine| proto::Engine {
            name: engine.name().to_owned(),
            available: engine.unavailable().is_none(),
            unavailable_reason: engine.unavailable().unwrap_or_default(),
            capabilities: engine.capabilities().iter().map(|&capability| capability.into()).collect(),
        });
        proto::ListEnginesResponse { engines: engines.collect() }
    }

    async fn target(&self, target: &Target) -> Result<proto::Target> {
        let run_name = target.run_name();
        let stored = self.starter.leases.read(&run_name).await?;
        // A run that the watches do not know is either not there or so new that whoever acts on this
        // answer meets it: a start looks for itself. One that they know may be gone, so it is looked at; so
        // is one that a Lease speaks for, which may be where its engine could not be followed for a while.
        let is_known =
            !self.runs.is_synced() || self.runs.get(&run_name).is_some() || stored.holder.is_some();
        let found = if is_known { self.starter.engines.look(&run_name).await? } else { None };
        let lock = stored.lock.as_ref();
        Ok(proto::Target {
            target: target.as_str().to_owned(),
            token: lock.map_or(0, |lock| lock.token),
            released_uid: lock.and_then(|lock| lock.released.clone()).unwrap_or_default(),
            held_since: stored.since.map(wire_time),
            holder: stored.holder.map(Into::into),
            execution: match found {
                Some((_, found)) => Some(self.best_facts(found).await),
                None => None,
            },
            run_name,
        })
    }

    /// What the watches know of this very run includes its pods, unless the object itself is newer.
    async fn best_facts(&self, found: Found) -> proto::Execution {
        let seen = self.runs.get(&found.facts.run_name).filter(|seen| seen.run_uid == found.uid);
        match seen.filter(|seen| seen.state == found.facts.state) {
            Some(seen) => seen,
            None => self.starter.engines.tell(found).await,
        }
    }

    async fn start(&self, request: proto::StartExecutionRequest) -> Result<proto::StartExecutionResponse> {
        let attempt = parse::attempt(request.spec, self.default_timeout)?;
        let Started { run, adopted } = self.starter.start(&attempt, request.expected_token).await?;
        Ok(proto::StartExecutionResponse { execution: Some(self.best_facts(run).await), adopted })
    }

    /// From the watches if they have it; what they do not have may only be late, so it is looked for. Of
    /// a run that goes on they tell nothing new while its engine is not there, so that is looked for, too.
    async fn get(&self, owner: &Owner, target: &Target) -> Result<proto::Execution> {
        let run = target.run_name();
        let is_current = |facts: &proto::Execution| {
            let uid = facts.owner.as_ref().map(|owner| owner.uid.as_str());
            uid == Some(&owner.uid) && facts.state() != proto::ExecutionState::Inert
        };
        let is_followed = |facts: &proto::Execution| {
            let engine = self.starter.engines.named(&facts.engine);
            is_over(facts) || engine.is_ok_and(|(_, engine)| engine.unavailable().is_none())
        };
        let facts = self.runs.current(&run).await.filter(is_current);
        if let Some(facts) = facts.filter(is_followed) {
            return Ok(facts);
        }
        let found = self.starter.engines.owned(&run, &owner.uid).await?;
        match found {
            Some((_, found)) => Ok(self.best_facts(found).await),
            None => Err(Error::NotFound),
        }
    }

    async fn cancel(&self, owner: &Owner, target: &Target, reason: &str) -> Result<Option<proto::Execution>> {
        let run = target.run_name();
        let engines = &self.starter.engines;
        let Some((engine, found)) = engines.owned(&run, &owner.uid).await? else { return Ok(None) };
        let engine = engines.at(engine);
        failpoint::hit("executor.cancel.before");
        match found.stage {
            Stage::Done => {}
            Stage::Live => engine.stop(&run, &found.uid, reason).await?,
            Stage::Inert => {
                let removal = Removal { uid: &found.uid, stage: found.stage, unchanged_since: None };
                engine.remove(&run, removal).await?;
            }
        }
        failpoint::hit("executor.cancel.after");
        match engines.owned(&run, &owner.uid).await? {
            Some((_, found)) => Ok(Some(self.best_facts(found).await)),
            None => Ok(None),
        }
    }

    async fn release(&self, owner: &Owner, target: &Target) -> Result<proto::ReleaseState> {
        let Starter { leases, engines, .. } = &self.starter;
        let finished = self.runs.get(&target.run_name()).filter(|run| is_finished(run, owner));
        let is_done = release::release(leases, engines, owner, target, finished).await?;
        Ok(if is_done { proto::ReleaseState::Released } else { proto::ReleaseState::Removing })
    }

    async fn explain(&self, spec: Option<proto::ExecutionSpec>) -> Result<proto::ExplainExecutionResponse> {
        let attempt = parse::attempt(spec, self.default_timeout)?;
        let (_, engine) = self.starter.engines.named(&attempt.engine)?;
        let target = self.target(&attempt.target).await?;
        let missing = match engine.check(&attempt).await {
            Err(error @ Error::DependencyMissing(_)) => Some(error),
            other => other.map(|()| None)?,
        };
        let rendered = engine.render(&attempt, target.token + 1).await?;
        let problems = missing.iter().chain(&rendered.refusal);
        Ok(proto::ExplainExecutionResponse {
            problems: problems
                .map(|error| proto::Problem { reason: error.reason().to_owned(), message: error.to_string() })
                .collect(),
            manifests: rendered.manifests,
            target: Some(target),
        })
    }

    /// Everything first, or what changed since a resume token; then every change.
    fn watch(&self, resume_token: &str, uid: Option<String>) -> impl Stream<Item = WatchItem> + use<> {
        let runs = self.runs.clone();
        let resumed = runs.resume(resume_token);
        async_stream(self.ending.clone(), move |out| async move {
            runs.synced().await;
            let (all, mut cursor) = match resumed {
                Some(cursor) => (Vec::new(), cursor),
                None => runs.snapshot(),
            };
            send(&out, &runs, all, cursor, uid.as_deref()).await?;
            let synced = proto::watch_executions_response::Event::Synced(proto::Synced {});
            out.send(Ok(item(&runs, synced, cursor))).await.ok()?;
            loop {
                match runs.since(cursor) {
                    Ok((changes, now)) => {
                        cursor = now;
                        send(&out, &runs, changes, cursor, uid.as_deref()).await?;
                    }
                    Err(error) => {
                        let _ = out.send(Err(rpc::status("executor", &error))).await;
                        return None;
                    }
                }
                tokio::select! {
                    () = runs.changed(cursor) => {}
                    () = out.closed() => return None,
                }
            }
        })
    }
}

/// Whether this is a run of that owner, and it will not run any more.
fn is_finished(run: &proto::Execution, owner: &Owner) -> bool {
    let is_theirs = run.owner.as_ref().is_some_and(|of| of.uid == owner.uid);
    is_theirs && is_over(run)
}

fn is_over(run: &proto::Execution) -> bool {
    matches!(run.state(), proto::ExecutionState::Succeeded | proto::ExecutionState::Failed)
}

type WatchItem = std::result::Result<proto::WatchExecutionsResponse, Status>;
type Out = tokio::sync::mpsc::Sender<WatchItem>;

/// A stream that a task writes to until its reader is gone or the service ends, which would otherwise
/// wait for its readers. A slow reader holds up its own task only.
fn async_stream<F>(
    ending: CancellationToken,
    write: impl FnOnce(Out) -> F + Send + 'static,
) -> impl Stream<Item = WatchItem>
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let (out, read) = tokio::sync::mpsc::channel(64);
    tokio::spawn(ending.run_until_cancelled_owned(write(out)));
    tokio_stream::wrappers::ReceiverStream::new(read)
}

async fn send(
    out: &Out,
    runs: &Runs,
    changes: Vec<proto::Execution>,
    cursor: Cursor,
    uid: Option<&str>,
) -> Option<()> {
    for facts in changes {
        let owner = facts.owner.as_ref().map(|owner| owner.uid.as_str());
        if uid.is_none() || uid == owner {
            let event = proto::watch_executions_response::Event::Execution(facts);
            out.send(Ok(item(runs, event, cursor))).await.ok()?;
        }
    }
    Some(())
}

fn item(
    runs: &Runs,
    event: proto::watch_executions_response::Event,
    cursor: Cursor,
) -> proto::WatchExecutionsResponse {
    proto::WatchExecutionsResponse { event: Some(event), resume_token: runs.token(cursor) }
}

fn outcome<T>(result: &Result<T>) -> &'static str {
    result.as_ref().map_or_else(rpc::Coded::reason, |_| "OK")
}

#[tonic::async_trait]
impl ExecutionService for Service {
    type WatchExecutionsStream = Pin<Box<dyn Stream<Item = WatchItem> + Send>>;

    async fn list_engines(&self, _: Request<proto::ListEnginesRequest>) -> Reply<proto::ListEnginesResponse> {
        reply(Ok(self.list_engines()))
    }

    async fn get_target(&self, request: Request<proto::GetTargetRequest>) -> Reply<proto::GetTargetResponse> {
        let result = async {
            let target = parse::target(&request.get_ref().target)?;
            Ok(proto::GetTargetResponse { target: Some(self.target(&target).await?) })
        };
        reply(result.await)
    }

    async fn start_execution(
        &self,
        request: Request<proto::StartExecutionRequest>,
    ) -> Reply<proto::StartExecutionResponse> {
        let begun = Instant::now();
        let result = self.start(request.into_inner()).await;
        self.metrics.started(outcome(&result), begun.elapsed());
        reply(result)
    }

    async fn get_execution(
        &self,
        request: Request<proto::GetExecutionRequest>,
    ) -> Reply<proto::GetExecutionResponse> {
        let proto::GetExecutionRequest { owner, target } = request.into_inner();
        let result = async {
            let (owner, target) = (parse::owner(owner)?, parse::target(&target)?);
            Ok(proto::GetExecutionResponse { execution: Some(self.get(&owner, &target).await?) })
        };
        reply(result.await)
    }

    async fn watch_executions(
        &self,
        request: Request<proto::WatchExecutionsRequest>,
    ) -> Reply<Self::WatchExecutionsStream> {
        let proto::WatchExecutionsRequest { resume_token, owner } = request.into_inner();
        let owner = owner.map(|owner| parse::owner(Some(owner))).transpose();
        reply(owner.map(|owner| {
            let stream: Self::WatchExecutionsStream =
                Box::pin(self.watch(&resume_token, owner.map(|owner| owner.uid)));
            stream
        }))
    }

    async fn cancel_execution(
        &self,
        request: Request<proto::CancelExecutionRequest>,
    ) -> Reply<proto::CancelExecutionResponse> {
        let proto::CancelExecutionRequest { owner, target, reason } = request.into_inner();
        let result = async {
            let (owner, target, reason) =
                (parse::owner(owner)?, parse::target(&target)?, parse::reason(reason)?);
            let execution = self.cancel(&owner, &target, &reason).await?;
            Ok(proto::CancelExecutionResponse { execution })
        };
        reply(result.await)
    }

    async fn release_execution(
        &self,
        request: Request<proto::ReleaseExecutionRequest>,
    ) -> Reply<proto::ReleaseExecutionResponse> {
        let proto::ReleaseExecutionRequest { owner, target } = request.into_inner();
        let result = async {
            let (owner, target) = (parse::owner(owner)?, parse::target(&target)?);
            self.release(&owner, &target).await
        };
        let result = result.await;
        self.metrics.released(outcome(&result));
        reply(result.map(|state| proto::ReleaseExecutionResponse { state: state.into() }))
    }

    async fn explain_execution(
        &self,
        request: Request<proto::ExplainExecutionRequest>,
    ) -> Reply<proto::ExplainExecutionResponse> {
        reply(self.explain(request.into_inner().spec).await)
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
