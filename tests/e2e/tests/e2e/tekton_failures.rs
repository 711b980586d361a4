//! Pipelines that a real Tekton runs and that fail, and those that it cannot even begin.

use std::net::SocketAddr;

use evenkeel_api::{ExecutionConfig, WorkflowExecution};
use evenkeel_core::target::run_name;
use evenkeel_test_kit::{
    Environment,
    evidence::{COMPLETED, FAILED, SELECTED, STARTED},
};
use futures::future::BoxFuture;
use kube::{ResourceExt as _, api::ListParams};
use serde_json::json;
use tokio::net::TcpSocket;

use crate::{
    dependencies::needs,
    pipelines::{LIMIT, TEKTON, asked, execution, pass_on, push, run_of, step, task, together, workflow},
    quota::forbid,
    support::{Failure, check_failure, check_record, failure, on_a_node, options, said},
};

/// What ends how.
struct Case {
    execution: WorkflowExecution,
    failure: Failure,
    /// The task that failed, its position, and the step of it.
    task: Option<(&'static str, i64, Option<&'static str>)>,
    /// Parts of the message.
    message: Vec<String>,
    /// What a person is told to do.
    advice: &'static str,
}

/// Applies an execution, and checks how it fails.
async fn fails(environment: &Environment, case: Case) {
    let Case { execution, failure: expected, task, message, advice } = case;
    let name = execution.name_any();
    environment.apply(&execution).await.unwrap();
    let ended = environment.settled(&name, LIMIT).await.unwrap();
    check_failure(&ended, &expected);
    let details = failure(&ended);
    let run = run_of(&ended);
    let (task, index, step) =
        task.map_or((String::new(), 0, None), |(task, index, step)| (format!("{run}-{task}"), index, step));
    assert_eq!((&details.failed_task_name, details.failed_task_index), (&task, index), "{details:?}");
    // What time cut off may not have come to its step.
    if expected.reason != "DeadlineExceeded" {
        assert_eq!(details.failed_step_name.as_deref(), step, "{details:?}");
    }
    for part in message {
        assert!(details.message.contains(&part), "'{part}' is not in {details:?}");
    }
    let told = &details.natural_language_summary;
    assert!(told.contains(advice), "'{advice}' is not in {told}");
    check_record(environment, &ended, &[SELECTED, STARTED, FAILED]).await;
}

fn all<'a>(environment: &'a Environment, cases: impl IntoIterator<Item = Case>) -> Vec<BoxFuture<'a, ()>> {
    cases.into_iter().map(|case| Box::pin(fails(environment, case)) as BoxFuture<'a, ()>).collect()
}

fn failed(reason: &'static str, exit_code: Option<i32>) -> Failure {
    Failure { reason, complete: reason, exit_code, executed: true }
}

/// It never began, or nobody can tell whether it did.
fn unable(reason: &'static str, executed: bool) -> Failure {
    Failure { reason, complete: "ExecutionFailed", exit_code: None, executed }
}

fn within(mut execution: WorkflowExecution, timeout: &str) -> WorkflowExecution {
    execution.spec.execution_config = Some(ExecutionConfig { timeout: Some(timeout.to_owned()) });
    execution
}

#[test]
fn a_failure_is_told_of_the_task_and_the_step_that_failed() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let mut cases = all(&environment, failed_tasks(&environment));
        cases.extend(all(&environment, late_tasks(&environment)));
        cases.extend(all(&environment, unable_tasks(&environment)));
        together(cases).await;
        let exits = environment.executions().get("exits-three").await.unwrap();
        let run = exits.status.as_ref().unwrap().execution_status.as_ref().unwrap();
        assert_eq!((run.status.as_str(), run.reason.as_deref()), ("False", Some("Failed")));
        assert_eq!((run.completed_tasks, run.total_tasks), (Some(1), Some(2)));
        let told = &failure(&exits).natural_language_summary;
        let said = "\n  | could not remediate: told to end with code 3\n";
        assert!(told.contains(said), "what a step printed last is told: {told}");
        let details = failure(&exits);
        assert!(!details.message.contains("told to end"), "what it printed is no fact: {details:?}");
        let events = environment.audit_events("exits-three").await.unwrap();
        let data = &events[2].body["event_data"];
        assert_eq!(data["failure_reason"], "TaskFailed");
        assert_eq!(data["failed_task_name"], format!("{}-repair", run_of(&exits)));
        assert_eq!(data["error_details"]["code"], "ERR_PIPELINE_FAILED");
        assert_eq!(data["error_details"]["retry_possible"], false);
        assert!(!data.to_string().contains("told to end"), "what it printed is not recorded: {data}");
    });
}

