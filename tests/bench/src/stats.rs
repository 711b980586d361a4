//! Percentiles.

use std::time::Duration;

/// Durations, sorted.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// From durations in any order.
    pub fn new(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut all: Vec<_> = durations.into_iter().collect();
        all.sort_unstable();
        Self(all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest one that so many percent do not exceed, in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
    }
}

/// Counts here are far below what a float can no longer tell apart.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub fn as_float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let sample = Sample::new((1..=200).rev().map(Duration::from_millis));
        let of = |percent| sample.percentile(percent).round();
        assert_eq!((of(50), of(95), of(99), of(100)), (100.0, 190.0, 198.0, 200.0));
        assert!(Sample::default().percentile(50).is_nan());
    }
}
