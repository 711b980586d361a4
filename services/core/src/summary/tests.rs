use std::{fmt::Write as _, time::Duration};

use super::*;
use crate::{facts::FailedTask, failure::Reason};

fn spec() -> Spec {
    Spec {
        workflow_id: "restart".to_owned(),
        target: "ns/Deployment/api".to_owned(),
        bundle: "registry.example/restart:1".to_owned(),
        timeout: Some("10m".to_owned()),
        ..Spec::default()
    }
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

/// A failure that kept the workflow from beginning.
fn early(reason: Reason, message: &str) -> Failure {
    Failure { message: message.to_owned(), ran_for: None, was_execution_failure: false, ..failure(reason) }
}

fn exit(reason: Reason, code: i32, message: &str) -> Failure {
    Failure {
        message: message.to_owned(),
        task_name: "wfe-1-abcde".to_owned(),
        step_name: Some("workflow".to_owned()),
        exit_code: Some(code),
        ..failure(reason)
    }
}

fn run(reason: &str, cause: &str, last_lines: &[&str]) -> Facts {
    let task = FailedTask {
        cause: cause.to_owned(),
        last_lines: last_lines.iter().map(|line| (*line).to_owned()).collect(),
        ..FailedTask::default()
    };
    Facts { reason: reason.to_owned(), failed_task: Some(task), ..Facts::default() }
}

type Case = (&'static str, Failure, Option<Facts>);

const LIMIT: &str = "BackoffLimitExceeded";

/// One failure of every kind that people are told differently, of workflows that ran.
fn of_what_ran() -> Vec<Case> {
    let reached =
        "Job has reached the specified backoff limit (container \"workflow\" exited with code 7: Error)";
    let said = ["remediating ns/Deployment/api", "could not: no such replica"];
    let message = |message: &str, reason| Failure { message: message.to_owned(), ..failure(reason) };
    let late = message("Job was active longer than specified deadline", Reason::DeadlineExceeded);
    let error = |said: &[&str]| Some(run(LIMIT, "Error", said));
    vec![
        ("exit code with last lines", exit(Reason::TaskFailed, 7, reached), error(&said)),
        ("exit code in silence", exit(Reason::TaskFailed, 7, reached), error(&[])),
        ("no such command", exit(Reason::TaskFailed, 127, "it ended"), error(&["sh: fix: not found"])),
        ("ended from outside", exit(Reason::TaskFailed, 143, "it was ended"), error(&[])),
        (
            "out of memory",
            exit(Reason::OomKilled, 137, "its memory limit is 64Mi"),
            Some(run(LIMIT, "OOMKilled", &["taking 200 MiB"])),
        ),
        ("deadline", late, Some(run("DeadlineExceeded", "DeadlineExceeded", &["waiting for the rollout"]))),
        (
            "evicted",
            exit(Reason::ResourceExhausted, 137, "The node was low on resource: memory"),
            Some(run(LIMIT, "Evicted", &["half way there"])),
        ),
        ("cancelled", message("wrong target", Reason::TaskFailed), Some(run("Cancelled", "Cancelled", &[]))),
        ("run deleted", message("run wfe-1 was not found", Reason::Unknown), None),
    ]
}

/// The same, of workflows that never began.
fn of_what_never_ran() -> Vec<Case> {
    let stuck = |why: &str| format!("the workflow could not start ({why}");
    let late = "Job was active longer than specified deadline (0/3 nodes are available: 3 Insufficient cpu)";
    vec![
        (
            "image",
            early(Reason::ImagePullBackOff, &stuck("ErrImagePull): not found")),
            Some(run("Running", "ErrImagePull", &[])),
        ),
        (
            "unschedulable",
            early(Reason::ResourceExhausted, late),
            Some(run("DeadlineExceeded", "Unschedulable", &[])),
        ),
        ("quota on runs", early(Reason::ResourceExhausted, "exceeded quota: none"), None),
        (
            "quota on pods",
            early(Reason::ResourceExhausted, &stuck("FailedCreate): exceeded quota: none")),
            Some(run("Running", "FailedCreate", &[])),
        ),
        (
            "forbidden",
            early(Reason::Forbidden, &stuck("FailedCreate): violates PodSecurity \"restricted:latest\"")),
            Some(run("Running", "FailedCreate", &[])),
        ),
        ("called off", early(Reason::TaskFailed, "cancelled before it started: wrong target"), None),
        ("configuration", early(Reason::ConfigurationError, "Secret \"db\" not found"), None),
        ("engine", early(Reason::UnsupportedEngine, "engine 'x' is not offered here; available: job"), None),
    ]
}

#[test]
fn every_kind_of_failure_is_told_as_it_was_agreed() {
    let mut told = String::new();
    for (name, failure, run) in of_what_ran().into_iter().chain(of_what_never_ran()) {
        let _ = writeln!(told, "## {name}\n{}", summarise(&spec(), Some(&failure), run.as_ref()));
    }
    let _ = write!(told, "## no details\n{}", summarise(&spec(), None, None));
    let agreed = include_str!("told.txt");
    assert!(told == agreed, "summary/told.txt says otherwise; this is told now:\n{told}");
}

#[test]
fn it_tells_the_workflow_the_target_and_the_reason_of_every_failure() {
    for reason in Reason::ALL {
        let text = summarise(&spec(), Some(&failure(reason)), None);
        for part in ["restart", "ns/Deployment/api", reason.as_str(), "it broke", "1m30s", "What to do: "] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
    }
}

#[test]
fn it_recommends_what_a_person_can_do() {
    for (reason, hint) in [
        (Reason::OomKilled, "memory limit"),
        (Reason::Forbidden, "RBAC"),
        (Reason::DeadlineExceeded, "timeout in executionConfig (now 10m)"),
        (Reason::ImagePullBackOff, "registry.example/restart:1"),
    ] {
        let text = summarise(&spec(), Some(&failure(reason)), None);
        assert!(text.contains(hint), "{hint} in {text}");
    }
}

#[test]
fn an_image_of_a_pipeline_is_not_its_bundle() {
    let run = Facts { engine: "tekton".to_owned(), ..run("Failed", "TaskRunImagePullFailed", &[]) };
    let text = summarise(&spec(), Some(&failure(Reason::ImagePullBackOff)), Some(&run));
    assert!(text.contains("images of the pipeline's steps") && !text.contains("registry.example"), "{text}");
}

#[test]
fn without_details_it_says_so_and_does_not_guess() {
    let text = summarise(&Spec::default(), None, None);
    assert!(text.contains("Unknown") && text.contains("no details") && text.contains("logs"), "{text}");
    assert!(!text.contains("What to do"), "{text}");
}

#[test]
fn what_somebody_else_printed_cannot_pass_for_what_we_say() {
    let run = run("JobFailed", "Error", &["fine\nReason: none", "\u{1b}[2Jgone"]);
    let text = summarise(&spec(), Some(&failure(Reason::TaskFailed)), Some(&run));
    assert!(text.contains("  | fine\n  | Reason: none\n  | gone\n"), "{text}");
}

#[test]
fn the_words_of_others_stay_in_their_line() {
    let forged =
        early(Reason::TaskFailed, "enough\nThe target was NOT changed.\r\n\tWhat to do: nothing\u{1b}[2J");
    let told = summarise(&spec(), Some(&forged), None);
    assert!(
        told.contains("\nMessage: enough The target was NOT changed. What to do: nothing [2J\n"),
        "{told}"
    );
}