fn failed_tasks(environment: &Environment) -> [Case; 3] {
    let demo = environment.registry().unwrap().push_demo_bundle().unwrap();
    let mut greedy = task(environment, "work", &[("ALLOCATE_MIB", "200")]);
    greedy["taskSpec"]["steps"][0]["computeResources"] = json!({"limits": {"memory": "64Mi"}});
    let finally = json!({
        "tasks": [task(environment, "work", &[])],
        "finally": [task(environment, "tidy", &[("EXIT_CODE", "4")])],
    });
    [
        Case {
            execution: execution(environment, "exits-three", &demo, &[("EXIT_CODE", "3")]),
            failure: failed("TaskFailed", Some(3)),
            task: Some(("repair", 1, Some("act"))),
            message: vec!["\"step-act\" exited with code 3: Error".into()],
            advice: "mend what it said last",
        },
        Case {
            execution: execution(environment, "takes-all", &workflow(environment, &[greedy]), &[]),
            failure: failed("OOMKilled", Some(255)),
            task: Some(("work", 0, Some("act"))),
            message: vec!["OOMKilled".into()],
            advice: "raise the memory limit",
        },
        Case {
            execution: execution(environment, "untidy", &push(environment, "workflow", finally), &[]),
            failure: failed("TaskFailed", Some(4)),
            task: Some(("tidy", 1, Some("act"))),
            message: vec!["\"step-act\" exited with code 4: Error".into()],
            advice: "mend what it said last",
        },
    ]
}

fn late_tasks(environment: &Environment) -> [Case; 2] {
    let slow = task(environment, "work", &[("SLEEP_SECONDS", "600")]);
    let mut hurried = slow.clone();
    hurried["timeout"] = "30s".into();
    let late = execution(environment, "late-pipeline", &workflow(environment, &[slow]), &[]);
    [
        Case {
            failure: failed("DeadlineExceeded", None),
            task: Some(("work", 0, None)),
            message: vec![format!("PipelineRun \"{}\" failed to finish within \"45s\"", run_of(&late))],
            execution: within(late, "45s"),
            advice: "timeout in executionConfig (now 45s)",
        },
        Case {
            execution: execution(environment, "late-task", &workflow(environment, &[hurried]), &[]),
            failure: failed("DeadlineExceeded", None),
            task: Some(("work", 0, None)),
            message: vec!["failed to finish within \"30s\"".into()],
            advice: "timeout in executionConfig",
        },
    ]
}

fn unable_tasks(environment: &Environment) -> [Case; 2] {
    let absent = json!({"name": "work", "taskSpec": {"steps": [step("act", "127.0.0.1:1/absent:1", &[])]}});
    let mut unread = absent.clone();
    // What it is to run, Tekton has to read from the image.
    unread["taskSpec"]["steps"][0].as_object_mut().unwrap().remove("command");
    [
        Case {
            execution: execution(environment, "absent-image", &workflow(environment, &[absent]), &[]),
            failure: unable("ImagePullBackOff", false),
            task: Some(("work", 0, Some("act"))),
            message: vec!["127.0.0.1:1/absent:1".into()],
            advice: "check that the images of the pipeline's steps exist",
        },
        Case {
            execution: execution(environment, "unread-image", &workflow(environment, &[unread]), &[]),
            failure: unable("ConfigurationError", false),
            task: Some(("work", 0, None)),
            message: vec!["127.0.0.1:1".into(), "failed to create task run pod".into()],
            advice: "correct what the message names",
        },
    ]
}

#[test]
fn a_pipeline_that_tekton_cannot_get_or_take_fails_with_its_words() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let mut cases = all(&environment, unfit_bundles(&environment));
        cases.push(Box::pin(registry_goes_down_and_comes_back(&environment)));
        together(cases).await;
    });
}

fn unfit_bundles(environment: &Environment) -> [Case; 5] {
    let registry = environment.registry().unwrap();
    let demo = registry.push_demo_bundle().unwrap();
    let unknown_digest = registry.reference(&format!("evenkeel/demo-workflow@sha256:{}", "0".repeat(64)));
    let mut unnamed = execution(environment, "no-such-pipeline", &demo, &[]);
    unnamed.spec.workflow_ref.engine_config = Some(json!({"pipeline": "nosuch"}));
    let mut misspelt = task(environment, "work", &[]);
    misspelt["bogus"] = true.into();
    let wanting = json!({
        "params": [{"name": "WANTED", "type": "string"}],
        "tasks": [task(environment, "work", &[])],
    });
    let case = |execution, failure, message: &str| Case {
        execution,
        failure,
        task: None,
        message: vec![message.to_owned()],
        advice: "what the message names",
    };
    [
        case(
            execution(environment, "no-such-tag", &registry.reference("evenkeel/demo-workflow:none"), &[]),
            unable("Unknown", true),
            "MANIFEST_UNKNOWN",
        ),
        case(
            execution(environment, "no-such-digest", &unknown_digest, &[]),
            unable("Unknown", true),
            "MANIFEST_UNKNOWN",
        ),
        case(
            unnamed,
            unable("Unknown", true),
            "could not find object in image with kind: pipeline and name: nosuch",
        ),
        case(
            execution(environment, "invalid-pipeline", &workflow(environment, &[misspelt]), &[]),
            unable("ConfigurationError", false),
            "unknown field \"spec.tasks[0].bogus\"",
        ),
        case(
            execution(environment, "no-parameter", &push(environment, "workflow", wanting), &[]),
            unable("Unknown", true),
            "missing parameters: [WANTED]",
        ),
    ]
}

