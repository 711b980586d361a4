use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "wfe-1-abcde"},
        "spec": {"containers": [{"name": "workflow", "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": status,
    }))
    .unwrap()
}

fn container(state: &Value) -> Value {
    json!([{"name": "workflow", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state}])
}

fn exited(code: i32, reason: &str, message: Option<&str>) -> Value {
    container(&json!({"terminated": {"exitCode": code, "reason": reason, "message": message}}))
}

fn task(pod: &Pod) -> FailedTask {
    of_pods(&[pod]).unwrap()
}

#[test]
fn what_a_container_printed_is_no_part_of_what_the_backend_says() {
    let pod = pod(json!({"containerStatuses": exited(7, "Error", Some("no replica\n"))}));
    assert_eq!(printed(&[&pod]).as_deref(), Some("no replica\n"));
    let task = task(&pod);
    assert!(!task.message.contains("replica") && task.last_lines.is_empty(), "{task:?}");
}

#[test]
fn a_container_that_never_started_printed_nothing_and_its_runtime_says_why() {
    let pod =
        pod(json!({"containerStatuses": exited(128, "StartError", Some("exec: \"fix\": not found\n"))}));
    assert_eq!(printed(&[&pod]), None);
    assert_eq!(
        task(&pod).message,
        "container \"workflow\" exited with code 128: StartError: exec: \"fix\": not found"
    );
}

#[test]
fn a_container_that_ended_well_or_in_silence_printed_nothing_worth_telling() {
    // The last one are the kubelet's words.
    let unreadable = "Error on reading termination message from logs: no such file";
    for (code, message) in [(0, Some("done")), (7, None), (7, Some(" \n")), (143, Some(unreadable))] {
        let pod = pod(json!({"containerStatuses": exited(code, "Error", message)}));
        assert_eq!(printed(&[&pod]), None, "{code}, {message:?}");
    }
}

#[test]
fn a_container_that_was_lost_may_have_run_unless_it_was_never_made() {
    let words = "The container could not be located when the pod was terminated";
    let lost = exited(137, "ContainerStatusUnknown", Some(words));
    let with = |key: &str, value: Value| {
        let mut lost = lost.clone();
        lost[0][key] = value;
        lost
    };
    let ran = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}});
    for (statuses, expected) in [
        (lost.clone(), false),
        (with("containerID", json!("")), false),
        (with("containerID", json!("containerd://1")), true),
        (with("lastState", ran), true),
    ] {
        let pod = pod(json!({"containerStatuses": statuses}));
        assert_eq!(has_started(&pod), expected, "{statuses}");
        assert_eq!((printed(&[&pod]), of_pods(&[&pod])), (None, None), "those are the kubelet's words");
    }
}

#[test]
fn who_was_out_of_memory_is_told_how_much_it_had() {
    let pod = pod(json!({"containerStatuses": exited(137, "OOMKilled", None)}));
    assert!(task(&pod).message.ends_with("OOMKilled; its memory limit is 64Mi"), "{:?}", task(&pod));
}

#[test]
fn a_pod_whose_place_was_taken_says_so_with_how_its_container_ended() {
    let low = json!({
        "phase": "Failed", "reason": "Evicted", "message": "low on memory",
        "containerStatuses": exited(137, "Error", Some("half way")),
    });
    let drained = json!({
        "phase": "Running",
        "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }],
        "containerStatuses": exited(143, "Error", Some("half way")),
    });
    for (status, cause, message, code) in [
        (low, "Evicted", "low on memory", 137),
        (drained, "EvictionByEvictionAPI", "Eviction API: evicting", 143),
    ] {
        let pod = pod(status);
        let task = task(&pod);
        assert_eq!((task.cause.as_str(), task.message.as_str()), (cause, message));
        assert_eq!((task.step.as_str(), task.exit_code), ("workflow", Some(code)));
        assert_eq!(printed(&[&pod]).as_deref(), Some("half way"));
        assert!(has_started(&pod));
    }
}

#[test]
fn a_pod_that_its_node_refused_says_so() {
    let refused = pod(json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected"}));
    assert_eq!((task(&refused).cause.as_str(), has_started(&refused)), ("OutOfcpu", false));
    let spared = json!({"conditions": [{"type": "DisruptionTarget", "status": "False", "reason": "x"}]});
    assert_eq!(of_pods(&[&pod(spared)]), None);
}

#[test]
fn of_several_pods_the_first_that_failed_is_told() {
    let fine = pod(json!({"containerStatuses": container(&json!({"running": {}}))}));
    let bad = pod(json!({"containerStatuses": exited(7, "Error", None)}));
    assert_eq!(of_pods(&[&fine, &bad]).unwrap().exit_code, Some(7));
}
