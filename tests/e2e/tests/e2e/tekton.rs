//! Pipelines that a real Tekton runs: those that succeed, those that somebody ends, and those that
//! others wait for.

use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::{
    Environment,
    evidence::{COMPLETED, FAILED, SELECTED, STARTED, condition, holds},
    wait,
};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    dependencies::needs,
    pipelines::{
        LIMIT, TEKTON, asked, execution, log, of, push, run_of, running, step, succeeded, task, task_runs,
        together, workflow,
    },
    support::{Failure, check_failure, check_record, check_times, failure, on_a_node, said, trace_id},
};

#[test]
fn a_pipeline_runs_once_and_in_order_and_completes_with_all_that_belongs_to_it() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let bundle = environment.registry().unwrap().push_demo_bundle().unwrap();
        let given = [("SLEEP_SECONDS", "0.2"), ("TARGET_RESOURCE", "shop/Deployment/other")];
        let applied =
            environment.apply(&execution(&environment, "two-tasks", &bundle, &given)).await.unwrap();
        let ended = environment.phase("two-tasks", "Completed", LIMIT).await.unwrap();
        let run = environment.pipeline_runs().get(&run_of(&ended)).await.unwrap();
        check_run(&run, &ended, &applied.uid().unwrap());
        let tasks = task_runs(&environment).list(&of(&ended)).await.unwrap().items;
        let time = |task: &str, field: &str| {
            let name = format!("{}-{task}", run_of(&ended));
            let task = tasks.iter().find(|run| run.name_any() == name).unwrap();
            task.data["status"][field].as_str().unwrap().to_owned()
        };
        assert!(time("prepare", "completionTime") <= time("repair", "startTime"), "{tasks:?}");
        for (task, pause) in [("prepare", false), ("repair", true)] {
            let printed = log(&environment, &ended, task, "act").await;
            assert!(printed.contains("remediating shop/Deployment/two-tasks\n"), "{printed}");
            assert_eq!(printed.contains("waiting 0.2 s\n"), pause, "{printed}");
        }

        let ended = environment.settled("two-tasks", LIMIT).await.unwrap();
        check_status(&ended);
        check_record(&environment, &ended, &[SELECTED, STARTED, COMPLETED]).await;
        check_payload(&environment, &ended).await;
        assert_eq!(asked(&environment, "create", "pipelineruns", &ended), 1);
        assert_eq!(asked(&environment, "patch", "pipelineruns", &ended), 1, "it goes live by a patch");
        assert!(environment.pipeline_runs().get_opt(&run_of(&ended)).await.unwrap().is_none());
        let reasons =
            ["WorkflowValidated", "ExecutionCreated", "PhaseTransition", "WorkflowCompleted", "LockReleased"];
        environment.told(&ended, &reasons, LIMIT).await.unwrap();
    });
}

/// What the run says of whose it is, and what it is given.
fn check_run(run: &DynamicObject, execution: &WorkflowExecution, uid: &str) {
    let (notes, labels, spec) = (run.annotations(), run.labels(), &run.data["spec"]);
    let name = execution.name_any();
    let target = &execution.spec.target_resource;
    assert_eq!(notes["evenkeel.dev/owner-uid"], uid);
    assert_eq!(notes["evenkeel.dev/owner"], format!("{}/{name}", execution.namespace().unwrap()));
    assert_eq!(notes["evenkeel.dev/live"], "true");
    assert_eq!(&notes["kubernaut.ai/target-resource"], target);
    assert!(notes["evenkeel.dev/token"].parse::<i64>().unwrap() > 0);
    let spans: Value = serde_json::from_str(&notes["tekton.dev/pipelinerunSpanContext"]).unwrap();
    assert!(spans["traceparent"].as_str().unwrap().contains(&trace_id(execution)), "{spans}");
    assert_eq!(labels["kubernaut.ai/workflow-execution"], name);
    assert_eq!(labels["kubernaut.ai/execution-engine"], "tekton");
    let given =
        json!([{"name": "SLEEP_SECONDS", "value": "0.2"}, {"name": "TARGET_RESOURCE", "value": target}]);
    assert_eq!(spec["params"], given, "the target is there once, as it is");
    assert_eq!(spec["pipelineRef"]["params"][0]["value"], execution.spec.workflow_ref.execution_bundle);
}

