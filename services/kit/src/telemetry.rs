//! Logs and traces of one process, decided at run time by `EVENKEEL_LOG` and the standard
//! `OTEL_*` variables.

use std::{
    cell::Cell,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use opentelemetry::{
    KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanId, Status, TraceContextExt as _, TraceId, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{
        IdGenerator, InMemorySpanExporter, RandomIdGenerator, SdkTracer, SdkTracerProvider,
        TracerProviderBuilder,
    },
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::trace::Carrier;

/// How long the last spans may take to leave at shutdown.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);
/// Instrumentation scope of all spans.
const SCOPE: &str = "evenkeel";

/// For spans of the past, which are in no subscriber's hands. Empty in a process without telemetry.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

thread_local! {
    /// Id of the span that this thread is about to make, if it has to be this one.
    static NEXT_ID: Cell<Option<SpanId>> = const { Cell::new(None) };
}

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
    let mut builder = provider(service);
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
    let _ = TRACER.set(provider.tracer(SCOPE));
    Ok(Guard { provider })
}

/// Sets up a test process: spans are kept in memory, in the exporter that is returned; logs are
/// plain text, filtered by `EVENKEEL_LOG`.
pub fn init_in_memory(service: &'static str) -> anyhow::Result<(Guard, InMemorySpanExporter)> {
    let exporter = InMemorySpanExporter::default();
    let provider = provider(service).with_simple_exporter(exporter.clone()).build();
    let logs = fmt::layer().with_writer(std::io::stderr).with_filter(log_filter());
    tracing_subscriber::registry()
        .with(logs)
        .with(span_layer(&provider))
        .try_init()
        .context("telemetry is set up already")?;
    let _ = TRACER.set(provider.tracer(SCOPE));
    Ok((Guard { provider }, exporter))
}

/// A span of something that was over before anybody here heard of it, and so never was open here. Its id
/// is given, so that whoever tells of it again tells of the same span.
#[derive(Clone, Debug)]
pub struct Past {
    id: u64,
    builder: SpanBuilder,
    attributes: Vec<KeyValue>,
    end: SystemTime,
    status: Status,
}

impl Past {
    /// A span with these times. An end before the start counts as no time at all.
    pub fn new(name: &'static str, id: u64, start: SystemTime, end: SystemTime) -> Self {
        let builder = SpanBuilder::from_name(name).with_start_time(start);
        Self { id, builder, attributes: Vec::new(), end: end.max(start), status: Status::Unset }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn text(mut self, key: &'static str, value: &str) -> Self {
        self.attributes.push(KeyValue::new(key, value.to_owned()));
        self
    }

    /// Adds an attribute that is a number.
    #[must_use]
    pub fn number(mut self, key: &'static str, value: i64) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Says that it ended in an error.
    #[must_use]
    pub fn failed(mut self, why: &str) -> Self {
        self.status = Status::error(why.to_owned());
        self
    }

    /// Puts it into the trace of its parent. Gives its context, for spans below it; none where there is no
    /// telemetry or no trace.
    pub fn record(self, parent: &Carrier) -> Option<Carrier> {
        let tracer = TRACER.get()?;
        let parent_context = parent.context();
        if !parent_context.span().span_context().is_valid() {
            return None;
        }
        NEXT_ID.set(Some(SpanId::from(self.id)));
        let mut span =
            tracer.build_with_context(self.builder.with_attributes(self.attributes), &parent_context);
        // After a shutdown nobody has asked for it.
        NEXT_ID.set(None);
        span.set_status(self.status);
        span.end_with_timestamp(self.end);
        let own = span.span_context();
        let flags = own.trace_flags().to_u8();
        let traceparent = format!("00-{}-{}-{flags:02x}", own.trace_id(), own.span_id());
        own.is_valid().then(|| Carrier { traceparent, tracestate: parent.tracestate.clone() })
    }
}

/// Ids at random, but for spans whose id is given.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT_ID.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

fn provider(service: &'static str) -> TracerProviderBuilder {
    SdkTracerProvider::builder().with_resource(resource(service)).with_id_generator(Ids::default())
}

/// Our own spans only, at any log level: a filter on logs must never break a trace, and the spans
/// of libraries would be roots of their own.
fn span_layer<S>(provider: &SdkTracerProvider) -> impl tracing_subscriber::Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
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
