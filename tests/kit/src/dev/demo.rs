//! One story, told in the order in which it happens, and checked at its end.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use evenkeel_api::WorkflowExecution;
use evenkeel_cluster::Tier;
use evenkeel_kit::trace::TRACEPARENT_ANNOTATION;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};

use super::{
    audit,
    findings::Findings,
    pipeline,
    pod_logs::PodLogs,
    render::{self, Tone, heading, paint},
    scene::{Scene, phase_of},
    up::{self, Up},
};
use crate::{place::Repository, stand_in::StandIn, traces};

const TRACE_LIMIT: Duration = Duration::from_secs(15);
const COMPLETED: &str = "workflowexecution.workflow.completed";
const FAILED: &str = "workflowexecution.workflow.failed";

/// Brings everything up, tells the story, and succeeds if all of it was true.
pub(super) async fn run(repository: &Repository, tekton: bool, begun: Instant) -> anyhow::Result<ExitCode> {
    let up = up::up(repository, tekton).await?;
    println!("{}", paint(Tone::Faint, &format!("all is up after {}", render::spoken(begun.elapsed()))));
    let _stand_in = (up.tier.0 == Tier::ControlPlane).then(|| {
        what_is_not_real(&up.tier.1);
        StandIn::begin(pods(&up))
    });
    let pod_logs = PodLogs::follow(pods(&up));
    let mut findings = Findings::default();
    Scene::clear(&up.environment).await?;
    let scene = Scene::new(&up.environment, up.bundle.as_deref());
    heading(match scene.pipeline {
        None => "Three executions: one will succeed, one will exit 7, one comes too late",
        Some(_) => {
            "Four executions: one will succeed, one will exit 7, one comes too late, one is a pipeline"
        }
    });
    print!("{}", render::table(&cast(&scene)));
    println!();
    for execution in scene.first() {
        up.environment.apply(execution).await?;
    }
    let followed = scene.follow(&up.environment).await;
    if let Some(told) = findings.keep("the executions came to their ends", followed) {
        let (succeeded, failed) = (told.last(&scene.succeeds), told.last(&scene.fails));
        refusal(&mut findings, told.refusal.as_deref(), told.last(&scene.late), succeeded);
        if up.tier.0 == Tier::Node {
            logs(&mut findings, &pod_logs, succeeded, failed).await;
        }
        failure(&mut findings, succeeded, failed);
        let pipeline = scene.pipeline.as_ref().map(|pipeline| told.last(pipeline));
        trace(&mut findings, &up, succeeded, "its spans, of all three services, are one tree", |_| true)
            .await;
        if let Some(pipeline) = pipeline {
            pipeline::outcome(&mut findings, pipeline);
            trace(&mut findings, &up, pipeline, pipeline::IN_TRACE, pipeline::is_traced).await;
        }
        let records = [(succeeded, COMPLETED), (failed, FAILED)].into_iter();
        record(&mut findings, &up, records.chain(pipeline.map(|pipeline| (pipeline, COMPLETED)))).await;
    }
    let code = findings.conclude();
    println!(
        "\n{}",
        paint(
            Tone::Faint,
            &format!("the demo took {}; all stays up until `make down`", render::spoken(begun.elapsed()))
        )
    );
    Ok(code)
}

fn what_is_not_real(why: &str) {
    heading("Not real here: pods");
    println!("  {why}");
    println!("  No container runs and there are no logs. This program stands in for the kubelet: it sets");
    println!("  the status of each pod as the workflow's SLEEP_SECONDS and EXIT_CODE would have it.");
    println!("  The API server, its Jobs, the services, the trace and the audit log are real.");
}

fn pods(up: &Up) -> Api<Pod> {
    Api::namespaced(up.environment.client(), up.environment.execution_namespace())
}

fn cast(scene: &Scene) -> Vec<Vec<String>> {
    let mut rows = vec![["EXECUTION", "ENGINE", "TARGET", "PARAMETERS"].map(str::to_owned).to_vec()];
    for execution in scene.all() {
        let parameters = execution.spec.parameters.iter().map(|(name, value)| format!("{name}={value}"));
        let parameters = parameters.collect::<Vec<_>>().join(" ");
        let engine = execution.spec.workflow_ref.execution_engine.clone().unwrap_or_default();
        rows.push(vec![execution.name_any(), engine, execution.spec.target_resource.clone(), parameters]);
    }
    rows
}

