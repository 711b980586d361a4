//! W3C trace context: into and out of spans, objects, headers and gRPC metadata.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Annotation that carries the `traceparent` of an object.
pub const TRACEPARENT_ANNOTATION: &str = "opentelemetry.io/traceparent";
/// Annotation that carries the `tracestate` of an object.
pub const TRACESTATE_ANNOTATION: &str = "opentelemetry.io/tracestate";

/// The persisted form of a span's context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carrier {
    /// `00-<trace id>-<span id>-<flags>` (W3C Trace Context, section 3.2).
    pub traceparent: String,
    /// Vendor data, usually empty (section 3.3).
    pub tracestate: String,
}

impl Carrier {
    /// The context of a span; none when the span is not recorded.
    pub fn of(span: &Span) -> Option<Self> {
        let mut fields = HashMap::<String, String>::new();
        TraceContextPropagator::new().inject_context(&span.context(), &mut fields);
        let traceparent = fields.remove("traceparent")?;
        Some(Self { traceparent, tracestate: fields.remove("tracestate").unwrap_or_default() })
    }

    /// The context of the current span.
    pub fn current() -> Option<Self> {
        Self::of(&Span::current())
    }

    /// Trace id, 32 hex digits; empty when the context is malformed.
    pub fn trace_id(&self) -> &str {
        self.traceparent.split('-').nth(1).filter(|id| id.len() == 32).unwrap_or("")
    }

    /// Span id, 16 hex digits; empty when the context is malformed.
    pub fn span_id(&self) -> &str {
        self.traceparent.split('-').nth(2).filter(|id| id.len() == 16).unwrap_or("")
    }

    pub(crate) fn context(&self) -> Context {
        let fields: HashMap<String, String> = [
            ("traceparent".to_owned(), self.traceparent.clone()),
            ("tracestate".to_owned(), self.tracestate.clone()),
        ]
        .into();
        TraceContextPropagator::new().extract_with_context(&Context::new(), &fields)
    }

    /// Makes `span` a child of this context. Only for a span created with `parent: None` that was
    /// never entered: a started span keeps the parent it has.
    pub fn adopt(&self, span: &Span) {
        let context = self.context();
        if context.span().span_context().is_valid() && span.set_parent(context).is_err() {
            tracing::debug!("could not continue trace {}", self.trace_id());
        }
    }
}

/// Trace id of the current span, 32 hex digits.
pub fn current_trace_id() -> Option<String> {
    Carrier::current().map(|carrier| carrier.trace_id().to_owned())
}

struct Reader<'a>(&'a HeaderMap);
impl Extractor for Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Writer<'a>(&'a mut HeaderMap);
impl Injector for Writer<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// Writes the context of `span` into headers.
pub(crate) fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut Writer(headers));
}

/// Splits a gRPC path into service and method.
pub(crate) fn method_of(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').rsplit_once('/').unwrap_or(("", path))
}

/// Whether a path is served for the platform and not for callers: neither traced nor authorised.
pub(crate) fn is_plumbing(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.")
}

/// Records how a call ended (OpenTelemetry RPC conventions).
pub(crate) fn record_code(span: &Span, headers: &HeaderMap) {
    let code = headers.get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()));
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}

/// Opens one server span per call and continues the caller's trace. A layer and not an
/// interceptor, since only a layer sees the whole call and how it ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner }
    }
}

/// See [`TraceLayer`].
#[derive(Clone)]
pub struct TraceService<S> {
    inner: S,
}

impl<S, B, R> Service<http::Request<B>> for TraceService<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let path = request.uri().path();
        if is_plumbing(path) {
            return Box::pin(self.inner.call(request));
        }
        let (service, method) = method_of(path);
        let span = tracing::info_span!(
            parent: None, "rpc", otel.name = format!("{service}/{method}"), otel.kind = "server",
            rpc.system = "grpc", rpc.service = service, rpc.method = method,
            rpc.grpc.status_code = Empty, otel.status_code = Empty,
        );
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Reader(request.headers()));
        if context.span().span_context().is_valid() && span.set_parent(context).is_err() {
            tracing::debug!("could not continue the caller's trace");
        }
        let call = span.in_scope(|| self.inner.call(request));
        Box::pin(
            async move {
                let response = call.await?;
                record_code(&Span::current(), response.headers());
                Ok(response)
            }
            .instrument(span),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_read_from_a_traceparent_and_nothing_from_junk() {
        let carrier = Carrier {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            tracestate: String::new(),
        };
        assert_eq!(carrier.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(carrier.span_id(), "b7ad6b7169203331");
        let junk = Carrier { traceparent: "junk".to_owned(), tracestate: String::new() };
        assert_eq!((junk.trace_id(), junk.span_id()), ("", ""));
    }

    #[test]
    fn a_path_is_split_into_service_and_method() {
        assert_eq!(method_of("/a.b.v1.Service/Do"), ("a.b.v1.Service", "Do"));
    }
}
