use std::{collections::BTreeMap, time::Duration};

use evenkeel_core::target::Target;

use super::*;
use crate::attempt::Owner;

const HARDENED: Hardening = Hardening { run_as_non_root: true, read_only_root: true };

fn attempt() -> Attempt {
    Attempt {
        owner: Owner { namespace: "ops".into(), name: "fix".into(), uid: "u-1".into() },
        target: Target::parse("default/Deployment/web").unwrap(),
        engine: "job".into(),
        workflow_id: "restart".into(),
        pipeline: None,
        bundle: "registry/fix:1".into(),
        parameters: BTreeMap::new(),
        service_account: String::new(),
        secrets: Vec::new(),
        config_maps: Vec::new(),
        timeout: Duration::from_secs(90),
    }
}

fn rendered(attempt: &Attempt) -> Job {
    job(attempt, "runs", 7, None, HARDENED)
}

fn pod_of(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn names(job: &Job) -> Vec<(String, String)> {
    let env = pod_of(job).containers[0].env.clone().unwrap();
    env.into_iter().map(|one| (one.name, one.value.unwrap())).collect()
}

fn is_label(value: &str) -> bool {
    value.len() <= 63
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[test]
fn a_run_is_born_suspended_without_retries_and_never_vanishes_by_itself() {
    let job = rendered(&attempt());
    let spec = job.spec.as_ref().unwrap();
    assert_eq!(spec.suspend, Some(true));
    assert_eq!(spec.backoff_limit, Some(0));
    assert_eq!(spec.ttl_seconds_after_finished, None);
    assert_eq!(spec.active_deadline_seconds, Some(90));
    assert_eq!(job.metadata.name.as_deref(), Some(attempt().target.run_name().as_str()));
    let pod = pod_of(&job);
    assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
    assert_eq!(pod.containers[0].name, "workflow");
    assert_eq!(pod.containers[0].image.as_deref(), Some("registry/fix:1"));
}

#[test]
fn labels_and_annotations_name_the_owner_the_target_and_the_token() {
    let job = rendered(&attempt());
    let labels = job.metadata.labels.unwrap();
    assert_eq!(labels["kubernaut.ai/workflow-execution"], "fix");
    assert_eq!(labels["kubernaut.ai/workflow-id"], "restart");
    assert_eq!(labels["kubernaut.ai/target-resource"], "default__Deployment__web");
    assert_eq!(labels["kubernaut.ai/source-namespace"], "ops");
    assert_eq!(labels["kubernaut.ai/execution-engine"], "job");
    let annotations = job.metadata.annotations.unwrap();
    assert_eq!(annotations["kubernaut.ai/target-resource"], "default/Deployment/web");
    assert_eq!(annotations["evenkeel.dev/owner"], "ops/fix");
    assert_eq!(annotations["evenkeel.dev/owner-uid"], "u-1");
    assert_eq!(annotations["evenkeel.dev/token"], "7");
}

#[test]
fn labels_are_valid_whatever_the_names_are() {
    for target in [
        "clusterrole/system:admin",
        "ns/Kind/two words",
        "ns/Kind/größe",
        &format!("ns/K/{}-", "x".repeat(200)),
    ] {
        let mut attempt = attempt();
        attempt.target = Target::parse(target).unwrap();
        attempt.owner.name = format!("{}.{}", "n".repeat(70), "m".repeat(70));
        attempt.workflow_id = "id with spaces: 1".into();
        let job = rendered(&attempt);
        for (key, value) in job.metadata.labels.as_ref().unwrap() {
            assert!(is_label(value), "{key}={value}");
        }
        assert_eq!(job.metadata.annotations.unwrap()["kubernaut.ai/target-resource"], target);
    }
}

#[test]
fn the_target_comes_first_and_no_parameter_can_replace_it() {
    let mut attempt = attempt();
    attempt.parameters = [("B", "2"), ("A", "$(B) costs $5"), ("TARGET_RESOURCE", "other")]
        .map(|(k, v)| (k.into(), v.into()))
        .into();
    let env = names(&rendered(&attempt));
    let expected = [
        ("TARGET_RESOURCE", "default/Deployment/web"),
        ("A", "$$(B) costs $5"),
        ("B", "2"),
        ("HOME", "/tmp"),
        ("TMPDIR", "/tmp"),
    ];
    assert_eq!(env, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn the_trace_reaches_the_pod() {
    let trace = Carrier { traceparent: "00-a-b-01".into(), tracestate: String::new() };
    let env = names(&job(&attempt(), "runs", 1, Some(&trace), HARDENED));
    assert!(env.contains(&("TRACEPARENT".to_owned(), "00-a-b-01".to_owned())));
    assert!(!env.iter().any(|(name, _)| name == "TRACESTATE"));
}

#[test]
fn dependencies_are_mounted_read_only_under_valid_distinct_volume_names() {
    let mut attempt = attempt();
    attempt.secrets = vec!["db".into(), "db.prod".into(), "db-prod".into(), "s".repeat(100)];
    attempt.config_maps = vec!["db".into()];
    let job = rendered(&attempt);
    let pod = pod_of(&job);
    let volumes = pod.volumes.as_ref().unwrap();
    let distinct: std::collections::BTreeSet<_> = volumes.iter().map(|volume| &volume.name).collect();
    assert_eq!(distinct.len(), 6);
    for name in distinct {
        assert!(evenkeel_core::target::is_dns_label(name), "{name}");
    }
    let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
    let found = |path: &str| mounts.iter().find(|mount| mount.mount_path == path).unwrap();
    assert_eq!(found("/run/kubernaut/secrets/db.prod").read_only, Some(true));
    assert_eq!(found("/run/kubernaut/secrets/db").name, "secret-db");
    assert_eq!(found("/run/kubernaut/configmaps/db").name, "configmap-db");
}

#[test]
fn without_dependencies_only_the_scratch_volume_is_there() {
    let job = rendered(&attempt());
    let volumes = pod_of(&job).volumes.as_ref().unwrap();
    assert_eq!(volumes.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), ["tmp"]);
}

#[test]
fn what_a_workflow_says_last_comes_with_its_exit_code() {
    let job = rendered(&attempt());
    let policy = pod_of(&job).containers[0].termination_message_policy.as_deref();
    assert_eq!(policy, Some("FallbackToLogsOnError"));
}

#[test]
fn pods_are_hardened_unless_an_image_cannot_have_it() {
    let strict = rendered(&attempt());
    let lax = job(&attempt(), "runs", 1, None, Hardening { run_as_non_root: false, read_only_root: false });
    for (job, expected) in [(strict, true), (lax, false)] {
        let pod = pod_of(&job);
        let context = pod.security_context.as_ref().unwrap();
        assert_eq!(context.run_as_non_root, Some(expected));
        assert_eq!(context.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
        let container = pod.containers[0].security_context.as_ref().unwrap();
        assert_eq!(container.read_only_root_filesystem, Some(expected));
        assert_eq!(container.allow_privilege_escalation, Some(false));
        assert_eq!(container.capabilities.as_ref().unwrap().drop.as_deref(), Some(&["ALL".to_owned()][..]));
    }
}

#[test]
fn a_service_account_is_set_only_when_given() {
    assert_eq!(pod_of(&rendered(&attempt())).service_account_name, None);
    let mut attempt = attempt();
    attempt.service_account = "runner".into();
    assert_eq!(pod_of(&rendered(&attempt)).service_account_name.as_deref(), Some("runner"));
}
