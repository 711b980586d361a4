//! Follows the executor's runs: remembers their facts, and wakes the executions that they concern.
//! A missed message costs time and never truth: what is not heard of is asked for.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_api::WorkflowExecution;
use evenkeel_core::facts::{Facts, Owner};
use evenkeel_kit::{readiness::Readiness, rpc, shutdown::CancellationToken};
use evenkeel_proto::execution::v1::{
    Execution, ExecutionState, WatchExecutionsResponse, watch_executions_response::Event,
};
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tonic::{Status, Streaming};

use crate::{backoff::delay, executors::Executors, facts, index::Index};

/// Failures in a row that the wait between connections goes on growing for: up to 3.2 seconds.
const WORST: u32 = 5;
/// How long a stream is listened to before it is opened anew where it ended. A server that is on its
/// way out, or a network that lost the connection, can keep a silent stream open for very long.
const LONGEST_STREAM: Duration = Duration::from_secs(60);

/// Why listening ended.
enum Ended {
    /// The stream was old.
    Renewed,
    /// It broke, or was never opened.
    Broken(String),
}

/// Asks for objects to be looked at, while somebody leads who can. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Wake {
    inner: Arc<WakeInner>,
}

#[derive(Default)]
struct WakeInner {
    sender: Mutex<Option<mpsc::UnboundedSender<ObjectRef<WorkflowExecution>>>>,
    everything: Notify,
}

impl Wake {
    /// Begins to gather who is to be looked at.
    pub(crate) fn attach(&self) -> mpsc::UnboundedReceiver<ObjectRef<WorkflowExecution>> {
        let (sender, woken) = mpsc::unbounded_channel();
        *self.inner.sender.lock() = Some(sender);
        woken
    }

    /// Has an object looked at soon.
    pub(crate) fn object(&self, reference: &ObjectRef<WorkflowExecution>) {
        if let Some(sender) = &*self.inner.sender.lock() {
            // Nobody listens any more during shutdown, and nothing needs to.
            let _ = sender.send(reference.clone());
        }
    }

    /// Has everything that is not at rest looked at, bit by bit.
    pub(crate) fn everything(&self) {
        self.inner.everything.notify_one();
    }

    /// Waits until everything is to be looked at.
    pub(crate) async fn asked_for_everything(&self) {
        self.inner.everything.notified().await;
    }
}

/// What is known of runs, by the uid of their owner.
#[derive(Default)]
pub(crate) struct Runs {
    known: Mutex<HashMap<String, Known>>,
    /// Owners whose run was said to be gone.
    gone: Mutex<HashSet<String>>,
}

struct Known {
    /// The executor that said so.
    from: usize,
    facts: Facts,
    heard: Instant,
}

impl Runs {
    /// Remembers facts. A run that ended stays ended, whatever an older message says.
    pub(crate) fn note(&self, from: usize, facts: &Facts) {
        let mut known = self.known.lock();
        let is_older = known
            .get(&facts.owner.uid)
            .is_some_and(|known| known.facts.state.is_finished() && !facts.state.is_finished());
        if !is_older {
            let fresh = Known { from, facts: facts.clone(), heard: Instant::now() };
            self.gone.lock().remove(&facts.owner.uid);
            known.insert(facts.owner.uid.clone(), fresh);
        }
    }

    /// The facts of a run: an end is for good, and anything else for a while.
    pub(crate) fn recent(&self, uid: &str, age: Duration) -> Option<Facts> {
        let known = self.known.lock();
        let run = known.get(uid)?;
        (run.facts.state.is_finished() || run.heard.elapsed() < age).then(|| run.facts.clone())
    }

    /// Forgets a run.
    pub(crate) fn forget(&self, uid: &str) {
        self.known.lock().remove(uid);
        self.gone.lock().remove(uid);
    }

    /// Remembers that an executor saw a run go.
    pub(crate) fn left(&self, uid: &str) {
        self.known.lock().remove(uid);
        self.gone.lock().insert(uid.to_owned());
    }

    /// Whether an executor saw a run go.
    pub(crate) fn has_left(&self, uid: &str) -> bool {
        self.gone.lock().contains(uid)
    }

    fn owners(&self, from: usize) -> Vec<Owner> {
        let known = self.known.lock();
        known.values().filter(|known| known.from == from).map(|known| known.facts.owner.clone()).collect()
    }
}

/// Follows all runs of one executor.
pub(crate) struct Follower {
    pub(crate) executors: Executors,
    /// Which of them.
    pub(crate) which: usize,
    pub(crate) runs: Arc<Runs>,
    pub(crate) index: Arc<Index>,
    pub(crate) wake: Wake,
    pub(crate) readiness: Readiness,
}

