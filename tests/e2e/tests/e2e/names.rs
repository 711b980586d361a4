//! Targets and names that Kubernetes could not take as they are.

use std::collections::BTreeMap;

use evenkeel_core::target::run_name;
use kube::ResourceExt as _;

use crate::support::{LIMIT, SHARED, log, on_a_node};

/// Runs the demo on a target; what it printed, and the labels and annotations of its Job.
async fn play(name: &str, target: &str) -> (String, BTreeMap<String, String>, BTreeMap<String, String>) {
    let environment = SHARED.get().await.unwrap();
    environment.apply(&environment.execution(name, target, &[])).await.unwrap();
    let ended = environment.phase(name, "Completed", LIMIT).await.unwrap();
    let job = environment.jobs().get(&run_name(target)).await.unwrap();
    let printed = log(&environment, &ended).await;
    (printed, job.labels().clone(), job.annotations().clone())
}

fn check(
    target: &str,
    printed: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) {
    assert!(
        printed.contains(&format!("remediating {target}\n")),
        "the workflow is given the whole target: {printed}"
    );
    assert_eq!(annotations["kubernaut.ai/target-resource"], target);
    for (key, value) in labels {
        let edge = |c: char| c.is_ascii_alphanumeric();
        let valid = value.len() <= 63 && value.starts_with(edge) && value.ends_with(edge);
        assert!(valid, "{key} is {value:?}");
    }
}

#[test]
fn a_target_of_two_hundred_characters_is_remediated() {
    on_a_node(async {
        let target = format!("production/Deployment/{}", "checkout-".repeat(19).trim_end_matches('-'));
        let target = format!("{target:x<200}");
        assert_eq!(target.len(), 200);
        let (printed, labels, annotations) = play("long-target", &target).await;
        check(&target, &printed, &labels, &annotations);
    });
}

#[test]
fn a_target_with_signs_that_no_label_may_have_is_remediated() {
    on_a_node(async {
        let target = "ClusterRole/system:größe admin_";
        let (printed, labels, annotations) = play("odd-target", target).await;
        check(target, &printed, &labels, &annotations);
    });
}

#[test]
fn an_execution_whose_name_is_too_long_for_a_label_runs() {
    on_a_node(async {
        let name = format!("long-{}", "x".repeat(115));
        let target = "shop/Deployment/long-name";
        let (printed, labels, annotations) = play(&name, target).await;
        check(target, &printed, &labels, &annotations);
        assert!(labels["kubernaut.ai/workflow-execution"].starts_with("long-x"));
    });
}
