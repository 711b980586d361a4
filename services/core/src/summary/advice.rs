//! What a person can do about a failure.

use crate::{
    facts::Facts,
    failure::{CANCELLED, Reason, tekton},
    record::{Failure, Spec},
};

/// The next step, for the cause where one is known, and otherwise for the reason.
pub(super) fn next(spec: &Spec, failure: &Failure, run: Option<&Facts>) -> String {
    let cause = run.and_then(|run| run.failed_task.as_ref()).map_or("", |task| task.cause.as_str());
    match failure.reason {
        Reason::OomKilled => {
            "raise the memory limit of the workflow, or give it less to do at once.".to_owned()
        }
        Reason::Forbidden => {
            "grant what the message says is forbidden: an RBAC permission, or what the admission \
             rules of the namespace do not allow."
                .to_owned()
        }
        Reason::DeadlineExceeded => {
            let now = spec.timeout.as_deref().filter(|timeout| !timeout.is_empty());
            let now = now.map(|timeout| format!(" (now {timeout})")).unwrap_or_default();
            format!("raise the timeout in executionConfig{now}, or find out what it waited for.")
        }
        // The bundle was there, or its pipeline would not have begun.
        Reason::ImagePullBackOff if run.is_some_and(|run| run.engine == tekton::ENGINE) => {
            "check that the images of the pipeline's steps exist and that their registries and credentials are right."
                .to_owned()
        }
        Reason::ImagePullBackOff => {
            let image = if spec.bundle.is_empty() { "of the workflow" } else { &spec.bundle };
            format!("check that the image {image} exists and that its registry and credentials are right.")
        }
        Reason::ResourceExhausted => room(cause).to_owned(),
        Reason::ConfigurationError => {
            "correct what the message names, then create a new execution.".to_owned()
        }
        Reason::UnsupportedEngine => {
            "name an engine that the executor offers, or register one that offers this.".to_owned()
        }
        Reason::TaskFailed => task(failure, run).to_owned(),
        Reason::Unknown => "look for what the message names, and at the logs of the run.".to_owned(),
    }
}

fn room(cause: &str) -> &'static str {
    match cause {
        "Unschedulable" => {
            "free capacity or add a node that the pod fits on, then run the workflow again; the message says what \
             was missing."
        }
        "" | "FailedCreate" | "QuotaExceeded" => {
            "free capacity or raise the quota, then run the workflow again."
        }
        _ => "find out why its node had no place for it any more, then run the workflow again.",
    }
}

fn task(failure: &Failure, run: Option<&Facts>) -> &'static str {
    // Without a run, nothing failed: somebody called it off while it waited.
    if run.map_or(!failure.was_execution_failure, |run| run.reason == CANCELLED) {
        return "create a new execution if it is still wanted.";
    }
    let has_spoken =
        run.and_then(|run| run.failed_task.as_ref()).is_some_and(|task| !task.last_lines.is_empty());
    match failure.exit_code {
        Some(126 | 127) => {
            "mend the image: its command, or one that it calls, is not there or not executable."
        }
        Some(137 | 143) => "find out who ended it: its pod may have been deleted, or its node drained.",
        _ if has_spoken => "mend what it said last, then create a new execution.",
        _ => "read the logs of the run while it exists, mend the cause, then create a new execution.",
    }
}