fn check_status(ended: &WorkflowExecution) {
    let status = ended.status.as_ref().unwrap();
    assert_eq!(status.phase.as_deref(), Some("Completed"));
    assert_eq!(status.execution_engine.as_deref(), Some("tekton"));
    assert_eq!(status.execution_ref.as_ref().unwrap().name, run_of(ended));
    assert_eq!((&status.failure_details, &status.failure_reason), (&None, &None));
    let run = status.execution_status.as_ref().unwrap();
    assert_eq!((run.status.as_str(), run.reason.as_deref()), ("True", Some("Succeeded")));
    assert_eq!(run.message.as_deref(), Some("Tasks Completed: 2 (Failed: 0, Cancelled 0), Skipped: 0"));
    assert_eq!((run.completed_tasks, run.total_tasks), (Some(2), Some(2)));
    let all =
        ["ExecutionCreated", "ExecutionRunning", "ExecutionComplete", "Ready", "AuditRecorded", "Released"];
    for kind in all {
        assert!(holds(ended, kind), "{kind} is {:?}", said(ended, kind));
    }
    check_times(ended);
}

async fn check_payload(environment: &Environment, ended: &WorkflowExecution) {
    let events = environment.audit_events(&ended.name_any()).await.unwrap();
    let mut data = events[2].body["event_data"].clone();
    let fields = data.as_object_mut().unwrap();
    for varying in ["started_at", "completed_at", "duration"] {
        assert!(fields.remove(varying).is_some_and(|time| time.is_string()), "{varying} is missing");
    }
    let parameters = fields.remove("parameters").unwrap();
    let names: Vec<&String> = parameters.as_object().unwrap().keys().collect();
    assert_eq!(names, ["SLEEP_SECONDS", "TARGET_RESOURCE"]);
    let workflow = &ended.spec.workflow_ref;
    let expected = json!({
        "event_type": COMPLETED,
        "workflow_id": workflow.workflow_id,
        "workflow_version": workflow.version,
        "target_resource": ended.spec.target_resource,
        "phase": "Completed",
        "container_image": workflow.execution_bundle,
        "execution_name": ended.name_any(),
        "pipelinerun_name": run_of(ended),
        "completion_message": ended.status.as_ref().unwrap().execution_status.as_ref().unwrap().message,
    });
    assert_eq!(data, expected);
}

#[test]
fn what_a_pipeline_needs_reaches_its_steps_and_what_comes_of_it_is_told() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let secrets: Api<Secret> = Api::namespaced(environment.client(), environment.execution_namespace());
        let maps: Api<ConfigMap> = Api::namespaced(environment.client(), environment.execution_namespace());
        let secret = json!({"metadata": {"name": "pipeline-key"}, "stringData": {"token": "do-not-tell"}});
        let map = json!({"metadata": {"name": "pipeline-settings"}, "data": {"mode": "gentle"}});
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
        let cases: Vec<BoxFuture<'_, ()>> = vec![
            Box::pin(given(&environment)),
            Box::pin(tried_twice(&environment)),
            Box::pin(lenient(&environment)),
            Box::pin(results(&environment, "results", &[], None, "mode=gentle")),
            Box::pin(results(&environment, "hidden-results", &["pipeline-key"], None, "mode")),
            Box::pin(results(&environment, "bundle-with-secret", &[], Some("pipeline-key"), "mode")),
        ];
        together(cases).await;
    });
}

