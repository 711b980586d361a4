//! Logs and traces of one process, decided at run time by `EVENKEEL_LOG` and the standard
//! `OTEL_*` variables.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{InMemorySpanExporter, SdkTracerProvider},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How long the last spans may take to leave at shutdown.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Keeps telemetry alive; flush it last.
pub struct Guard {
    provider: SdkTracerProvider,
}

impl Guard {
    /// Sends what is still buffered. A dead collector costs three seconds here and nothing before.
    pub async fn shutdown(self) {
        let flush = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_LIMIT));
        if let Ok(Err(error)) = flush.await {
            tracing::debug!("could not flush the last spans: {error}");
        }
    }

    /// Makes every finished span visible to the exporter.
    pub fn flush(&self) {
        if let Err(error) = self.provider.force_flush() {
            tracing::debug!("could not flush spans: {error}");
        }
    }
}

/// Sets up the process: JSON logs on standard error, and spans to the collector that
/// `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) names, if any. Without one, spans still
/// have ids, so that records and objects carry them.
pub fn init(service: &'static str) -> anyhow::Result<Guard> {
    let mut builder = SdkTracerProvider::builder().with_resource(resource(service));
    if let Some(endpoint) = endpoint() {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .context("set up the OTLP exporter")?;
        builder = builder.with_batch_exporter(exporter);
    }
    let provider = builder.build();
    let logs = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_filter(log_filter());
    tracing_subscriber::registry()
        .with(logs)
        .with(span_layer(&provider))
        .try_init()
        .context("telemetry is set up already")?;
    Ok(Guard { provider })
}

/// Sets up a test process: spans are kept in memory, in the exporter that is returned; logs are
/// plain text, filtered by `EVENKEEL_LOG`.
pub fn init_in_memory(service: &'static str) -> anyhow::Result<(Guard, InMemorySpanExporter)> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource(service))
        .with_simple_exporter(exporter.clone())
        .build();
    let logs = fmt::layer().with_writer(std::io::stderr).with_filter(log_filter());
    tracing_subscriber::registry()
        .with(logs)
        .with(span_layer(&provider))
        .try_init()
        .context("telemetry is set up already")?;
    Ok((Guard { provider }, exporter))
}

/// Our own spans only, at any log level: a filter on logs must never break a trace, and the spans
/// of libraries would be roots of their own.
fn span_layer<S>(provider: &SdkTracerProvider) -> impl tracing_subscriber::Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("evenkeel"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target("evenkeel", LevelFilter::INFO))
}

fn log_filter() -> EnvFilter {
    EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("warn,evenkeel=info"))
}

fn endpoint() -> Option<String> {
    let disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value == "true");
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|endpoint| !endpoint.is_empty() && !disabled)
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over our own name.
fn resource(service: &'static str) -> Resource {
    let builder =
        Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => builder.with_service_name(name),
        _ => builder.with_service_name(service),
    }
    .with_attribute(KeyValue::new("service.namespace", "evenkeel"))
    .build()
}
