//! One trace, from the applied object to the pod, fetched back from a real Jaeger.

use std::{net::SocketAddr, panic::AssertUnwindSafe};

use evenkeel_cluster::Jaeger;
use evenkeel_kit::trace::Carrier;
use evenkeel_test_kit::{
    Environment,
    evidence::{COMPLETED, SELECTED, STARTED},
    traces::{self, Span, Trace},
};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    pipelines::{self, pass_on, run_of},
    support::{LIMIT, check_record, log, on_a_node, options, trace_id},
};

#[test]
fn the_trace_of_an_execution_is_whole_and_reaches_the_pod() {
    on_a_node(async {
        let jaeger = tokio::task::spawn_blocking(Jaeger::start).await.unwrap().unwrap();
        let environment = Environment::start(options().traces_to(&jaeger.otlp_endpoint())).await.unwrap();
        let execution = environment.execution("traced", "shop/Deployment/traced", &[]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.phase("traced", "Completed", LIMIT).await.unwrap();
        let printed = log(&environment, &ended).await;
        let ended = environment.settled("traced", LIMIT).await.unwrap();
        check_record(&environment, &ended, &[SELECTED, STARTED, COMPLETED]).await;

        let id = trace_id(&ended);
        let has = |trace: &Trace, part: &str| trace.spans.iter().any(|span| span.name.contains(part));
        let trace = traces::settled(&jaeger.url(), &id, LIMIT, |trace| {
            has(trace, "StartExecution") && has(trace, "WriteEvents") && has(trace, "ReleaseExecution")
        })
        .await
        .unwrap();
        let names: Vec<_> =
            trace.spans.iter().map(|span| (&span.service, &span.name, &span.parent)).collect();
        assert_eq!(trace.orphans().count(), 0, "{names:#?}");
        assert_eq!(trace.roots().count(), 1, "{names:#?}");
        for service in ["audit", "controller", "executor"] {
            assert!(trace.services().iter().any(|it| it.contains(service)), "{service}: {names:#?}");
        }
        let given = printed.lines().find_map(|line| line.strip_prefix("traceparent 00-")).unwrap();
        let mut parts = given.split('-');
        assert_eq!(parts.next(), Some(id.as_str()), "{printed}");
        let parent = parts.next().unwrap();
        assert!(trace.span(parent).is_some(), "the pod continues span {parent}, which is not in {names:#?}");
        assert!(trace.spans.iter().all(|span| !span.failed()), "{:#?}", trace.spans);
    });
}

/// What Tekton calls the two parts of itself that tell of runs.
const OF_TEKTON: [(&str, &str); 2] = [
    ("pipelinerun-reconciler", "PipelineRun:ReconcileKind"),
    ("taskrun-reconciler", "TaskRun:ReconcileKind"),
];

fn is_of_tekton(span: &Span) -> bool {
    OF_TEKTON.iter().any(|(service, _)| span.service == *service)
}

/// Switches the tracing of Tekton on, to an address that its pods reach, or off. It follows at once.
async fn switch_tracing(environment: &Environment, to: Option<SocketAddr>) {
    let maps: Api<ConfigMap> = Api::namespaced(environment.client(), "tekton-pipelines");
    let endpoint = to.map(|address| format!("http://{address}/v1/traces"));
    let settings = json!({"data": {"enabled": to.is_some().to_string(), "endpoint": endpoint}});
    maps.patch("config-tracing", &PatchParams::default(), &Patch::Merge(settings)).await.unwrap();
}

#[test]
fn the_spans_of_tekton_and_of_each_step_are_in_the_trace_of_the_execution() {
    on_a_node(async {
        let jaeger = tokio::task::spawn_blocking(Jaeger::start).await.unwrap().unwrap();
        let options = options().tekton().traces_to(&jaeger.otlp_endpoint());
        let environment = Environment::start(options).await.unwrap();
        let registry: SocketAddr = environment.registry().unwrap().address().parse().unwrap();
        // Jaeger listens where only this host reaches it.
        let door = TcpListener::bind((registry.ip(), 0)).await.unwrap();
        let address = door.local_addr().unwrap();
        let open = tokio::spawn(pass_on(door, jaeger.otlp_http_address()));
        switch_tracing(&environment, Some(address)).await;
        let traced = AssertUnwindSafe(pipeline_is_traced(&environment, &jaeger)).catch_unwind().await;
        // Others run their pipelines on the same Tekton.
        switch_tracing(&environment, None).await;
        open.abort();
        traced.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
    });
}

async fn pipeline_is_traced(environment: &Environment, jaeger: &Jaeger) {
    let bundle = environment.registry().unwrap().push_demo_bundle().unwrap();
    environment.apply(&pipelines::execution(environment, "traced", &bundle, &[])).await.unwrap();
    let ended = environment.phase("traced", "Completed", pipelines::LIMIT).await.unwrap();
    let run = environment.pipeline_runs().get(&run_of(&ended)).await.unwrap();
    let given: Value = serde_json::from_str(&run.annotations()["tekton.dev/pipelinerunSpanContext"]).unwrap();
    let given = given["traceparent"].as_str().unwrap().to_owned();
    let given = Carrier { traceparent: given, tracestate: String::new() };
    let ended = environment.settled("traced", LIMIT).await.unwrap();
    let id = trace_id(&ended);
    assert_eq!(given.trace_id(), id);

    let of = |trace: &Trace, name: &str| trace.spans.iter().filter(|span| span.name.contains(name)).count();
    // Tekton keeps its spans for some seconds.
    let trace = traces::settled(&jaeger.url(), &id, LIMIT, |trace| {
        let told = OF_TEKTON.iter().all(|(service, name)| {
            trace.spans.iter().any(|span| span.service == *service && span.name == *name)
        });
        told && of(trace, "tekton.step") == 2
            && of(trace, "ReleaseExecution") > 0
            && trace.orphans().count() == 0
    })
    .await
    .unwrap();
    let names: Vec<_> = trace.spans.iter().map(|span| (&span.service, &span.name, &span.parent)).collect();
    assert_eq!(trace.roots().count(), 1, "{names:#?}");
    let ours = trace.span(given.span_id()).unwrap();
    assert!(ours.service.contains("executor"), "{ours:?}");
    for span in trace.spans.iter().filter(|span| is_of_tekton(span)) {
        let parent = trace.span(span.parent.as_deref().unwrap()).unwrap();
        assert!(is_of_tekton(parent) || parent.id == ours.id, "{span:?} is below {parent:?}");
    }
    for (task, step) in [("prepare", "act"), ("repair", "act")] {
        let is = |span: &&Span| span.tags.get("tekton.task.name").is_some_and(|name| name == task);
        let span = trace.children(&ours.id).find(is).unwrap_or_else(|| panic!("no {task}: {names:#?}"));
        let steps: Vec<_> =
            trace.children(&span.id).map(|step| step.tags["tekton.step.name"].as_str()).collect();
        assert_eq!(steps, [step], "{names:#?}");
    }
}
