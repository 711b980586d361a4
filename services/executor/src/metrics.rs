//! What the executor counts.

use std::time::Duration;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};

use crate::runs::Runs;

/// Seconds; a start is a handful of API requests.
const START_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// How a request ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    /// `OK`, or the reason of the error.
    outcome: &'static str,
}

/// The counters of this process.
#[derive(Clone)]
pub(crate) struct Metrics {
    starts: Family<Outcome, Counter>,
    releases: Family<Outcome, Counter>,
    start_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry, runs: Runs) -> Self {
        let metrics = Self {
            starts: Family::default(),
            releases: Family::default(),
            start_seconds: Histogram::new(START_BUCKETS),
        };
        registry.register("executor_starts", "Start requests by outcome", metrics.starts.clone());
        registry.register("executor_releases", "Release requests by outcome", metrics.releases.clone());
        let help = "Time from a start request to a live run";
        registry.register("executor_start_duration_seconds", help, metrics.start_seconds.clone());
        registry.register_collector(Box::new(Existing(runs)));
        metrics
    }

    pub(crate) fn started(&self, outcome: &'static str, after: Duration) {
        self.starts.get_or_create(&Outcome { outcome }).inc();
        if outcome == "OK" {
            self.start_seconds.observe(after.as_secs_f64());
        }
    }

    pub(crate) fn released(&self, outcome: &'static str) {
        self.releases.get_or_create(&Outcome { outcome }).inc();
    }
}

/// Counts the runs when it is asked.
#[derive(Debug)]
struct Existing(Runs);

impl Collector for Existing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauge = ConstGauge::new(i64::try_from(self.0.count()).unwrap_or(i64::MAX));
        let help = "Runs that exist in the execution namespace";
        gauge.encode(encoder.encode_descriptor("executor_runs", help, None, gauge.metric_type())?)
    }
}
