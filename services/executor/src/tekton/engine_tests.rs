use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use evenkeel_kit::rpc::Coded as _;
use evenkeel_proto::execution::v1::ExecutionState;
use jiff::Timestamp;

use super::{
    fixtures::{attempt, groups, read, resources, task_run},
    *,
};
use crate::engine::Engines;

const RUN: &str = "/apis/tekton.dev/v1/namespaces/runs/pipelineruns/wfe-1";
const OLD_RUN: &str = "/apis/tekton.dev/v1beta1/namespaces/runs/pipelineruns/wfe-1";

/// Status code and body of an answer.
type Answer = (u16, Value);

/// An engine before an API server that answers each question, such as `GET /apis`, by this.
fn engine(answer: impl Fn(&str) -> Answer + Send + 'static) -> TektonEngine {
    evenkeel_kit::tls::install_provider();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &answer);
        }
    });
    let client = Client::try_from(kube::Config::new(address.parse().unwrap())).unwrap();
    TektonEngine::new(client, "runs", true)
}

/// Answers one request of a connection, and closes it.
fn serve(stream: TcpStream, answer: &impl Fn(&str) -> Answer) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        head.push(std::mem::take(&mut line));
    }
    let Some(first) = head.first() else { return };
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    reader.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
    let question = first.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
    let (code, body) = answer(&question);
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let head = format!("HTTP/1.1 {code} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    reader.get_mut().write_all((head + &body).as_bytes()).unwrap();
}

fn unserved() -> Answer {
    (404, json!("404 page not found\n"))
}

fn refused(code: u16, message: &str) -> Answer {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": message}))
}

fn missing() -> Answer {
    let details = json!({"name": "wfe-1", "group": "tekton.dev", "kind": "pipelineruns"});
    (
        404,
        json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "details": details}),
    )
}

/// Answers about what is served, when Tekton serves PipelineRuns in these versions.
fn discovery(question: &str, versions: &[&str]) -> Answer {
    if let Some(version) = question.strip_prefix("GET /apis/tekton.dev/") {
        return (200, resources(version, &["pipelineruns"]));
    }
    assert_eq!(question, "GET /apis");
    (200, groups(versions))
}

/// A live run of ours.
fn live(succeeded: &str) -> Answer {
    let notes = json!({"evenkeel.dev/owner-uid": "u-1", "evenkeel.dev/live": "true"});
    let condition = json!({"type": "Succeeded", "status": succeeded});
    (
        200,
        json!({
            "metadata": {"name": "wfe-1", "uid": "p-1", "annotations": notes},
            "status": {"conditions": [condition]},
        }),
    )
}

#[tokio::test]
async fn there_is_no_run_where_there_is_none_or_no_tekton() {
    let run_is_missing = engine(|_| missing());
    assert!(run_is_missing.look("wfe-1").await.unwrap().is_none());
    let tekton_is_missing = engine(|question| match question.strip_prefix("GET ") {
        Some(RUN) => unserved(),
        _ => discovery(question, &[]),
    });
    assert!(tekton_is_missing.look("wfe-1").await.unwrap().is_none());
    assert!(tekton_is_missing.is(&Kind::Absent));
    assert!(tekton_is_missing.look("wfe-1").await.unwrap().is_none());
}

#[tokio::test]
async fn an_outage_never_says_that_there_is_no_run() {
    for (of_run, of_groups) in [
        (refused(500, "etcd is away"), discovery("GET /apis", &[])),
        (unserved(), refused(500, "starting")),
        (unserved(), unserved()),
        (unserved(), discovery("GET /apis", &["v1"])),
    ] {
        let told = format!("{of_run:?}, {of_groups:?}");
        let engine = engine(move |question| match question {
            "GET /apis" => of_groups.clone(),
            "GET /apis/tekton.dev/v1" => discovery(question, &["v1"]),
            _ => of_run.clone(),
        });
        assert!(matches!(engine.look("wfe-1").await, Err(Error::Unavailable(_))), "{told}");
    }
}

