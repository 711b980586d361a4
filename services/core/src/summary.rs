//! A failure in plain language: what happened, to what, why, and what to do next.

use crate::{
    facts::Facts,
    failure::CANCELLED,
    go_duration, quote,
    record::{Failure, Spec},
};

mod advice;

/// Tells a failure to a person, one line for each thing worth knowing, with what the run itself told
/// if it is known. Without details it says so and where to look.
pub fn summarise(spec: &Spec, failure: Option<&Failure>, run: Option<&Facts>) -> String {
    let (workflow, target) = (or_unnamed(&spec.workflow_id), or_unnamed(&spec.target));
    let mut lines = vec![format!("Workflow {workflow} on target {target} {}.", ending(failure, run))];
    let Some(failure) = failure else {
        lines.push("Reason: Unknown. There are no details; read the logs of the run.".to_owned());
        return lines.join("\n") + "\n";
    };
    lines.push(format!("Reason: {}{}.", failure.reason.as_str(), place(failure)));
    if !failure.message.is_empty() {
        lines.push(format!("Message: {}", one_line(&failure.message)));
    }
    if let Some(ran_for) = failure.ran_for {
        lines.push(format!("It failed after {}.", go_duration::format(ran_for)));
    }
    lines.extend(printed(run));
    lines.push(format!("What to do: {}", advice::next(spec, failure, run)));
    if failure.was_execution_failure {
        lines
            .push("The target may have been changed: look at it before you run a workflow on it.".to_owned());
    }
    lines.join("\n") + "\n"
}

fn ending(failure: Option<&Failure>, run: Option<&Facts>) -> String {
    let what = if run.is_some_and(|run| run.reason == CANCELLED) { "was cancelled" } else { "failed" };
    let when = match failure {
        Some(failure) if failure.was_execution_failure => " while it ran",
        Some(_) => " before it changed anything",
        None => "",
    };
    format!("{what}{when}")
}

/// Where it failed, as far as that is known.
fn place(failure: &Failure) -> String {
    let step = failure.step_name.as_deref().map(|step| format!("step {step} of ")).unwrap_or_default();
    let task = match failure.task_name.as_str() {
        "" => String::new(),
        task => format!(", in {step}task {task}"),
    };
    let Some(code) = failure.exit_code else { return task };
    let meaning = meaning(code).map(|meaning| format!(": {meaning}")).unwrap_or_default();
    format!("{task}, with exit code {code}{meaning}")
}

/// What an exit code means by convention.
fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        126 => "a command could not be executed",
        127 => "a command was not found",
        130 => "interrupted, SIGINT",
        134 => "aborted, SIGABRT",
        137 => "killed, SIGKILL",
        139 => "crashed, SIGSEGV",
        143 => "told to end, SIGTERM",
        _ => return None,
    })
}

fn printed(run: Option<&Facts>) -> Vec<String> {
    let said = run.and_then(|run| run.failed_task.as_ref()).map(|task| task.last_lines.join("\n"));
    let quoted = quote::last_lines(&said.unwrap_or_default());
    let heading = (!quoted.is_empty()).then(|| "It said last:".to_owned());
    heading.into_iter().chain(quoted.iter().map(|line| format!("  | {line}"))).collect()
}

/// What others say stays in its line, or it could pass for a line of ours.
fn one_line(text: &str) -> String {
    let parts = text.split(char::is_control).map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

fn or_unnamed(text: &str) -> &str {
    if text.is_empty() { "(unnamed)" } else { text }
}

#[cfg(test)]
#[path = "summary/tests.rs"]
mod tests;
