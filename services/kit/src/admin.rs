//! The admin port: `/healthz` (alive), `/readyz` (can work, or what is missing) and `/metrics`
//! (OpenMetrics text).

use std::sync::Arc;

use anyhow::Context as _;
use axum::{Router, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::{readiness::Readiness, shutdown::CancellationToken};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the admin port until shutdown.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(move || async move { ready(&readiness) }))
        .route("/metrics", get(move || async move { metrics(&registry) }));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .context("serve the admin port")
}

fn ready(readiness: &Readiness) -> (StatusCode, String) {
    let absent = readiness.absent();
    let rest = if absent.is_empty() { String::new() } else { format!("\naway: {}", absent.join(", ")) };
    match readiness.missing() {
        missing if missing.is_empty() => (StatusCode::OK, format!("ok{rest}")),
        missing => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}{rest}", missing.join(", "))),
    }
}

fn metrics(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => (StatusCode::OK, [(CONTENT_TYPE, OPENMETRICS)], text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, OPENMETRICS)], String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_what_is_missing_and_what_is_only_away() {
        let readiness = Readiness::new(&["executions"]);
        readiness.note("executor b:2", false);
        let (code, body) = ready(&readiness);
        assert_eq!((code.as_u16(), body.as_str()), (503, "not ready: executions\naway: executor b:2"));
        readiness.set("executions", true);
        let (code, body) = ready(&readiness);
        assert_eq!((code.as_u16(), body.as_str()), (200, "ok\naway: executor b:2"));
        readiness.note("executor b:2", true);
        assert_eq!(ready(&readiness).1, "ok");
    }
}