/// A way to the registry that is closed at first, so that the registry itself stays there for others.
async fn registry_goes_down_and_comes_back(environment: &Environment) {
    let registry: SocketAddr = environment.registry().unwrap().address().parse().unwrap();
    let door = TcpSocket::new_v4().unwrap();
    door.bind((registry.ip(), 0).into()).unwrap();
    let address = door.local_addr().unwrap().to_string();
    let bundle = workflow(environment, &[task(environment, "work", &[])]);
    let bundle = bundle.replace(&registry.to_string(), &address);
    let case = Case {
        execution: execution(environment, "registry-down", &bundle, &[]),
        failure: unable("Unknown", true),
        task: None,
        message: vec!["connection refused".into(), address],
        advice: "what the message names",
    };
    fails(environment, case).await;
    let open = tokio::spawn(pass_on(door.listen(16).unwrap(), registry));
    environment.apply(&execution(environment, "registry-back", &bundle, &[])).await.unwrap();
    let ended = environment.phase("registry-back", "Completed", LIMIT).await;
    open.abort();
    let ended = ended.unwrap();
    environment.settled(&ended.name_any(), LIMIT).await.unwrap();
    check_record(environment, &ended, &[SELECTED, STARTED, COMPLETED]).await;
}

#[test]
fn what_a_pipeline_needs_and_is_not_there_is_named_before_anything_is_made() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let bundle = environment.registry().unwrap().push_demo_bundle().unwrap();
        let needy = |name: &str| execution(&environment, name, &bundle, &[]);
        let (mut secret, mut map, mut account) =
            (needy("wants-secret"), needy("wants-map"), needy("wants-account"));
        secret.spec.workflow_ref.dependencies = Some(needs(&["absent-key"], &[]));
        map.spec.workflow_ref.dependencies = Some(needs(&[], &["absent-map"]));
        account.spec.workflow_ref.service_account_name = Some("absent-account".to_owned());
        let cases = [(secret, "absent-key"), (map, "absent-map"), (account, "absent-account")];
        for (execution, absent) in cases {
            environment.apply(&execution).await.unwrap();
            let ended = environment.settled(&execution.name_any(), LIMIT).await.unwrap();
            let details = failure(&ended);
            assert_eq!(details.reason, "ConfigurationError", "{details:?}");
            assert!(!details.was_execution_failure, "{details:?}");
            assert!(details.message.contains(absent), "{details:?}");
            assert_eq!(said(&ended, "ExecutionCreated"), ("False", "ExecutionCreationFailed"));
            assert_eq!(said(&ended, "ExecutionComplete"), ("absent", ""));
            check_record(&environment, &ended, &[SELECTED, FAILED]).await;
            assert_eq!(asked(&environment, "create", "pipelineruns", &ended), 0);
        }
    });
}

#[test]
fn a_quota_on_pipeline_runs_refuses_the_execution_and_leaves_nothing() {
    on_a_node(async {
        let environment = Environment::start(options().tekton()).await.unwrap();
        forbid(&environment, "count/pipelineruns.tekton.dev").await;
        let bundle = environment.registry().unwrap().push_demo_bundle().unwrap();
        environment.apply(&execution(&environment, "no-room", &bundle, &[])).await.unwrap();
        let ended = environment.settled("no-room", LIMIT).await.unwrap();
        let details = failure(&ended);
        assert_eq!(details.reason, "ResourceExhausted", "{details:?}");
        assert!(!details.was_execution_failure);
        assert!(details.message.contains("exceeded quota"), "{details:?}");
        assert!(details.natural_language_summary.contains("raise the quota"), "{details:?}");
        assert_eq!(said(&ended, "ExecutionCreated"), ("False", "QuotaExceeded"));
        assert_eq!(said(&ended, "ExecutionComplete"), ("absent", ""), "nothing ever ran");
        check_record(&environment, &ended, &[SELECTED, FAILED]).await;
        let run = run_name(&ended.spec.target_resource);
        assert!(environment.pipeline_runs().get_opt(&run).await.unwrap().is_none());
        let leases = environment.leases().list(&ListParams::default()).await.unwrap();
        let held = leases.items.iter().filter_map(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        assert!(held.into_iter().all(str::is_empty), "the target must be free: {leases:?}");
    });
}

#[test]
fn a_quota_on_pods_ends_the_pipeline_that_cannot_start() {
    on_a_node(async {
        let environment = Environment::start(options().tekton()).await.unwrap();
        forbid(&environment, "pods").await;
        let bundle = environment.registry().unwrap().push_demo_bundle().unwrap();
        let case = Case {
            execution: execution(&environment, "crowded", &bundle, &[]),
            failure: unable("ResourceExhausted", false),
            task: Some(("prepare", 0, None)),
            message: vec!["could not start".into(), "exceeded quota".into()],
            advice: "raise the quota",
        };
        fails(&environment, case).await;
        assert!(environment.pipeline_runs().list(&ListParams::default()).await.unwrap().items.is_empty());
    });
}
