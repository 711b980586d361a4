//! A failure in plain language: what happened, to what, why, and what to do next.

use crate::{
    failure::Reason,
    go_duration,
    record::{Failure, Spec},
};

/// Tells a failure to a person, one line for each thing worth knowing. Without details it says so
/// and where to look.
pub fn summarise(spec: &Spec, failure: Option<&Failure>) -> String {
    let mut lines = Vec::new();
    let ended = match failure {
        Some(failure) if failure.was_execution_failure => "failed while it ran",
        Some(_) => "failed before it changed anything",
        None => "failed",
    };
    lines.push(format!(
        "Workflow {} on target {} {ended}.",
        or_unnamed(&spec.workflow_id),
        or_unnamed(&spec.target)
    ));
    let Some(failure) = failure else {
        lines.push("Reason: Unknown. There are no details; read the logs of the run.".to_owned());
        return lines.join("\n") + "\n";
    };
    lines.push(format!("Reason: {}.", failure.reason.as_str()));
    if !failure.message.is_empty() {
        lines.push(format!("Message: {}", failure.message));
    }
    if let Some(ran_for) = failure.ran_for {
        lines.push(format!("It failed after {}.", go_duration::format(ran_for)));
    }
    if let Some(next) = recommendation(failure.reason) {
        lines.push(format!("What to do: {next}"));
    }
    lines.join("\n") + "\n"
}

fn or_unnamed(text: &str) -> &str {
    if text.is_empty() { "(unnamed)" } else { text }
}

fn recommendation(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::OomKilled => Some("raise the memory limit of the workflow, or give it less to do at once."),
        Reason::Forbidden => Some("grant the workflow's ServiceAccount the RBAC permission named above."),
        Reason::DeadlineExceeded => {
            Some("raise the timeout in executionConfig, or find out what it waited for.")
        }
        Reason::ImagePullBackOff => {
            Some("check that the image exists and that its registry and credentials are right.")
        }
        Reason::ResourceExhausted => Some("free capacity or raise the quota, then run the workflow again."),
        Reason::ConfigurationError => {
            Some("correct the workflow's configuration, then create a new execution.")
        }
        Reason::UnsupportedEngine => {
            Some("name an engine that the executor offers, or register one that offers this.")
        }
        Reason::TaskFailed | Reason::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec() -> Spec {
        Spec { workflow_id: "restart".to_owned(), target: "ns/Deployment/api".to_owned(), ..Spec::default() }
    }

    fn failure(reason: Reason) -> Failure {
        Failure {
            reason,
            message: "it broke".to_owned(),
            task_index: 0,
            task_name: String::new(),
            step_name: None,
            exit_code: None,
            at: 0,
            ran_for: Some(Duration::from_secs(90)),
            summary: String::new(),
            was_execution_failure: true,
        }
    }

    #[test]
    fn it_tells_the_workflow_the_target_and_the_reason_of_every_failure() {
        for reason in Reason::ALL {
            let text = summarise(&spec(), Some(&failure(reason)));
            for part in ["restart", "ns/Deployment/api", reason.as_str(), "it broke", "1m30s"] {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn it_recommends_what_a_person_can_do() {
        for (reason, hint) in [
            (Reason::OomKilled, "memory limit"),
            (Reason::Forbidden, "RBAC"),
            (Reason::DeadlineExceeded, "timeout"),
            (Reason::ImagePullBackOff, "credentials"),
        ] {
            assert!(summarise(&spec(), Some(&failure(reason))).contains(hint));
        }
        assert!(!summarise(&spec(), Some(&failure(Reason::TaskFailed))).contains("What to do"));
    }

    #[test]
    fn without_details_it_says_so_and_does_not_guess() {
        let text = summarise(&Spec::default(), None);
        assert!(text.contains("Unknown") && text.contains("no details") && text.contains("logs"), "{text}");
    }
}
