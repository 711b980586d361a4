//! What can be seen of the log from outside.

use prometheus_client::{
    metrics::{
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The service's metrics. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Events that became durable.
    pub appended: Counter,
    /// Seconds from taking a request to its durable answer.
    pub append_duration: Histogram,
    /// Entries in the log.
    pub size: Gauge,
    /// Requests that wait for the writer.
    pub queue_depth: Gauge,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let audit = registry.sub_registry_with_prefix("audit");
        audit.register("events_appended", "Events that became durable", metrics.appended.clone());
        audit.register_with_unit(
            "append_duration",
            "Time from taking a request to its durable answer",
            Unit::Seconds,
            metrics.append_duration.clone(),
        );
        audit.register("log_size", "Entries in the log", metrics.size.clone());
        audit.register(
            "writer_queue_depth",
            "Requests that wait for the writer",
            metrics.queue_depth.clone(),
        );
        metrics
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            appended: Counter::default(),
            append_duration: Histogram::new(exponential_buckets(0.0005, 2.0, 15)),
            size: Gauge::default(),
            queue_depth: Gauge::default(),
        }
    }
}
