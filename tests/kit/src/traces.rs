//! Traces as Jaeger keeps them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::http;

const PAUSE: Duration = Duration::from_millis(200);
/// Several times the delay with which services here export spans.
const SETTLED: Duration = Duration::from_millis(600);

/// One trace, its spans in the order they began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Trace id, 32 hex digits.
    pub id: String,
    /// All spans that Jaeger has.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Span id, 16 hex digits.
    pub id: String,
    /// Span id of the parent, if it has one.
    pub parent: Option<String>,
    /// Name of the operation.
    pub name: String,
    /// Name of the service that recorded it.
    pub service: String,
    /// Begin, since the Unix epoch.
    pub start: Duration,
    /// How long it took.
    pub took: Duration,
    /// Attributes as text.
    pub tags: BTreeMap<String, String>,
}

impl Span {
    /// Whether it ended in an error.
    pub fn failed(&self) -> bool {
        self.tags.get("otel.status_code").is_some_and(|code| code == "ERROR")
            || self.tags.get("error").is_some_and(|error| error == "true")
    }
}

impl Trace {
    /// Spans without a parent.
    pub fn roots(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| span.parent.is_none())
    }

    /// Spans whose parent is not in the trace.
    pub fn orphans(&self) -> impl Iterator<Item = &Span> {
        self.spans
            .iter()
            .filter(|span| span.parent.as_ref().is_some_and(|parent| self.span(parent).is_none()))
    }

    /// Spans whose parent is this one.
    pub fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Span> {
        self.spans.iter().filter(move |span| span.parent.as_deref() == Some(id))
    }

    /// The span with this id.
    pub fn span(&self, id: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.id == id)
    }

    /// Names of the services that took part, each once.
    pub fn services(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.spans.iter().map(|span| span.service.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The trace as it is now; without spans when Jaeger has none.
pub async fn fetch(jaeger: &str, id: &str) -> anyhow::Result<Trace> {
    let (code, body) = http::get(&format!("{jaeger}/api/traces/{id}")).await?;
    match code {
        200 => parse(id, &body),
        404 => Ok(Trace { id: id.to_owned(), spans: Vec::new() }),
        _ => bail!("Jaeger answers {code}: {}", body.trim()),
    }
}

/// Asks until the trace satisfies `complete`: services export their spans a little later than
/// they end, and Jaeger tells nobody when they arrive.
pub async fn until(
    jaeger: &str,
    id: &str,
    limit: Duration,
    complete: impl Fn(&Trace) -> bool,
) -> anyhow::Result<Trace> {
    let begun = std::time::Instant::now();
    loop {
        let trace = fetch(jaeger, id).await?;
        if complete(&trace) {
            return Ok(trace);
        }
        if begun.elapsed() > limit {
            let names: Vec<String> =
                trace.spans.iter().map(|span| format!("{} ({})", span.name, span.service)).collect();
            bail!("trace {id} is not complete after {limit:?}; Jaeger has: {}", names.join(", "));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// As [`until`], and then until no more spans arrive for a moment.
pub async fn settled(
    jaeger: &str,
    id: &str,
    limit: Duration,
    complete: impl Fn(&Trace) -> bool,
) -> anyhow::Result<Trace> {
    let mut trace = until(jaeger, id, limit, &complete).await?;
    loop {
        tokio::time::sleep(SETTLED).await;
        let later = until(jaeger, id, limit, &complete).await?;
        if later.spans.len() == trace.spans.len() {
            return Ok(later);
        }
        trace = later;
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    spans: Vec<RawSpan>,
    processes: BTreeMap<String, RawProcess>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpan {
    #[serde(rename = "spanID")]
    id: String,
    operation_name: String,
    #[serde(default)]
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(rename = "processID")]
    process: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "spanID")]
    span: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProcess {
    service_name: String,
}

fn parse(id: &str, body: &str) -> anyhow::Result<Trace> {
    let answer: Answer = serde_json::from_str(body).context("read Jaeger's answer")?;
    let mut spans: Vec<Span> = answer.data.into_iter().flat_map(Data::spans).collect();
    spans.sort_by(|a, b| a.start.cmp(&b.start).then_with(|| a.id.cmp(&b.id)));
    Ok(Trace { id: id.to_owned(), spans })
}

impl Data {
    fn spans(self) -> impl Iterator<Item = Span> {
        let processes = self.processes;
        self.spans.into_iter().map(move |raw| Span {
            service: processes
                .get(&raw.process)
                .map_or_else(String::new, |process| process.service_name.clone()),
            parent: raw.references.into_iter().find(|r| r.ref_type == "CHILD_OF").map(|r| r.span),
            id: raw.id,
            name: raw.operation_name,
            start: Duration::from_micros(raw.start_time),
            took: Duration::from_micros(raw.duration),
            tags: raw.tags.into_iter().map(|tag| (tag.key, text(&tag.value))).collect(),
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_with_parents_services_and_errors() {
        let body = r#"{"data":[{"traceID":"t","spans":[
            {"spanID":"b","operationName":"child","references":[{"refType":"CHILD_OF","traceID":"t","spanID":"a"}],
             "startTime":2000,"duration":5,"processID":"p2","tags":[{"key":"error","type":"bool","value":true}]},
            {"spanID":"a","operationName":"root","references":[],"startTime":1000,"duration":9000,"processID":"p1"},
            {"spanID":"c","operationName":"lost","references":[{"refType":"CHILD_OF","traceID":"t","spanID":"x"}],
             "startTime":3000,"duration":1,"processID":"p1"}],
            "processes":{"p1":{"serviceName":"one"},"p2":{"serviceName":"two"}}}]}"#;
        let trace = parse("t", body).unwrap();
        let names = |spans: Vec<&Span>| spans.iter().map(|span| span.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(trace.roots().collect()), ["root"]);
        assert_eq!(names(trace.orphans().collect()), ["lost"]);
        assert_eq!(names(trace.children("a").collect()), ["child"]);
        assert!(trace.span("b").unwrap().failed());
        assert_eq!(trace.services(), ["one", "two"]);
    }
}
