//! One trace, from the applied object to the pod, fetched back from a real Jaeger.

use evenkeel_cluster::Jaeger;
use evenkeel_test_kit::{
    Environment,
    evidence::{COMPLETED, SELECTED, STARTED},
    traces,
};

use crate::support::{LIMIT, check_record, log, on_a_node, options, trace_id};

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
        let has = |trace: &traces::Trace, part: &str| trace.spans.iter().any(|span| span.name.contains(part));
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
