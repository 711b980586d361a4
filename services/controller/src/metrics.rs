//! What is counted. Names and labels are those that dashboards of this system know.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

const BUCKETS: [f64; 7] = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The metrics of the controller; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    outcomes: Family<Outcome, Counter>,
    durations: Family<Outcome, Histogram, fn() -> Histogram>,
    status_writes: Counter,
    errors: Family<Reason, Counter>,
    events_dropped: Counter,
    leads: Gauge,
}

impl Metrics {
    /// Registers the metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            outcomes: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            status_writes: Counter::default(),
            errors: Family::default(),
            events_dropped: Counter::default(),
            leads: Gauge::default(),
        };
        registry.register(
            "workflowexecution_reconciler",
            "Executions that ended, by outcome",
            metrics.outcomes.clone(),
        );
        registry.register(
            "workflowexecution_reconciler_duration_seconds",
            "How long executions took from the launch of their run, by outcome; 0 without one",
            metrics.durations.clone(),
        );
        registry.register(
            "evenkeel_controller_status_writes",
            "Attempts to write the status of an execution",
            metrics.status_writes.clone(),
        );
        registry.register(
            "evenkeel_controller_errors",
            "Passes over an execution that ended in an error, by reason",
            metrics.errors.clone(),
        );
        registry.register(
            "evenkeel_controller_events_dropped",
            "Kubernetes Events that were not published",
            metrics.events_dropped.clone(),
        );
        registry.register("evenkeel_controller_leader", "Whether this replica leads", metrics.leads.clone());
        metrics
    }

    /// An execution ended.
    pub(crate) fn ended(&self, outcome: &'static str, took: Duration) {
        self.outcomes.get_or_create(&Outcome { outcome }).inc();
        self.durations.get_or_create(&Outcome { outcome }).observe(took.as_secs_f64());
    }

    /// A status was written, or not.
    pub(crate) fn status_write(&self) {
        self.status_writes.inc();
    }

    /// A pass ended in an error.
    pub(crate) fn error(&self, reason: &'static str) {
        self.errors.get_or_create(&Reason { reason }).inc();
    }

    /// This replica leads, or does not.
    pub(crate) fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// A Kubernetes Event was not published.
    pub(crate) fn event_dropped(&self) {
        self.events_dropped.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_counted_under_the_known_names() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.ended("Failed", Duration::ZERO);
        metrics.ended("Completed", Duration::from_secs(90));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "workflowexecution_reconciler_total{outcome=\"Failed\"} 1",
            "workflowexecution_reconciler_duration_seconds_bucket{le=\"5.0\",outcome=\"Failed\"} 1",
            "workflowexecution_reconciler_duration_seconds_bucket{le=\"80.0\",outcome=\"Completed\"} 0",
            "workflowexecution_reconciler_duration_seconds_bucket{le=\"160.0\",outcome=\"Completed\"} 1",
            "workflowexecution_reconciler_duration_seconds_sum{outcome=\"Failed\"} 0.0",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