impl Follower {
    /// Follows until shutdown, over as many connections as it takes.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut resume_token = String::new();
        let mut failures = 0;
        loop {
            let ended = tokio::select! {
                () = shutdown.cancelled() => return,
                ended = self.connection(&mut resume_token, &mut failures) => ended,
            };
            let Ended::Broken(why) = ended else { continue };
            self.executors.followed(self.which, false, &self.readiness);
            if failures == 0 {
                tracing::info!("the executor's stream ended, connecting again: {why}");
            }
            failures = (failures + 1).min(WORST);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(delay(failures)) => {}
            }
        }
    }

    /// One connection; gives why it ended.
    async fn connection(&self, resume_token: &mut String, failures: &mut u32) -> Ended {
        let Some((address, executor)) = self.executors.at(self.which) else {
            return Ended::Broken("there is no such executor".to_owned());
        };
        let stream = match executor.watch(resume_token.clone()).await {
            Ok(stream) => stream,
            Err(status) => {
                if *failures == 1 {
                    tracing::warn!(
                        address,
                        "could not follow the executor's runs, trying on: {}",
                        why(&status)
                    );
                }
                return Ended::Broken(why(&status));
            }
        };
        match timeout(LONGEST_STREAM, self.follow(stream, resume_token, failures)).await {
            Ok(Ok(())) => Ended::Broken("the executor closed it".to_owned()),
            Ok(Err(status)) => Ended::Broken(why(&status)),
            Err(_) => Ended::Renewed,
        }
    }

    async fn follow(
        &self,
        mut stream: Streaming<WatchExecutionsResponse>,
        resume_token: &mut String,
        failures: &mut u32,
    ) -> Result<(), Status> {
        let mut listed = HashSet::new();
        while let Some(response) = stream.message().await? {
            *failures = 0;
            match response.event {
                Some(Event::Execution(execution)) => {
                    listed.extend(execution.owner.as_ref().map(|owner| owner.uid.clone()));
                    self.changed(execution);
                }
                Some(Event::Synced(_)) => {
                    // A stream that was resumed lists nothing, so what it lacks is not missing.
                    if resume_token.is_empty() {
                        self.missing(&listed);
                    }
                    listed.clear();
                    self.executors.followed(self.which, true, &self.readiness);
                }
                None => {}
            }
            if !response.resume_token.is_empty() {
                *resume_token = response.resume_token;
            }
        }
        Ok(())
    }

    fn changed(&self, execution: Execution) {
        let target = execution.target.clone();
        let owner = execution.owner.clone().map(facts::owner).unwrap_or_default();
        let is_ours = self.index.knows(&owner.uid);
        if execution.state() == ExecutionState::Gone {
            self.index.next(&target).iter().for_each(|next| self.wake.object(next));
            if is_ours {
                self.runs.left(&owner.uid);
                self.wake_owner(&owner);
            } else {
                self.runs.forget(&owner.uid);
            }
            return;
        }
        let Some(facts) = facts::run(execution).filter(|_| is_ours) else { return };
        self.runs.note(self.which, &facts);
        if facts.state.is_finished() || facts.failed_task.is_some() {
            self.wake_owner(&owner);
        }
    }

    /// What was known and is not listed any more went while nobody listened.
    fn missing(&self, listed: &HashSet<String>) {
        for owner in self.runs.owners(self.which) {
            if !listed.contains(&owner.uid) {
                self.runs.forget(&owner.uid);
                self.wake_owner(&owner);
            }
        }
    }

    fn wake_owner(&self, owner: &Owner) {
        self.wake.object(&ObjectRef::new(&owner.name).within(&owner.namespace));
    }
}

fn why(status: &Status) -> String {
    rpc::reason(status).unwrap_or_else(|| status.code().to_string())
}

#[cfg(test)]
mod tests {
    use evenkeel_core::facts::RunState;

    use super::*;

    fn facts(state: RunState) -> Facts {
        Facts { owner: Owner { uid: "u-1".to_owned(), ..Owner::default() }, state, ..Facts::default() }
    }

    #[test]
    fn an_end_is_not_taken_back_by_an_older_message() {
        let runs = Runs::default();
        runs.note(0, &facts(RunState::Succeeded));
        runs.note(0, &facts(RunState::Running));
        assert_eq!(runs.recent("u-1", Duration::ZERO).unwrap().state, RunState::Succeeded);
    }

    #[test]
    fn what_was_heard_long_ago_is_asked_for_again() {
        let runs = Runs::default();
        runs.note(0, &facts(RunState::Running));
        assert!(runs.recent("u-1", Duration::from_secs(60)).is_some());
        assert!(runs.recent("u-1", Duration::ZERO).is_none());
        runs.forget("u-1");
        assert!(runs.recent("u-1", Duration::from_secs(60)).is_none());
    }

    #[test]
    fn that_a_run_was_seen_to_go_holds_until_there_is_another_one() {
        let runs = Runs::default();
        runs.note(0, &facts(RunState::Running));
        runs.left("u-1");
        assert!(runs.recent("u-1", Duration::from_secs(60)).is_none() && runs.has_left("u-1"));
        runs.note(0, &facts(RunState::Running));
        assert!(!runs.has_left("u-1"));
        runs.left("u-1");
        runs.forget("u-1");
        assert!(!runs.has_left("u-1"));
    }
}