/// Parameters, a Secret and a ConfigMap.
async fn given(environment: &Environment) {
    let registry = environment.registry().unwrap();
    let image = registry.reference(evenkeel_cluster::DEMO_STEP);
    let pause = ("SLEEP_SECONDS", "$(params.PAUSE)");
    let steps = [
        step("secret", &image, &[("PRINT_FILE", "$(workspaces.key.path)/token"), pause]),
        step("map", &image, &[("PRINT_FILE", "$(workspaces.settings.path)/mode")]),
    ];
    let declared = json!([{"name": "PAUSE", "type": "string"}]);
    let bundle = push(
        environment,
        "workflow",
        json!({
            "params": declared,
            "workspaces": [{"name": "secret-pipeline-key"}, {"name": "configmap-pipeline-settings"}],
            "tasks": [{
                "name": "read",
                "params": [{"name": "PAUSE", "value": "$(params.PAUSE)"}],
                "workspaces": [
                    {"name": "key", "workspace": "secret-pipeline-key"},
                    {"name": "settings", "workspace": "configmap-pipeline-settings"},
                ],
                "taskSpec": {
                    "params": declared,
                    "workspaces": [{"name": "key"}, {"name": "settings"}],
                    "steps": steps,
                },
            }],
        }),
    );
    // What the pipeline does not declare does no harm.
    let mut execution = execution(environment, "given", &bundle, &[("PAUSE", "0.3"), ("SPARE", "x")]);
    execution.spec.workflow_ref.dependencies = Some(needs(&["pipeline-key"], &["pipeline-settings"]));
    environment.apply(&execution).await.unwrap();
    let ended = environment.phase("given", "Completed", LIMIT).await.unwrap();
    let printed = log(environment, &ended, "read", "secret").await;
    assert!(printed.contains("waiting 0.3 s\n") && printed.contains(": do-not-tell (<nil>)\n"), "{printed}");
    let printed = log(environment, &ended, "read", "map").await;
    assert!(printed.contains(": gentle (<nil>)\n"), "{printed}");
    let ended = environment.settled("given", LIMIT).await.unwrap();
    check_record(environment, &ended, &[SELECTED, STARTED, COMPLETED]).await;
    let events = format!("{:?}", environment.audit_events("given").await.unwrap());
    let status = serde_json::to_string(&ended).unwrap();
    assert!(!events.contains("do-not-tell") && !status.contains("do-not-tell"));
}

/// A task that fails at first, in a pipeline with a name of its own.
async fn tried_twice(environment: &Environment) {
    // 1e-0 is an exit code of 1, and 1e-1, which is less than one, of none.
    let mut task = task(environment, "fickle", &[("EXIT_CODE", "1e-$(context.task.retry-count)")]);
    task["retries"] = 1.into();
    let bundle = push(environment, "mend", json!({"tasks": [task]}));
    let mut execution = execution(environment, "tried-twice", &bundle, &[]);
    execution.spec.workflow_ref.engine_config = Some(json!({"pipeline": "mend"}));
    environment.apply(&execution).await.unwrap();
    let ended = environment.phase("tried-twice", "Completed", LIMIT).await.unwrap();
    let task = task_runs(environment).get(&format!("{}-fickle", run_of(&ended))).await.unwrap();
    let tries = task.data["status"]["retriesStatus"].as_array().unwrap();
    assert_eq!((tries.len(), succeeded(&task)), (1, "True"), "{tries:?}");
    let ended = environment.settled("tried-twice", LIMIT).await.unwrap();
    let run = ended.status.as_ref().unwrap().execution_status.as_ref().unwrap();
    assert_eq!((run.status.as_str(), run.completed_tasks, run.total_tasks), ("True", Some(1), Some(1)));
    assert_eq!(asked(environment, "patch", "pipelineruns", &ended), 1, "it went live once");
    check_record(environment, &ended, &[SELECTED, STARTED, COMPLETED]).await;
}

/// A pipeline that does not mind that one task fails, and passes another over.
async fn lenient(environment: &Environment) {
    let mut minor = task(environment, "minor", &[("EXIT_CODE", "5")]);
    minor["onError"] = "continue".into();
    let mut spare = task(environment, "spare", &[]);
    spare["when"] = json!([{"input": "a", "operator": "in", "values": ["b"]}]);
    let bundle = workflow(environment, &[minor, spare, task(environment, "work", &[])]);
    environment.apply(&execution(environment, "lenient", &bundle, &[])).await.unwrap();
    let ended = environment.settled("lenient", LIMIT).await.unwrap();
    let status = ended.status.as_ref().unwrap();
    assert_eq!((status.phase.as_deref(), &status.failure_details), (Some("Completed"), &None));
    let run = status.execution_status.as_ref().unwrap();
    let told = "Tasks Completed: 2 (Failed: 1 (Ignored: 1), Cancelled 0), Skipped: 1";
    assert_eq!((run.reason.as_deref(), run.message.as_deref()), (Some("Completed"), Some(told)));
    assert_eq!((run.completed_tasks, run.total_tasks), (Some(1), Some(2)), "what was passed over is no task");
    check_record(environment, &ended, &[SELECTED, STARTED, COMPLETED]).await;
}

