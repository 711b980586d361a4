//! Spans of an execution: one per step that changes something, all in the trace that its object
//! carries. Looking around is not traced, or a trace would be as long as its execution.

use evenkeel_core::{
    phase::Phase,
    plan::{Decision, Effect},
    record::Record,
};
use evenkeel_kit::trace::Carrier;
use tracing::Span;

/// What a decision is called in a trace. A start and the write that records it are one step, and
/// so are a release and its write.
pub(crate) fn name(decision: &Decision) -> &'static str {
    match decision {
        Decision::Act(Effect::Accept) => "workflowexecution.accept",
        Decision::Act(Effect::Start { .. }) => "workflowexecution.start",
        Decision::Act(Effect::Cancel { .. }) => "workflowexecution.cancel",
        Decision::Act(Effect::Release) => "workflowexecution.release",
        Decision::Act(Effect::Finish { .. }) => "workflowexecution.delete",
        Decision::Write(write) => match write.transition.map(|transition| transition.to) {
            Some(Phase::Running) => "workflowexecution.start",
            Some(_) => "workflowexecution.complete",
            None if write.notices.iter().any(|notice| notice.reason == "LockReleased") => {
                "workflowexecution.release"
            }
            None => "workflowexecution.explain",
        },
        Decision::Rest | Decision::Wait(_) => "",
    }
}

/// Opens a span in the trace of the object. It starts a trace when the object has none yet.
pub(crate) fn open(name: &'static str, record: &Record, carrier: Option<&Carrier>) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "workflowexecution",
        otel.name = name,
        k8s.namespace.name = %record.namespace,
        workflowexecution.name = %record.name,
        workflowexecution.uid = %record.uid,
        workflowexecution.workflow_id = %record.spec.workflow_id,
        workflowexecution.target = %record.spec.target,
        workflowexecution.phase = record.phase().map_or("unknown", Phase::as_str),
    );
    if let Some(carrier) = carrier {
        carrier.adopt(&span);
    }
    span
}

/// Opens a span for a delivery of audit events, in the trace of the first.
pub(crate) fn deliver(carrier: Option<&Carrier>, events: usize) -> Span {
    let span = tracing::info_span!(parent: None, "audit", otel.name = "audit.deliver", audit.events = events);
    if let Some(carrier) = carrier {
        carrier.adopt(&span);
    }
    span
}

/// A span that is never recorded: what happens in it, here and in the services that are asked, is
/// not worth a trace.
pub(crate) fn unrecorded(carrier: Option<&Carrier>) -> Span {
    let Some(quiet) = carrier.and_then(without_sampling) else { return Span::none() };
    let span = tracing::info_span!(parent: None, "look");
    quiet.adopt(&span);
    span
}

/// The same context with the sampled flag off (W3C Trace Context, section 3.2.2.5.1).
fn without_sampling(carrier: &Carrier) -> Option<Carrier> {
    let (ids, _flags) = carrier.traceparent.rsplit_once('-')?;
    Some(Carrier { traceparent: format!("{ids}-00"), tracestate: carrier.tracestate.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_around_keeps_the_ids_and_drops_the_flag() {
        let carrier = Carrier {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            tracestate: "a=b".to_owned(),
        };
        let quiet = without_sampling(&carrier).unwrap();
        assert_eq!(quiet.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        assert_eq!(quiet.tracestate, "a=b");
    }

    #[test]
    fn steps_join_the_trace_of_the_object_and_looking_around_leaves_no_span() {
        let (guard, exporter) = evenkeel_kit::telemetry::init_in_memory("controller").unwrap();
        let record = Record { name: "we-1".to_owned(), ..Record::default() };
        let accept = open("workflowexecution.accept", &record, None);
        let carrier = Carrier::of(&accept).unwrap();
        drop(accept);
        let look = unrecorded(Some(&carrier));
        assert!(
            Carrier::of(&look).is_none_or(|quiet| quiet.traceparent.ends_with("-00")),
            "and says so to others"
        );
        look.in_scope(|| drop(tracing::info_span!("inside")));
        drop(look);
        drop(open("workflowexecution.start", &record, Some(&carrier)));
        guard.flush();
        let is_ours = |trace: String| trace == carrier.trace_id();
        let mut spans = exporter.get_finished_spans().unwrap();
        spans.retain(|span| is_ours(span.span_context.trace_id().to_string()));
        let names: Vec<_> = spans.iter().map(|span| span.name.to_string()).collect();
        assert_eq!(names, ["workflowexecution.accept", "workflowexecution.start"]);
        assert_eq!(spans[1].parent_span_id.to_string(), carrier.span_id());
    }

    #[test]
    fn steps_that_belong_together_have_one_name() {
        let start = Decision::Act(Effect::Start { expected_token: 1 });
        assert_eq!(name(&start), "workflowexecution.start");
        assert_eq!(name(&Decision::Rest), "");
    }
}
