//! Services that run together: started in order, ended in the opposite order.

use std::{future::Future, time::Duration};

use evenkeel_kit::shutdown::CancellationToken;
use tokio::task::{AbortHandle, JoinSet};

use crate::{
    error::{Error, Result},
    output,
};

/// How long one service may take to end.
const END_LIMIT: Duration = Duration::from_secs(15);

/// The services that run.
#[derive(Default)]
pub(super) struct Parts {
    running: Vec<Part>,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

struct Part {
    name: &'static str,
    stop: CancellationToken,
    handle: AbortHandle,
}

impl Parts {
    /// Starts a service, which has to end when its token is cancelled.
    pub(super) fn start<F>(&mut self, name: &'static str, serve: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let served = serve(stop.clone());
        let handle = self.tasks.spawn(async move { (name, served.await) });
        self.running.push(Part { name, stop, handle });
    }

    /// Waits for the signal to end, or for a service that ends by itself, which is an error.
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) -> Result<()> {
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            Some(ended) = self.tasks.join_next() => {
                let (name, ended) = ended.map_err(|error| Error::Up(format!("a service broke: {error}")))?;
                self.running.retain(|part| part.name != name);
                let cause = ended.err().map_or_else(|| "it ended".to_owned(), |error| format!("{error:#}"));
                Err(Error::Up(format!("the {name} cannot go on: {cause}")))
            }
        }
    }

    /// Ends the services, the one started last first, each after the one before has ended.
    pub(super) async fn end(mut self) -> Result<()> {
        let mut outcome = Ok(());
        while let Some(Part { name, stop, handle }) = self.running.pop() {
            stop.cancel();
            match tokio::time::timeout(END_LIMIT, ended(&mut self.tasks, name)).await {
                Ok(Ok(())) => output::note(&format!("ended the {name}")),
                Ok(Err(error)) => outcome = Err(Error::Up(format!("the {name} ended badly: {error:#}"))),
                Err(_) => {
                    handle.abort();
                    outcome = Err(Error::Up(format!("the {name} did not end in time")));
                }
            }
        }
        outcome
    }
}

/// Waits for one service. Others are still needed by it, so their ending now would be a defect.
async fn ended(
    tasks: &mut JoinSet<(&'static str, anyhow::Result<()>)>,
    wanted: &'static str,
) -> anyhow::Result<()> {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((name, outcome)) if name == wanted => return outcome,
            Ok((name, outcome)) => {
                output::note(&format!("the {name} ended too early: {:?}", outcome.err()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn what_started_last_ends_first_and_each_waits_for_the_one_before() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut parts = Parts::default();
        for (name, delay) in [("audit", 0), ("executor", 5), ("controller", 20)] {
            let order = order.clone();
            parts.start(name, |stop| async move {
                stop.cancelled().await;
                tokio::time::sleep(Duration::from_millis(delay)).await;
                order.lock().unwrap().push(name);
                Ok(())
            });
        }
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        parts.run(&shutdown).await.unwrap();
        parts.end().await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["controller", "executor", "audit"]);
    }

    #[tokio::test]
    async fn a_service_that_ends_by_itself_is_an_error_and_the_others_are_ended() {
        let mut parts = Parts::default();
        parts.start("audit", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        parts.start("executor", |_| async { anyhow::bail!("the port is taken") });
        let error = parts.run(&CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "the executor cannot go on: the port is taken");
        parts.end().await.unwrap();
    }
}