#[tokio::test]
async fn a_run_is_found_though_its_kind_is_not_listed_yet() {
    let engine = engine(|question| match question.strip_prefix("GET ") {
        Some(RUN) => live("Unknown"),
        _ => discovery(question, &[]),
    });
    assert_eq!(engine.discover().await.unwrap(), Kind::Absent);
    assert!(engine.look("wfe-1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_run_that_another_version_of_tekton_has_is_not_overlooked() {
    for (of_old, is_there) in [(live("Unknown"), true), (missing(), false)] {
        let engine = engine(move |question| match question.strip_prefix("GET ") {
            Some(RUN) => unserved(),
            Some(OLD_RUN) => of_old.clone(),
            _ => discovery(question, &["v1beta1"]),
        });
        let found = engine.look("wfe-1").await;
        assert_eq!(matches!(found, Err(Error::RunUnreadable(_))), is_there, "{found:?}");
        assert_eq!(matches!(found, Ok(None)), !is_there);
        assert!(engine.unavailable().unwrap().contains("v1beta1"));
    }
}

#[tokio::test]
async fn why_a_run_cannot_be_read_is_told_to_who_looks_for_it() {
    let odd = json!({"metadata": {"name": "wfe-1"}, "spec": {"status": 7}});
    let engine = engine(move |_| (200, odd.clone()));
    let Err(Error::RunUnreadable(why)) = engine.look("wfe-1").await else { panic!() };
    assert!(why.contains("wfe-1") && why.contains("expected a string"), "{why}");
}

#[tokio::test]
async fn who_has_no_tekton_needs_no_permission_for_it() {
    for (versions, is_needed) in [(&[][..], false), (&["v1"][..], true)] {
        let engine = engine(move |question| match question.strip_prefix("GET ") {
            Some(RUN) => refused(403, "pipelineruns is forbidden"),
            _ => discovery(question, versions),
        });
        let found = engine.look("wfe-1").await;
        assert_eq!(matches!(found, Err(Error::ExecutorForbidden(_))), is_needed, "{found:?}");
    }
}

#[tokio::test]
async fn without_tekton_a_pipeline_is_refused_with_guidance_before_anything_is_made() {
    let absent = engine(|question| discovery(question, &[]));
    assert!(absent.unavailable().is_some(), "it is not known yet");
    let refusal = absent.check(&attempt()).await.unwrap_err();
    assert_eq!(refusal.reason(), "UNKNOWN_ENGINE");
    assert!(refusal.to_string().contains("install Tekton Pipelines"), "{refusal}");
    assert!(absent.unavailable().unwrap().contains("serves no PipelineRuns"));
    let present = engine(|question| discovery(question, &["v1"]));
    assert!(present.check(&attempt()).await.is_ok());
    assert_eq!(present.unavailable(), None);
}

#[tokio::test]
async fn a_pipeline_is_refused_when_tekton_went_away_meanwhile() {
    let engine = engine(|question| match question {
        "POST /apis/tekton.dev/v1/namespaces/runs/pipelineruns" => unserved(),
        _ => discovery(question, &[]),
    });
    let Created::Refused(refusal) = engine.create(&attempt(), 1).await.unwrap() else { panic!() };
    assert_eq!(refusal.reason(), "UNKNOWN_ENGINE");
}

#[tokio::test]
async fn what_a_webhook_of_tekton_refuses_is_refused_for_good_and_what_it_cannot_answer_is_not() {
    let denied = "admission webhook \"validation.webhook.pipeline.tekton.dev\" denied the request";
    let engine_with = |code, message| engine(move |_| refused(code, message));
    let created = engine_with(400, denied).create(&attempt(), 1).await;
    assert!(matches!(created, Ok(Created::Refused(Error::Refused { .. }))));
    let created = engine_with(500, "failed calling webhook").create(&attempt(), 1).await;
    assert!(matches!(created, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_run_that_is_live_already_is_not_woken_again() {
    let engine = engine(|question| match question.strip_prefix("PATCH ") {
        Some(RUN) => refused(422, "testing value /spec/status failed"),
        _ => live("Unknown"),
    });
    let found = engine.go_live("wfe-1", "p-1").await.unwrap().unwrap();
    assert_eq!((found.stage, found.uid.as_str()), (Stage::Live, "p-1"));
    assert!(engine.go_live("wfe-1", "p-0").await.unwrap().is_none(), "that object is gone");
}

#[tokio::test]
async fn there_is_nothing_to_stop_in_a_run_that_has_ended() {
    for (succeeded, is_over) in [("False", true), ("True", true), ("Unknown", false)] {
        let engine = engine(move |question| match question.strip_prefix("PATCH ") {
            Some(RUN) => refused(400, "Once the PipelineRun is complete, no updates are allowed: spec"),
            _ => live(succeeded),
        });
        assert_eq!(engine.stop("wfe-1", "p-1", "enough").await.is_ok(), is_over, "{succeeded}");
        assert!(engine.stop("wfe-1", "p-0", "enough").await.is_ok(), "that run is gone");
    }
}

/// A run that ended at this time, with its task.
fn failed_at(time: Timestamp) -> Answer {
    let (code, mut run) = live("False");
    run["status"]["completionTime"] = time.to_string().into();
    run["status"]["childReferences"] = json!([{"kind": "TaskRun", "name": "a"}]);
    (code, run)
}

fn task(name: &str, run_uid: &str, status: &str) -> Value {
    task_run(name, run_uid, (status, "StepFailed"), json!([]))
}

fn list(items: Value) -> Answer {
    (200, json!({"metadata": {}, "items": items}))
}

/// What is told of a run that was found, of which there is this when it is read again.
async fn told(run: Answer, tasks: Answer) -> Execution {
    let engine = engine(move |question| match question.strip_prefix("GET ") {
        Some(RUN) => run.clone(),
        Some("/apis/tekton.dev/v1/namespaces/runs/taskruns") => tasks.clone(),
        _ => unserved(),
    });
    engine.tell(observe::found(&read(failed_at(Timestamp::now()).1))).await
}

#[tokio::test]
async fn the_end_of_a_pipeline_that_is_looked_for_comes_with_its_failed_task() {
    let odd = json!({"metadata": {"name": "odd"}, "status": {"steps": "none"}});
    let tasks = json!([task("old", "p-0", "False"), odd, task("a", "p-1", "False")]);
    let facts = told(failed_at(Timestamp::now()), list(tasks)).await;
    assert_eq!((facts.state(), facts.failed_task.unwrap().name.as_str()), (ExecutionState::Failed, "a"));
}

#[tokio::test]
async fn the_end_of_a_pipeline_is_not_told_without_its_tasks_unless_it_is_too_late_for_them() {
    let (now, early) = (Timestamp::now(), Timestamp::UNIX_EPOCH);
    let (_, mut other) = failed_at(early);
    other["metadata"]["uid"] = "p-2".into();
    let goes_on = json!([task("a", "p-1", "Unknown")]);
    for (run, tasks, expected) in [
        (failed_at(early), refused(500, "etcd is away"), ExecutionState::Running),
        ((200, other), list(json!([])), ExecutionState::Running),
        (failed_at(now), list(json!([])), ExecutionState::Running),
        (failed_at(now), list(goes_on.clone()), ExecutionState::Running),
        (failed_at(early), list(goes_on), ExecutionState::Failed),
        (failed_at(early), list(json!([])), ExecutionState::Failed),
    ] {
        let case = format!("{run:?}, {tasks:?}");
        let facts = told(run, tasks).await;
        assert_eq!(facts.state(), expected, "{case}");
        assert_eq!(facts.completion_time.is_some(), expected == ExecutionState::Failed, "{case}");
    }
}

/// The engine alone, whose run ends when it is told to, with these TaskRuns, and what it was asked so far.
fn ending_with(tasks: Value) -> (Engines, Arc<RwLock<Vec<String>>>) {
    let list = |items: Value| (200, json!({"metadata": {"resourceVersion": "1"}, "items": items}));
    let asked = Arc::<RwLock<Vec<String>>>::default();
    let asks = Arc::clone(&asked);
    let engine = engine(move |question| {
        asks.write().push(question.rsplit('/').next().map_or_else(String::new, |last| {
            format!("{} {last}", question.split(' ').next().unwrap_or_default())
        }));
        match question.strip_prefix("GET ") {
            None if question.ends_with("/taskruns") => {
                (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            }
            None => live("False"),
            Some(path) if path.ends_with("/pipelineruns") => list(json!([live("False").1])),
            Some(path) if path.ends_with("/taskruns") => list(tasks.clone()),
            Some(_) => list(json!([])),
        }
    });
    (Engines::new(vec![Arc::new(engine)]), asked)
}

#[tokio::test]
async fn a_pipeline_ends_before_it_is_removed_and_what_is_below_it_goes_first() {
    let (engines, asked) = ending_with(json!([]));
    let removal = Removal { uid: "p-1", stage: Stage::Live, unchanged_since: None };
    assert_eq!(engines.remove(0, "wfe-1", removal).await.unwrap(), Removed::Going);
    let expected = [
        "PATCH wfe-1",
        "GET pipelineruns",
        "GET taskruns",
        "DELETE taskruns",
        "GET taskruns",
        "GET pods",
        "DELETE wfe-1",
    ];
    assert_eq!(*asked.read(), expected);
}

#[tokio::test]
async fn a_pipeline_with_a_task_that_goes_on_stays() {
    let (engines, asked) = ending_with(json!([task_run("a", "p-1", ("Unknown", "Running"), json!([]))]));
    let removal = Removal { uid: "p-1", stage: Stage::Done, unchanged_since: None };
    let removed = engines.remove(0, "wfe-1", removal).await;
    assert!(!matches!(removed, Ok(Removed::Gone | Removed::Going)), "{:?}", removed.ok());
    assert!(asked.read().iter().all(|question| question == "GET taskruns"), "{asked:?}");
}

#[tokio::test]
async fn a_pipeline_that_was_never_live_has_nothing_below_it() {
    let (engines, asked) = ending_with(json!([]));
    let removal = Removal { uid: "p-1", stage: Stage::Inert, unchanged_since: Some("1") };
    assert_eq!(engines.remove(0, "wfe-1", removal).await.unwrap(), Removed::Going);
    assert_eq!(*asked.read(), ["DELETE wfe-1"]);
}
