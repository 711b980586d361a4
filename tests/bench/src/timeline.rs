//! When what happened to each execution, on one clock.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Moments in the life of an execution, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was asked for: just before the request was sent, or when that was due.
    Asked,
    /// Its run was seen live.
    Live,
    /// Its status was seen to say that it runs.
    Running,
    /// Just before its run was reported complete.
    Done,
    /// Its end was seen in its status.
    Ended,
    /// It was seen that nothing is left to do for it.
    Settled,
}

const STAGES: usize = 6;
type Moments = [Option<Instant>; STAGES];

/// The moments of many executions, by name. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Timeline {
    moments: Arc<Mutex<HashMap<String, Moments>>>,
    counts: watch::Sender<[usize; STAGES]>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { moments: Arc::default(), counts: watch::Sender::new([0; STAGES]) }
    }
}

impl Timeline {
    /// Notes that this happened now, unless it was noted before. Whether it is new.
    pub fn note(&self, name: &str, stage: Stage) -> bool {
        self.note_at(name, stage, Instant::now())
    }

    /// Notes that this happened then, unless it was noted before. Whether it is new.
    pub fn note_at(&self, name: &str, stage: Stage, at: Instant) -> bool {
        let mut all = self.moments.lock();
        if !all.contains_key(name) {
            all.insert(name.to_owned(), [None; STAGES]);
        }
        let Some(moment) = all.get_mut(name).map(|moments| &mut moments[stage as usize]) else {
            return false;
        };
        let new = moment.is_none();
        if new {
            *moment = Some(at);
            self.counts.send_modify(|counts| counts[stage as usize] += 1);
        }
        new
    }

    /// How many got there so far.
    pub fn count(&self, stage: Stage) -> usize {
        self.counts.borrow()[stage as usize]
    }

    /// Waits until so many got there.
    pub async fn reach(&self, stage: Stage, count: usize, limit: Duration) -> anyhow::Result<()> {
        let mut counts = self.counts.subscribe();
        let reached = counts.wait_for(|counts| counts[stage as usize] >= count);
        let reached = tokio::time::timeout(limit, reached).await.map(|reached| reached.map(drop));
        let why = || format!("{} of {count} executions were {stage:?} after {limit:?}", self.count(stage));
        reached.with_context(why)?.context("the timeline ended")
    }

    /// How long each execution whose name begins so took from one moment to another.
    pub fn spans(&self, prefix: &str, from: Stage, to: Stage) -> Vec<Duration> {
        let all = self.moments.lock();
        let chosen = all.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, moments)| moments);
        chosen
            .filter_map(|moments| Some((moments[from as usize]?, moments[to as usize]?)))
            .map(|(from, to)| to.saturating_duration_since(from))
            .collect()
    }

    /// From the first such moment to the last one of another kind.
    pub fn extent(&self, prefix: &str, from: Stage, to: Stage) -> Option<Duration> {
        let all = self.moments.lock();
        let of = |stage: Stage| {
            let chosen = all.iter().filter(move |(name, _)| name.starts_with(prefix));
            chosen.filter_map(move |(_, moments)| moments[stage as usize])
        };
        Some(of(to).max()?.saturating_duration_since(of(from).min()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_note_of_a_moment_counts() {
        let (timeline, begun) = (Timeline::default(), Instant::now());
        let later = |millis| begun + Duration::from_millis(millis);
        assert!(timeline.note_at("a-1", Stage::Asked, begun));
        assert!(timeline.note_at("a-1", Stage::Live, later(5)));
        assert!(!timeline.note_at("a-1", Stage::Live, later(9)));
        assert!(timeline.note_at("b-1", Stage::Live, later(90)));
        timeline.reach(Stage::Live, 2, Duration::ZERO).await.unwrap();
        assert!(timeline.reach(Stage::Live, 3, Duration::ZERO).await.is_err());
        assert_eq!(timeline.spans("a-", Stage::Asked, Stage::Live), [Duration::from_millis(5)]);
        assert_eq!(timeline.extent("", Stage::Asked, Stage::Live), Some(Duration::from_millis(90)));
        assert_eq!(timeline.extent("c", Stage::Asked, Stage::Live), None);
    }
}
