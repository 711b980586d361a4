//! The facts of all runs as last seen, and the stream of their changes.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use evenkeel_proto::execution::v1::{Execution, ExecutionState};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::error::{Error, Result};

/// How long a question waits for a process that has just started to see everything.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many changes a stream may be behind, or resume from.
const REMEMBERED_CHANGES: usize = 8192;

/// Facts of runs, by run name. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Runs {
    inner: Arc<Inner>,
}

struct Inner {
    /// Tells resume tokens of this process from those of another.
    instance: String,
    state: RwLock<State>,
    newest: watch::Sender<u64>,
    /// Engines of which not everything that existed has been seen yet.
    unseen: watch::Sender<BTreeSet<&'static str>>,
}

#[derive(Default)]
struct State {
    /// By name. Runs of two engines may share one for a moment, while one replaces the other.
    runs: HashMap<String, Vec<Execution>>,
    /// The last changes, oldest first; the last one has the number `newest`.
    changes: VecDeque<Execution>,
    newest: u64,
}

/// A place in the stream of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(u64);

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runs").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Runs {
    /// Facts of the runs of these engines.
    pub(crate) fn new(instance: String, engines: impl IntoIterator<Item = &'static str>) -> Self {
        let inner = Inner {
            instance,
            state: RwLock::default(),
            newest: watch::Sender::new(0),
            unseen: watch::Sender::new(engines.into_iter().collect()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether everything that existed has been seen once.
    pub(crate) fn is_synced(&self) -> bool {
        self.inner.unseen.borrow().is_empty()
    }

    /// Says that everything that existed of an engine has been seen, or that there can be nothing.
    pub(crate) fn set_synced(&self, engine: &str) {
        self.inner.unseen.send_if_modified(|unseen| unseen.remove(engine));
    }

    /// Waits until everything that existed has been seen once.
    pub(crate) async fn synced(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.inner.unseen.subscribe().wait_for(BTreeSet::is_empty).await;
    }

    /// The facts of the run of this name; of two, those of the newer.
    pub(crate) fn get(&self, run: &str) -> Option<Execution> {
        let state = self.inner.state.read();
        state.runs.get(run)?.iter().max_by_key(|facts| facts.token).cloned()
    }

    /// The same, once everything was seen: before that, a run may look as if it had no pods.
    pub(crate) async fn current(&self, run: &str) -> Option<Execution> {
        self.current_within(run, PATIENCE).await
    }

    async fn current_within(&self, run: &str, patience: Duration) -> Option<Execution> {
        let _ = tokio::time::timeout(patience, self.synced()).await;
        self.get(run)
    }

    /// Publishes the facts of a run, if they are news.
    pub(crate) fn publish(&self, facts: Execution) {
        let mut state = self.inner.state.write();
        let runs = state.runs.entry(facts.run_name.clone()).or_default();
        match runs.iter_mut().find(|known| known.engine == facts.engine) {
            Some(known) if *known == facts => return,
            Some(known) => known.clone_from(&facts),
            None => runs.push(facts.clone()),
        }
        self.record(&mut state, facts);
    }

    /// Publishes that a run of this engine is gone.
    pub(crate) fn remove(&self, engine: &str, run: &str) {
        let mut state = self.inner.state.write();
        let Some(runs) = state.runs.get_mut(run) else { return };
        let Some(index) = runs.iter().position(|known| known.engine == engine) else { return };
        let mut facts = runs.swap_remove(index);
        if runs.is_empty() {
            state.runs.remove(run);
        }
        facts.state = ExecutionState::Gone.into();
        self.record(&mut state, facts);
    }

    fn record(&self, state: &mut State, facts: Execution) {
        if state.changes.len() == REMEMBERED_CHANGES {
            state.changes.pop_front();
        }
        state.changes.push_back(facts);
        state.newest += 1;
        self.inner.newest.send_replace(state.newest);
    }

    /// Number of runs.
    pub(crate) fn count(&self) -> usize {
        self.inner.state.read().runs.values().map(Vec::len).sum()
    }

    /// Everything there is, and where to go on from.
    pub(crate) fn snapshot(&self) -> (Vec<Execution>, Cursor) {
        let state = self.inner.state.read();
        (state.runs.values().flatten().cloned().collect(), Cursor(state.newest))
    }

    /// Where a resume token points, if the changes since then are still there.
    pub(crate) fn resume(&self, token: &str) -> Option<Cursor> {
        let (instance, number) = token.rsplit_once(':')?;
        let cursor = Cursor(number.parse().ok()?);
        let known = instance == self.inner.instance && self.since(cursor).is_ok();
        known.then_some(cursor)
    }

    /// The token that resumes from here.
    pub(crate) fn token(&self, cursor: Cursor) -> String {
        format!("{}:{}", self.inner.instance, cursor.0)
    }

    /// All changes since a place, and the new place.
    pub(crate) fn since(&self, Cursor(seen): Cursor) -> Result<(Vec<Execution>, Cursor)> {
        let state = self.inner.state.read();
        let missing = state.newest.checked_sub(seen).ok_or(Error::Lagged)?;
        let missing = usize::try_from(missing).map_err(|_| Error::Lagged)?;
        let skip = state.changes.len().checked_sub(missing).ok_or(Error::Lagged)?;
        Ok((state.changes.iter().skip(skip).cloned().collect(), Cursor(state.newest)))
    }

    /// Waits until there are changes since a place.
    pub(crate) async fn changed(&self, Cursor(seen): Cursor) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.inner.newest.subscribe().wait_for(|newest| *newest > seen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(run: &str, message: &str) -> Execution {
        Execution {
            run_name: run.into(),
            engine: "job".into(),
            message: message.into(),
            ..Execution::default()
        }
    }

    fn runs() -> Runs {
        Runs::new("one".into(), ["job", "tekton"])
    }

    #[test]
    fn a_stream_gets_every_change_once_and_what_is_no_news_never() {
        let runs = runs();
        let (all, start) = runs.snapshot();
        assert!(all.is_empty());
        runs.publish(facts("a", "1"));
        runs.publish(facts("a", "1"));
        runs.publish(facts("a", "2"));
        runs.remove("job", "a");
        runs.remove("job", "a");
        let (changes, end) = runs.since(start).unwrap();
        let messages: Vec<_> = changes.iter().map(|one| (one.message.as_str(), one.state())).collect();
        let unspecified = ExecutionState::Unspecified;
        assert_eq!(messages, [("1", unspecified), ("2", unspecified), ("2", ExecutionState::Gone)]);
        assert!(runs.since(end).unwrap().0.is_empty());
        assert_eq!(runs.count(), 0);
    }

    #[test]
    fn the_end_of_a_run_says_nothing_about_the_run_of_another_engine_under_its_name() {
        let runs = runs();
        let old = Execution { engine: "tekton".into(), token: 1, ..facts("a", "old") };
        runs.publish(old.clone());
        runs.publish(Execution { token: 2, ..facts("a", "new") });
        runs.publish(Execution { message: "late".into(), ..old });
        assert_eq!((runs.get("a").unwrap().message.as_str(), runs.count()), ("new", 2));
        let (_, here) = runs.snapshot();
        runs.remove("tekton", "a");
        assert_eq!((runs.get("a").unwrap().message.as_str(), runs.count()), ("new", 1));
        let (changes, _) = runs.since(here).unwrap();
        assert_eq!((changes.len(), changes[0].engine.as_str()), (1, "tekton"));
    }

    #[test]
    fn a_token_resumes_where_it_was_given_and_nowhere_else() {
        let runs = runs();
        runs.publish(facts("a", "1"));
        let (_, here) = runs.snapshot();
        let token = runs.token(here);
        runs.publish(facts("b", "2"));
        let resumed = runs.resume(&token).unwrap();
        assert_eq!(runs.since(resumed).unwrap().0[0].run_name, "b");
        for wrong in ["", "one", "one:x", "two:1", "one:99"] {
            assert_eq!(runs.resume(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn who_is_too_far_behind_is_told_so() {
        let runs = runs();
        let (_, start) = runs.snapshot();
        for number in 0..=REMEMBERED_CHANGES {
            runs.publish(facts("a", &number.to_string()));
        }
        assert!(matches!(runs.since(start), Err(Error::Lagged)));
    }

    #[tokio::test]
    async fn a_question_waits_a_moment_until_everything_was_seen() {
        let runs = runs();
        assert_eq!(
            runs.current_within("a", Duration::from_millis(1)).await,
            None,
            "it does not wait for ever"
        );
        let asking = tokio::spawn({
            let runs = runs.clone();
            async move { runs.current("a").await }
        });
        tokio::task::yield_now().await;
        runs.publish(facts("a", "1"));
        runs.set_synced("job");
        assert!(!runs.is_synced(), "the other engine may have something");
        runs.set_synced("tekton");
        assert_eq!(asking.await.unwrap().unwrap().message, "1");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_next_change() {
        let runs = runs();
        let (_, start) = runs.snapshot();
        let waiting = tokio::spawn({
            let runs = runs.clone();
            async move { runs.changed(start).await }
        });
        runs.publish(facts("a", "1"));
        waiting.await.unwrap();
    }
}
