use super::{super::fixtures::attempt, *};

fn rendered(attempt: &Attempt) -> Value {
    pipeline_run(attempt, "runs", 7, None, true)
}

fn with_parameters(given: &[(&str, &str)]) -> Attempt {
    let parameters = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Attempt { parameters, ..attempt() }
}

fn target() -> Value {
    param("TARGET_RESOURCE", "default/Deployment/web")
}

#[test]
fn a_pipeline_run_is_born_pending_under_the_name_of_its_target() {
    let run = rendered(&attempt());
    assert_eq!((&run["apiVersion"], &run["kind"]), (&json!("tekton.dev/v1"), &json!("PipelineRun")));
    assert_eq!(run["metadata"]["name"], attempt().target.run_name());
    assert_eq!(run["metadata"]["namespace"], "runs");
    assert_eq!(run["spec"]["status"], "PipelineRunPending");
    assert_eq!(run["spec"]["timeouts"], json!({"pipeline": "90s"}));
}

#[test]
fn a_pipeline_comes_from_the_bundle_by_the_resolver() {
    let reference = |name: &str| {
        json!({"resolver": "bundles", "params": [
            {"name": "bundle", "value": "registry/fix@sha256:abc"},
            {"name": "name", "value": name},
            {"name": "kind", "value": "pipeline"},
        ]})
    };
    assert_eq!(rendered(&attempt())["spec"]["pipelineRef"], reference("workflow"));
    let named = Attempt { pipeline: Some("rollback".into()), ..attempt() };
    assert_eq!(rendered(&named)["spec"]["pipelineRef"], reference("rollback"));
}

#[test]
fn a_pipeline_run_says_whose_it_is_as_every_run_does() {
    let run = rendered(&attempt());
    assert_eq!(
        run["metadata"]["labels"],
        json!({
            "kubernaut.ai/workflow-execution": "fix",
            "kubernaut.ai/workflow-id": "restart",
            "kubernaut.ai/target-resource": "default__Deployment__web",
            "kubernaut.ai/source-namespace": "ops",
            "kubernaut.ai/execution-engine": "tekton",
        })
    );
    assert_eq!(
        run["metadata"]["annotations"],
        json!({
            "kubernaut.ai/target-resource": "default/Deployment/web",
            "evenkeel.dev/owner": "ops/fix",
            "evenkeel.dev/owner-uid": "u-1",
            "evenkeel.dev/token": "7",
        })
    );
}

#[test]
fn without_parameters_a_pipeline_is_given_its_target_only() {
    assert_eq!(rendered(&attempt())["spec"]["params"], json!([target()]));
}

#[test]
fn parameters_of_a_pipeline_come_by_name_and_its_target_comes_last() {
    let run = rendered(&with_parameters(&[("Z", "1"), ("A", "$(context.pipelineRun.name) $5"), ("M", "")]));
    let expected = [param("A", "$(context.pipelineRun.name) $5"), param("M", ""), param("Z", "1"), target()];
    assert_eq!(run["spec"]["params"], json!(expected));
}

#[test]
fn no_parameter_of_a_pipeline_can_replace_its_target() {
    let run = rendered(&with_parameters(&[("TARGET_RESOURCE", "other/Deployment/web"), ("A", "1")]));
    assert_eq!(run["spec"]["params"], json!([param("A", "1"), target()]));
}

#[test]
fn dependencies_of_a_pipeline_are_workspaces_named_by_what_they_are() {
    assert_eq!(rendered(&attempt())["spec"].get("workspaces"), None);
    let needy = Attempt { secrets: vec!["db".into()], config_maps: vec!["app".into()], ..attempt() };
    let expected = json!([
        {"name": "secret-db", "secret": {"secretName": "db"}},
        {"name": "configmap-app", "configMap": {"name": "app"}},
    ]);
    assert_eq!(rendered(&needy)["spec"]["workspaces"], expected);
}

#[test]
fn a_service_account_of_a_pipeline_is_set_only_when_given() {
    let account =
        |attempt: &Attempt| rendered(attempt)["spec"]["taskRunTemplate"].get("serviceAccountName").cloned();
    assert_eq!(account(&attempt()), None);
    let given = Attempt { service_account: "runner".into(), ..attempt() };
    assert_eq!(account(&given), Some(json!("runner")));
}

#[test]
fn pods_of_a_pipeline_are_hardened_unless_an_image_cannot_have_it() {
    for strict in [true, false] {
        let run = pipeline_run(&attempt(), "runs", 1, None, strict);
        let expected = json!({"securityContext": {
            "runAsNonRoot": strict, "seccompProfile": {"type": "RuntimeDefault"},
        }});
        assert_eq!(run["spec"]["taskRunTemplate"]["podTemplate"], expected);
    }
}

#[test]
fn the_spans_of_tekton_join_the_trace() {
    let context = |tracestate: &str| -> Value {
        let trace = Carrier { traceparent: "00-a-b-01".into(), tracestate: tracestate.into() };
        let run = pipeline_run(&attempt(), "runs", 1, Some(&trace), true);
        let text = run["metadata"]["annotations"]["tekton.dev/pipelinerunSpanContext"].as_str().unwrap();
        serde_json::from_str(text).unwrap()
    };
    assert_eq!(context(""), json!({"traceparent": "00-a-b-01"}));
    assert_eq!(context("v=1"), json!({"traceparent": "00-a-b-01", "tracestate": "v=1"}));
}