/// A result of a pipeline that was given these Secrets.
async fn results(
    environment: &Environment,
    name: &str,
    secrets: &[&str],
    of_bundle: Option<&str>,
    told: &str,
) {
    let image = environment.registry().unwrap().reference(evenkeel_cluster::DEMO_STEP);
    let mut step = step("say", &image, &[("WRITE_FILE", "$(results.mode.path)"), ("WRITE_TEXT", "gentle")]);
    if let Some(secret) = of_bundle {
        let token = json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}});
        step["env"].as_array_mut().unwrap().push(token);
    }
    let workspaces: Vec<Value> =
        secrets.iter().map(|name| json!({"name": format!("secret-{name}")})).collect();
    let spec = json!({
        "workspaces": workspaces,
        "results": [{"name": "mode", "value": "$(tasks.choose.results.mode)"}],
        "tasks": [{"name": "choose", "taskSpec": {"results": [{"name": "mode"}], "steps": [step]}}],
    });
    let mut execution = execution(environment, name, &push(environment, "workflow", spec), &[]);
    execution.spec.workflow_ref.dependencies = Some(needs(secrets, &[]));
    environment.apply(&execution).await.unwrap();
    let ended = environment.phase(name, "Completed", LIMIT).await.unwrap();
    let message = ended.status.unwrap().execution_status.unwrap().message.unwrap();
    let expected = format!("Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0; results: {told}");
    assert_eq!(message, expected);
    environment.settled(name, LIMIT).await.unwrap();
    let recorded = environment.audit_events(name).await.unwrap();
    assert_eq!(recorded[2].body["event_data"]["completion_message"], expected.as_str());
}

#[test]
fn a_pipeline_that_somebody_ends_fails_and_says_who_and_what_it_does_finally_is_done() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let cases: Vec<BoxFuture<'_, ()>> = vec![
            Box::pin(called_off(&environment)),
            Box::pin(called_off_by_hand(&environment)),
            Box::pin(run_deleted_by_hand(&environment)),
            Box::pin(deleted(&environment)),
        ];
        together(cases).await;
    });
}

/// A pipeline that takes ten minutes, and the execution of it.
fn long(environment: &Environment, name: &str) -> WorkflowExecution {
    let tasks = [task(environment, "work", &[("SLEEP_SECONDS", "600")])];
    let finally = [task(environment, "tidy", &[])];
    let bundle = push(environment, "workflow", json!({"tasks": tasks, "finally": finally}));
    execution(environment, name, &bundle, &[])
}

fn ended_by(reason: &'static str, complete: &'static str) -> Failure {
    Failure { reason, complete, exit_code: None, executed: true }
}

async fn called_off(environment: &Environment) {
    let execution = running(environment, &long(environment, "called-off"), "work").await;
    let note = json!({"metadata": {"annotations": {"evenkeel.dev/cancel": "not needed any more"}}});
    environment
        .executions()
        .patch("called-off", &PatchParams::default(), &Patch::Merge(&note))
        .await
        .unwrap();
    let tidy = format!("{}-tidy", run_of(&execution));
    let is_done = |task: &DynamicObject| succeeded(task) == "True";
    wait::until(&task_runs(environment), &tidy, "success", LIMIT, is_done).await.unwrap();
    let ended = environment.settled("called-off", LIMIT).await.unwrap();
    check_failure(&ended, &ended_by("TaskFailed", "TaskFailed"));
    let details = failure(&ended);
    assert!(details.message.contains("not needed any more"), "{details:?}");
    assert!(details.natural_language_summary.contains("was cancelled while it ran"), "{details:?}");
    let run = ended.status.as_ref().unwrap().execution_status.as_ref().unwrap();
    assert_eq!((run.status.as_str(), run.reason.as_deref()), ("False", Some("Cancelled")));
    assert_eq!((run.completed_tasks, run.total_tasks), (Some(1), Some(2)));
    check_record(environment, &ended, &[SELECTED, STARTED, FAILED]).await;
}

async fn called_off_by_hand(environment: &Environment) {
    let execution = running(environment, &long(environment, "by-hand"), "work").await;
    let cancel = json!({"spec": {"status": "Cancelled"}});
    let run = run_of(&execution);
    environment.pipeline_runs().patch(&run, &PatchParams::default(), &Patch::Merge(&cancel)).await.unwrap();
    let ended = environment.settled("by-hand", LIMIT).await.unwrap();
    check_failure(&ended, &ended_by("TaskFailed", "TaskFailed"));
    let said = format!("PipelineRun \"{run}\" was cancelled");
    assert!(failure(&ended).message.contains(&said), "{:?}", failure(&ended));
    check_record(environment, &ended, &[SELECTED, STARTED, FAILED]).await;
}

