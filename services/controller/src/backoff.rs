//! How long to wait after a failure: longer each time, per execution, and never in step with others.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use rand::RngExt as _;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(60);

/// Counts failures per execution, by uid.
#[derive(Default)]
pub(crate) struct Failures {
    counts: Mutex<HashMap<String, u32>>,
}

impl Failures {
    /// Failures in a row so far.
    pub(crate) fn count(&self, uid: &str) -> u32 {
        self.counts.lock().get(uid).copied().unwrap_or(0)
    }

    /// One more.
    pub(crate) fn add(&self, uid: &str) -> u32 {
        let mut counts = self.counts.lock();
        let count = counts.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// The row is broken.
    pub(crate) fn reset(&self, uid: &str) {
        self.counts.lock().remove(uid);
    }
}

/// The wait after so many failures in a row.
pub(crate) fn delay(failures: u32) -> Duration {
    spread(FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST))
}

/// Up to a fifth longer, so that what failed together does not come back together.
pub(crate) fn spread(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + rand::rng().random_range(0.0..0.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        for (failures, least) in [(1, 200), (2, 400), (3, 800), (9, 51_200), (10, 60_000), (400, 60_000)] {
            let wait = delay(failures).as_millis();
            assert!(wait >= least && wait <= least + least / 5, "{failures}: {wait}");
        }
    }

    #[test]
    fn failures_are_counted_per_execution_and_forgotten_on_success() {
        let failures = Failures::default();
        assert_eq!((failures.add("a"), failures.add("a"), failures.add("b")), (1, 2, 1));
        failures.reset("a");
        assert_eq!((failures.count("a"), failures.count("b")), (0, 1));
    }
}
