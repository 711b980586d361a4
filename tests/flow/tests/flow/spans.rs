//! The trace of one execution, with all services in this process so that every span can be seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::LazyLock,
};

use clap::Parser as _;
use evenkeel_core::target::run_name;
use evenkeel_kit::{
    config::Security,
    shutdown::CancellationToken,
    telemetry::{self, Guard},
    trace::{Carrier, TRACEPARENT_ANNOTATION},
};
use evenkeel_test_kit::{Environment, Options, Service, client, run};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanData};
use tokio::task::JoinHandle;

use crate::support::{LIMIT, Stage};

static TELEMETRY: LazyLock<(Guard, InMemorySpanExporter)> =
    LazyLock::new(|| telemetry::init_in_memory("flow").unwrap());

/// The spans of a successful execution, indented below what they are in; several of one kind in the
/// same place are shown once.
const TREE: &str = "\
workflowexecution.accept
  ExecutionService/GetTarget client
    ExecutionService/GetTarget server
      k8s.lease.read client
  audit.deliver
    AuditService/WriteEvents client
      AuditService/WriteEvents server
  workflowexecution.complete
  workflowexecution.release
    ExecutionService/ReleaseExecution client
      ExecutionService/ReleaseExecution server
        k8s.job.delete client
        k8s.lease.read client
        k8s.lease.write client
  workflowexecution.start
    ExecutionService/StartExecution client
      ExecutionService/StartExecution server
        k8s.dependencies.check client
        k8s.job.create client
        k8s.job.release client
        k8s.lease.write client
";

