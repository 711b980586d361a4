use std::{
    collections::BTreeMap,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use evenkeel_kit::telemetry;
use serde_json::json;

use super::{
    super::fixtures::{exit, read, task_run},
    *,
};

const CREATION: &str = "b7ad6b7169203331";

/// A span as it was exported. Times in seconds since the first of January 2026.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tekton) struct Told {
    pub(in crate::tekton) name: String,
    id: String,
    parent: String,
    times: (u64, u64),
    status: String,
    attributes: BTreeMap<String, String>,
}

type Exported = Box<dyn Fn(&str) -> Vec<Told> + Send + Sync>;

static EXPORTED: LazyLock<Exported> = LazyLock::new(|| {
    let (guard, exporter) = telemetry::init_in_memory("executor").unwrap();
    Box::new(move |trace| {
        guard.flush();
        let spans = exporter.get_finished_spans().unwrap();
        let of_trace = spans.into_iter().filter(|span| span.span_context.trace_id().to_string() == trace);
        of_trace
            .map(|span| Told {
                name: span.name.to_string(),
                id: span.span_context.span_id().to_string(),
                parent: span.parent_span_id.to_string(),
                times: (seconds(span.start_time), seconds(span.end_time)),
                status: format!("{:?}", span.status),
                attributes: span
                    .attributes
                    .iter()
                    .map(|attribute| (attribute.key.to_string(), attribute.value.to_string()))
                    .collect(),
            })
            .collect()
    })
});

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs() - 1_767_225_600
}

/// The spans of a trace that were told so far. To be asked for once before there are any.
pub(in crate::tekton) fn exported(trace: &str) -> Vec<Told> {
    EXPORTED(trace)
}

/// The annotation of a run in this trace.
pub(in crate::tekton) fn span_context(trace: &str, flags: &str) -> Value {
    let context = json!({"traceparent": format!("00-{trace}-{CREATION}-{flags}")});
    json!({SPAN_CONTEXT: context.to_string()})
}

fn run(annotations: Value) -> PipelineRun {
    read(json!({"metadata": {"name": "wfe-1", "uid": "p-1", "annotations": annotations}}))
}

fn at(second: u32) -> String {
    format!("2026-01-01T00:00:{second:02}Z")
}

fn step(name: &str, code: i32, (reason, termination): (&str, &str), times: (u32, u32)) -> Value {
    let mut step = exit(name, code, reason, termination);
    step["terminated"]["startedAt"] = at(times.0).into();
    step["terminated"]["finishedAt"] = at(times.1).into();
    step
}

fn task(name: &str, condition: (&str, &str), times: (u32, u32), steps: Value) -> TaskRun {
    let mut task = task_run(&format!("wfe-1-{name}"), "p-1", condition, steps);
    task["metadata"]["creationTimestamp"] = at(times.0).into();
    task["metadata"]["labels"] = json!({PIPELINE_TASK_LABEL: name});
    task["status"]["startTime"] = at(times.0).into();
    task["status"]["completionTime"] = at(times.1).into();
    read(task)
}

fn attribute<'a>(span: &'a Told, name: &str) -> Option<&'a str> {
    span.attributes.get(name).map(String::as_str)
}

#[test]
fn each_task_and_step_that_ran_is_a_span_with_its_own_times() {
    let trace = "0af7651916cd43dd8448eb211c803101";
    assert!(exported(trace).is_empty());
    let fine = step("look", 0, ("Completed", "Completed"), (3, 4));
    let prepare = task("prepare", ("True", "Succeeded"), (2, 5), json!([fine]));
    let steps = json!([
        step("try", 5, ("Error", "Continued"), (7, 8)),
        step("act", 3, ("Error", "Error"), (8, 9)),
        step("after", 1, ("Error", "Skipped"), (9, 9)),
    ]);
    let repair = task("repair", ("False", "StepFailed"), (6, 10), steps);
    record(&run(span_context(trace, "01")), &[&prepare, &repair]);
    let told = exported(trace);
    let shape: Vec<_> = told.iter().map(|span| (span.name.as_str(), span.times)).collect();
    let expected = [
        ("tekton.task", (2, 5)),
        ("tekton.step", (3, 4)),
        ("tekton.task", (6, 10)),
        ("tekton.step", (7, 8)),
        ("tekton.step", (8, 9)),
    ];
    assert_eq!(shape, expected);
    let parents: Vec<_> = told.iter().map(|span| span.parent.as_str()).collect();
    assert_eq!(parents, [CREATION, &told[0].id, CREATION, &told[2].id, &told[2].id]);
    let tasks = [&told[0], &told[2]].map(|span| attribute(span, "tekton.task.name"));
    assert_eq!(tasks, [Some("prepare"), Some("repair")]);
    assert_eq!(attribute(&told[2], "k8s.taskrun.name"), Some("wfe-1-repair"));
    let codes = [&told[1], &told[3], &told[4]].map(|span| {
        (attribute(span, "tekton.step.name").unwrap(), attribute(span, "tekton.step.exit_code").unwrap())
    });
    assert_eq!(codes, [("look", "0"), ("try", "5"), ("act", "3")]);
    let failed: Vec<_> = told.iter().map(|span| span.status.contains("Error")).collect();
    assert_eq!(failed, [false, false, true, true, true]);
}

#[test]
fn steps_that_never_began_are_no_spans_and_codes_of_tekton_are_not_told() {
    let trace = "0af7651916cd43dd8448eb211c803102";
    assert!(exported(trace).is_empty());
    let why = "TaskRunTimeout";
    // As Tekton has it: of a step that never began, the start is the creation of its TaskRun.
    let steps = json!([step("slow", 1, (why, why), (3, 9)), step("never", 1, (why, why), (2, 9))]);
    let late = task("a", ("False", why), (2, 9), steps);
    let mut going = task("b", ("Unknown", "Running"), (2, 9), json!([{"name": "s", "running": {}}]));
    going.status.completion_time = None;
    record(&run(span_context(trace, "01")), &[&late, &going]);
    let told = exported(trace);
    assert_eq!(
        told.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(),
        ["tekton.task", "tekton.step"]
    );
    assert_eq!(attribute(&told[1], "tekton.step.name"), Some("slow"));
    assert_eq!(attribute(&told[1], "tekton.step.exit_code"), None);
    assert_eq!(attribute(&told[1], "tekton.step.reason"), Some(why));
}

#[test]
fn whoever_tells_of_a_task_tells_of_the_same_spans() {
    let trace = "0af7651916cd43dd8448eb211c803103";
    assert!(exported(trace).is_empty());
    let steps = json!([step("s", 0, ("Completed", ""), (3, 4)), step("t", 0, ("Completed", ""), (4, 4))]);
    let fine = task("a", ("True", "Succeeded"), (2, 5), steps);
    let run = run(span_context(trace, "01"));
    record(&run, &[&fine]);
    let once = exported(trace);
    record(&run, &[&fine]);
    let twice = exported(trace);
    assert_eq!(twice, [once.clone(), once.clone()].concat());
    let ids: std::collections::BTreeSet<_> = once.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_run_that_is_not_traced_gets_no_spans() {
    let trace = "0af7651916cd43dd8448eb211c803104";
    assert!(exported(trace).is_empty());
    let steps = json!([step("s", 0, ("Completed", ""), (3, 4))]);
    let fine = task("a", ("True", "Succeeded"), (2, 5), steps);
    for annotations in [json!({}), json!({SPAN_CONTEXT: "junk"}), span_context(trace, "00")] {
        record(&run(annotations), &[&fine]);
    }
    assert!(exported(trace).is_empty());
}