async fn run_deleted_by_hand(environment: &Environment) {
    let execution = running(environment, &long(environment, "run-gone"), "work").await;
    let run = run_of(&execution);
    environment.pipeline_runs().delete(&run, &DeleteParams::background()).await.unwrap();
    // Long before the poll: the watch tells of it.
    let ended = environment.phase("run-gone", "Failed", LIMIT).await.unwrap();
    check_failure(&ended, &ended_by("Unknown", "ExecutionFailed"));
    assert!(failure(&ended).message.contains("deleted"), "{:?}", failure(&ended));
    let ended = environment.settled("run-gone", LIMIT).await.unwrap();
    check_record(environment, &ended, &[SELECTED, STARTED, FAILED]).await;
}

async fn deleted(environment: &Environment) {
    let execution = running(environment, &long(environment, "removed"), "work").await;
    environment.executions().delete("removed", &DeleteParams::default()).await.unwrap();
    wait::until_gone(&environment.executions(), "removed", LIMIT).await.unwrap();
    let run = run_of(&execution);
    assert!(environment.pipeline_runs().get_opt(&run).await.unwrap().is_none());
    let tasks = task_runs(environment).list(&of(&execution)).await.unwrap();
    let pods = environment.pods().list(&of(&execution)).await.unwrap();
    assert!(tasks.items.is_empty() && pods.items.is_empty(), "{tasks:?}, {pods:?}");
    let lease = environment.leases().get(&run).await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.unwrap_or_default(), "", "the target is free");
    check_record(environment, &execution, &[SELECTED, STARTED]).await;
}

#[test]
fn executions_of_different_engines_on_one_target_take_turns() {
    on_a_node(async {
        let environment = TEKTON.get().await.unwrap();
        let bundle = workflow(&environment, &[task(&environment, "work", &[("SLEEP_SECONDS", "1")])]);
        let target = "shop/Deployment/turns";
        let mut pipeline = execution(&environment, "turns-tekton", &bundle, &[]);
        target.clone_into(&mut pipeline.spec.target_resource);
        let job = environment.execution("turns-job", target, &[("SLEEP_SECONDS", "1")]);
        let launches = environment.launches().await.unwrap();
        let (_, job) = tokio::try_join!(environment.apply(&pipeline), environment.apply(&job)).unwrap();
        let executions = environment.executions();
        let has_turn = |it: &WorkflowExecution| {
            it.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
        };
        let waits = |it: &WorkflowExecution| holds(it, "Blocked");
        let decided = |it: &WorkflowExecution| has_turn(it) || waits(it);
        let what = "running or waiting";
        let (one, other) = tokio::try_join!(
            wait::until(&executions, "turns-tekton", what, LIMIT, decided),
            wait::until(&executions, "turns-job", what, LIMIT, decided),
        )
        .unwrap();
        assert!(!(has_turn(&one) && has_turn(&other)), "{one:?}, {other:?}");
        for (own, of_other) in [(&one, "turns-job"), (&other, "turns-tekton")] {
            if let Some(blocked) = condition(own, "Blocked").filter(|_| waits(own)) {
                assert!(blocked.message.contains(of_other), "{blocked:?}");
            }
        }
        let mut ended = Vec::new();
        for name in ["turns-tekton", "turns-job"] {
            let settled = environment.settled(name, LIMIT).await.unwrap();
            assert_eq!(settled.status.as_ref().unwrap().phase.as_deref(), Some("Completed"), "{settled:?}");
            check_record(&environment, &settled, &[SELECTED, STARTED, COMPLETED]).await;
            ended.push(settled.status.unwrap());
        }
        assert_eq!(launches.of(&job.uid().unwrap()).unwrap(), 1, "the Job ran once");
        assert_eq!(asked(&environment, "patch", "pipelineruns", &pipeline), 1, "the pipeline ran once");
        ended.sort_by_key(|status| status.start_time.as_ref().map(|time| time.0));
        let (end, next) = (ended[0].completion_time.as_ref(), ended[1].start_time.as_ref());
        assert!(end.unwrap().0 <= next.unwrap().0, "they overlap: {ended:?}");
    });
}