/// A service in this process.
struct Part {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Part {
    fn start<F>(serve: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(serve(stop.clone())), stop }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Arguments that tell a service who it is.
fn identity(security: Security) -> Vec<String> {
    let file = |path: Option<PathBuf>| path.unwrap().display().to_string();
    ["--ca", &file(security.ca), "--cert", &file(security.cert), "--key", &file(security.key)]
        .map(str::to_owned)
        .into()
}

fn arguments<'a>(program: &'a str, settings: &[(&'a str, String)], security: Security) -> Vec<String> {
    let settings = settings.iter().flat_map(|(name, value)| [(*name).to_owned(), value.clone()]);
    std::iter::once(program.to_owned()).chain(settings).chain(identity(security)).collect()
}

async fn audit(environment: &Environment) -> Part {
    let security = environment.authority().identity("evenkeel-audit").unwrap();
    let settings = [
        ("--listen", environment.audit_address()),
        ("--admin-listen", "127.0.0.1:0".to_owned()),
        ("--data", environment.directory().join("audit-data").display().to_string()),
        ("--allowed-clients", "evenkeel-controller,evenkeel-cli".to_owned()),
    ];
    let config = evenkeel_audit::config::Config::parse_from(arguments("audit", &settings, security));
    let app = evenkeel_audit::app::App::bind(&config, None).await.unwrap();
    Part::start(|stop| app.serve(stop))
}

async fn executor(environment: &Environment) -> Part {
    let security = environment.authority().identity("evenkeel-executor").unwrap();
    let settings = [
        ("--listen", environment.executor_address()),
        ("--admin-listen", "127.0.0.1:0".to_owned()),
        ("--namespace", environment.execution_namespace().to_owned()),
    ];
    let config = evenkeel_executor::Config::parse_from(arguments("executor", &settings, security));
    let client = client(&environment.directory().join("executor.kubeconfig")).await.unwrap();
    let app = evenkeel_executor::App::bind(&config, client).await.unwrap();
    let readiness = app.readiness();
    let part = Part::start(|stop| app.serve(stop));
    // Before it has seen all runs it looks for each, which would be in the trace.
    readiness.ready().await;
    part
}

async fn controller(environment: &Environment) -> Part {
    let security = environment.authority().identity("evenkeel-controller").unwrap();
    let settings = [
        ("--admin-listen", "127.0.0.1:0".to_owned()),
        ("--namespace", environment.namespace().to_owned()),
        ("--executor", environment.executor_address()),
        ("--audit", environment.audit_address()),
        ("--cooldown", "1s".to_owned()),
    ];
    let arguments = arguments("controller", &settings, security);
    let config = evenkeel_controller::config::Arguments::parse_from(arguments).config;
    let client = client(&environment.directory().join("controller.kubeconfig")).await.unwrap();
    let app = evenkeel_controller::App::bind(&config, client).await.unwrap();
    Part::start(|stop| app.serve(stop))
}

/// The finished spans of one trace, by span id.
fn spans(trace: &str) -> BTreeMap<String, SpanData> {
    TELEMETRY.0.flush();
    let all = TELEMETRY.1.get_finished_spans().unwrap();
    let of = all.into_iter().filter(|span| span.span_context.trace_id().to_string() == trace);
    of.map(|span| (span.span_context.span_id().to_string(), span)).collect()
}

/// A span by its name, without the package of a method, and its kind where that matters.
fn label(span: &SpanData) -> String {
    let name = span.name.rsplit('.').next().filter(|rest| rest.contains('/')).unwrap_or(&span.name);
    match span.span_kind {
        SpanKind::Client => format!("{name} client"),
        SpanKind::Server => format!("{name} server"),
        _ => name.to_owned(),
    }
}

/// Where a span is in its trace; fails when one that it is in was never recorded.
fn path(spans: &BTreeMap<String, SpanData>, span: &SpanData) -> Vec<String> {
    let mut path = match span.parent_span_id {
        SpanId::INVALID => Vec::new(),
        parent => {
            let parent = spans.get(&parent.to_string());
            path(spans, parent.unwrap_or_else(|| panic!("'{}' is in a span that does not exist", span.name)))
        }
    };
    path.push(label(span));
    path
}

/// The question whether a pipeline has the target, which is asked only where there is Tekton.
const OTHER_ENGINE: &str = "k8s.pipelinerun.read";

/// A trace in the form of [`TREE`], which is the same with and without Tekton.
fn tree(spans: &BTreeMap<String, SpanData>) -> String {
    let shown = spans.values().filter(|span| span.name != OTHER_ENGINE);
    let paths: BTreeSet<Vec<String>> = shown.map(|span| path(spans, span)).collect();
    let line = |path: &Vec<String>| format!("{}{}\n", "  ".repeat(path.len() - 1), path.last().unwrap());
    paths.iter().map(line).collect()
}

/// The variable of the only container of a run.
fn variable(job: &Job, name: &str) -> String {
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let found = pod.containers[0].env.iter().flatten().find(|variable| variable.name == name);
    found.unwrap().value.clone().unwrap()
}

#[test]
fn one_trace_holds_a_whole_execution_also_over_a_restart_of_the_controller() {
    LazyLock::force(&TELEMETRY);
    run(async {
        let stage = Stage::start(Service::ALL.into_iter().fold(Options::default(), Options::without)).await;
        let services = [audit(&stage).await, executor(&stage).await];
        let first = controller(&stage).await;
        let at = "shop/Deployment/traced";
        stage.apply(&stage.execution("traced", at, &[("SLEEP_SECONDS", "3")])).await.unwrap();
        let running = stage.phase("traced", "Running", LIMIT).await.unwrap();
        let job = stage.jobs().get(&run_name(at)).await.unwrap();
        first.end().await;
        let second = controller(&stage).await;
        stage.settled("traced", LIMIT).await.unwrap();
        second.end().await;
        for service in services {
            service.end().await;
        }

        let of = |traceparent: String| Carrier { traceparent, tracestate: String::new() };
        let accepted = of(running.annotations()[TRACEPARENT_ANNOTATION].clone());
        let spans = spans(accepted.trace_id());
        let tree = tree(&spans);
        assert!(tree == TREE, "the trace is\n{tree}");
        assert_eq!(spans[accepted.span_id()].name, "workflowexecution.accept");
        for step in ["accept", "start", "complete", "release"] {
            let name = format!("workflowexecution.{step}");
            let count = spans.values().filter(|span| span.name == name).count();
            assert_eq!(count, 1, "one span for {name}, however often it was looked at");
        }
        let given = of(variable(&job, "TRACEPARENT"));
        assert_eq!(given.trace_id(), accepted.trace_id());
        assert!(spans.contains_key(given.span_id()), "the pod continues a span that exists");
    });
}

#[test]
fn the_record_has_the_trace_and_an_object_that_brings_one_keeps_it() {
    LazyLock::force(&TELEMETRY);
    run(async {
        let stage = Stage::start(Options::default().setting("EVENKEEL_COOLDOWN", "1s")).await;
        let mut execution = stage.execution("handed-over", "shop/Deployment/handed-over", &[]);
        let brought = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        execution.annotations_mut().insert(TRACEPARENT_ANNOTATION.to_owned(), brought.to_owned());
        stage.apply(&execution).await.unwrap();
        let ended = stage.settled("handed-over", LIMIT).await.unwrap();
        assert_eq!(ended.annotations()[TRACEPARENT_ANNOTATION], brought);
        let events = stage.audit_events("handed-over").await.unwrap();
        assert_eq!(events.len(), 3);
        for event in events {
            assert_eq!(event.text("trace_id"), "0af7651916cd43dd8448eb211c80319c");
        }
    });
}
