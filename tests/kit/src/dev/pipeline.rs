//! What the demo says about its pipeline, which has two tasks of one step each.

use evenkeel_api::WorkflowExecution;
use kube::ResourceExt as _;

use super::{
    findings::Findings,
    render::{heading, quote},
    scene::phase_of,
};
use crate::traces::Trace;

/// As the bundle has them.
const TASKS: [&str; 2] = ["prepare", "repair"];
const STEP: &str = "act";
/// What [`is_traced`] finds.
pub(super) const IN_TRACE: &str =
    "its spans, of all three services and of each task and step that ran, are one tree";

/// Shows how it ended.
pub(super) fn outcome(findings: &mut Findings, pipeline: &WorkflowExecution) {
    let name = pipeline.name_any();
    heading(&format!("What Tekton says of {name}"));
    let run = pipeline.status.as_ref().and_then(|status| status.execution_status.as_ref());
    quote(run.and_then(|run| run.message.as_deref()).unwrap_or("(nothing)"));
    let tasks = run.map(|run| (run.completed_tasks, run.total_tasks));
    let all = i64::try_from(TASKS.len()).ok();
    findings.note(
        format!("{name} completed, with all of its tasks"),
        phase_of(pipeline) == "Completed" && tasks == Some((all, all)),
        format!("{:?}", pipeline.status),
    );
}

/// Whether each task is in a trace, with its step in it.
pub(super) fn is_traced(trace: &Trace) -> bool {
    let is = |tag: Option<&String>, value: &str| tag.is_some_and(|tag| tag == value);
    TASKS.iter().all(|task| {
        let mut tasks = trace.spans.iter().filter(|span| is(span.tags.get("tekton.task.name"), task));
        tasks.any(|span| {
            let mut steps = trace.children(&span.id);
            steps.any(|step| {
                is(step.tags.get("tekton.step.name"), STEP) && is(step.tags.get("tekton.step.exit_code"), "0")
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::Span;

    fn span(id: &str, parent: &str, tags: &[(&str, &str)]) -> Span {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Span { id: id.into(), parent: Some(parent.into()), tags, ..Span::default() }
    }

    #[test]
    fn a_pipeline_is_traced_when_each_task_has_its_step() {
        let act = [("tekton.step.name", "act"), ("tekton.step.exit_code", "0")];
        let mut trace = Trace {
            id: "t".into(),
            spans: vec![
                span("a", "root", &[("tekton.task.name", "prepare")]),
                span("b", "a", &act),
                span("c", "root", &[("tekton.task.name", "repair")]),
                span("d", "root", &act),
            ],
        };
        assert!(!is_traced(&trace), "a step is elsewhere");
        trace.spans[3].parent = Some("c".into());
        assert!(is_traced(&trace));
    }
}