fn refusal(
    findings: &mut Findings,
    message: Option<&str>,
    late: &WorkflowExecution,
    holder: &WorkflowExecution,
) {
    let (name, holder_name) = (late.name_any(), holder.name_any());
    heading(&format!("{name} asked for a busy target"));
    println!("  {}", message.unwrap_or("(it said nothing about the holder)"));
    let claim = format!("{name} named {holder_name} as the holder, and did not run beside it");
    let start = late.status.as_ref().and_then(|status| status.start_time.as_ref());
    let end = holder.status.as_ref().and_then(|status| status.completion_time.as_ref());
    let beside = start.is_some_and(|start| end.is_none_or(|end| start < end));
    findings.note(claim, message.is_some() && !beside, format!("{:?}", late.status));
}

async fn logs(
    findings: &mut Findings,
    logs: &PodLogs,
    succeeded: &WorkflowExecution,
    failed: &WorkflowExecution,
) {
    for (execution, expected) in [(succeeded, "remediated"), (failed, "told to end with code 7")] {
        heading(&format!("The log of the pod of {}", execution.name_any()));
        let run = execution.status.as_ref().and_then(|status| status.execution_ref.as_ref());
        let claim = format!("the pod of {} ran", execution.name_any());
        let read = logs.of(run.map_or("", |run| &run.name)).await;
        let Some(text) = findings.keep(claim, read) else { continue };
        render::quote(&text);
        let words = [expected, &execution.spec.target_resource, &trace_id(execution).unwrap_or_default()];
        let missing: Vec<_> = words.into_iter().filter(|word| !text.contains(word)).collect();
        findings.note("it knew its target and its trace", missing.is_empty(), format!("no {missing:?}"));
    }
}

fn failure(findings: &mut Findings, succeeded: &WorkflowExecution, failed: &WorkflowExecution) {
    let name = failed.name_any();
    heading(&format!("What {name} says about its failure"));
    let details = failed.status.as_ref().and_then(|status| status.failure_details.as_ref());
    if let Some(details) = details {
        let code = details.exit_code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        println!("  reason {}, exit code {code}\n", details.reason);
        render::quote(&details.natural_language_summary);
    }
    findings.note(
        format!("{} completed", succeeded.name_any()),
        phase_of(succeeded) == "Completed",
        phase_of(succeeded),
    );
    let told = details.is_some_and(|it| it.exit_code == Some(7) && !it.natural_language_summary.is_empty());
    findings.note(
        format!("{name} failed with exit code 7 and says so"),
        phase_of(failed) == "Failed" && told,
        format!("{details:?}"),
    );
}

fn trace_id(execution: &WorkflowExecution) -> Option<String> {
    let parent = execution.annotations().get(TRACEPARENT_ANNOTATION)?;
    Some(parent.split('-').nth(1)?.to_owned())
}

async fn trace(
    findings: &mut Findings,
    up: &Up,
    execution: &WorkflowExecution,
    claim: &str,
    has_all: impl Fn(&traces::Trace) -> bool,
) {
    let name = execution.name_any();
    heading(&format!("The trace of {name}"));
    let id = trace_id(execution).context("it carries no trace");
    let Some(id) = findings.keep(format!("{name} carries its trace"), id) else { return };
    let whole = |trace: &traces::Trace| {
        let is_tree = trace.orphans().next().is_none() && trace.roots().count() == 1;
        is_tree && trace.services().len() >= 3 && has_all(trace)
    };
    let found = traces::settled(&up.jaeger, &id, TRACE_LIMIT, whole).await;
    if let Some(trace) = findings.keep(claim, found) {
        print!("{}", render::trace(&trace));
        println!("\n  {}/trace/{id}", up.jaeger);
    }
}

/// Shows and proves records, of which the last event is named.
async fn record(findings: &mut Findings, up: &Up, records: impl Iterator<Item = (&WorkflowExecution, &str)>) {
    let variables = match up.variables().await {
        Ok(variables) => variables,
        Err(error) => return findings.note("the audit log can be asked", false, format!("{error:#}")),
    };
    for (execution, last) in records {
        let name = execution.name_any();
        heading(&format!("The record of {name}: evenkeel audit verify {name}"));
        let recorded = audit::until(up, &name, last).await;
        if findings.keep(format!("the audit log has {last} of {name}"), recorded).is_none() {
            continue;
        }
        let verified = audit::verify(up, &variables, &name).await;
        if let Some(text) =
            findings.keep(format!("every event of {name} is proved to be in the signed log"), verified)
        {
            render::quote(&text);
        }
    }
}
