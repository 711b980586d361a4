//! Tekton on a real node, with workflows from bundles in a registry. It needs root; without, these
//! tests say so and pass.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its premise fails")]

use std::{fs, time::Instant};

use evenkeel_cluster::{Bundle, Cluster, Component, DEMO_STEP, Error, Registry, SHELL_IMAGE, Tier};
use serde_json::{Value, json};

const TARGET: (&str, &str) = ("TARGET_RESOURCE", "shop/Deployment/cart");

fn run(cluster: &Cluster, name: &str, bundle: &str, parameters: &[(&str, &str)]) {
    let parameter = |(name, value): &(&str, &str)| json!({ "name": name, "value": value });
    let run = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": { "name": name },
        "spec": {
            "params": parameters.iter().map(parameter).collect::<Vec<_>>(),
            "pipelineRef": { "resolver": "bundles", "params": [
                { "name": "bundle", "value": bundle },
                { "name": "name", "value": "workflow" },
                { "name": "kind", "value": "pipeline" },
            ] },
        },
    });
    cluster.kubectl_with(&["create", "-f", "-"], &run.to_string()).unwrap();
}

/// Waits for the end of a run: its status, reason and message.
fn ended(cluster: &Cluster, name: &str, status: &str) -> Value {
    let run = format!("pipelinerun/{name}");
    let wait = format!("--for=condition=Succeeded={status}");
    let waited = cluster.kubectl(&["wait", &wait, "--timeout=180s", &run]);
    let text = cluster.kubectl(&["get", &run, "-o", "json"]).unwrap();
    waited.unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut run: Value = serde_json::from_str(&text).unwrap();
    let condition = &run["status"]["conditions"][0];
    println!("{name}: {} {}: {}", condition["status"], condition["reason"], condition["message"]);
    run["status"].take()
}

#[test]
fn workflows_run_from_bundles_and_nothing_is_left() {
    let (tier, why) = Tier::best();
    if tier != Tier::Node {
        println!("skipped: {why}");
        return;
    }
    let cluster = Cluster::options().tier(Tier::Node).start().unwrap();
    assert!(!cluster.has_tekton());
    let begun = Instant::now();
    cluster.tekton().unwrap();
    println!("Tekton is ready after {:.1?}", begun.elapsed());
    let begun = Instant::now();
    cluster.tekton().unwrap();
    println!("and still after {:.1?}", begun.elapsed());

    let registry = cluster.registry().unwrap();
    let reference = registry.push_demo_bundle().unwrap();
    assert!(reference.contains("@sha256:"), "{reference}");
    // All at once, as they do not meet.
    run(&cluster, "good", &reference, &[TARGET]);
    run(&cluster, "bad", &reference, &[TARGET, ("EXIT_CODE", "3")]);
    run(&cluster, "missing", &registry.reference("workflows/none:1"), &[]);
    if cluster.has_shell() {
        run_script(&cluster);
    }
    succeeds(&cluster);
    fails_with_its_code(&cluster);
    is_missing(&cluster);
    if cluster.has_shell() {
        ended(&cluster, "script", "False");
        let path = "jsonpath={.status.steps[0].terminated.exitCode}";
        assert_eq!(cluster.kubectl(&["get", "taskrun", "script-t", "-o", path]).unwrap(), "4");
    }
    registry_goes_down_and_comes_back(&cluster, &registry);

    let dir = cluster.dir().to_owned();
    cluster.stop().unwrap();
    assert!(!dir.exists());
    let inside = dir.display().to_string();
    let commands = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        Some(String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " "))
    });
    let left: Vec<String> = commands.filter(|line| line.contains(&inside)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

fn succeeds(cluster: &Cluster) {
    let status = ended(cluster, "good", "True");
    assert_eq!(status["conditions"][0]["reason"], "Succeeded");
    assert_eq!(status["childReferences"].as_array().unwrap().len(), 2);
    let label = "tekton.dev/pipelineRun=good,tekton.dev/pipelineTask=repair";
    let log = cluster.kubectl(&["logs", "-l", label, "-c", "step-act", "--tail=-1"]).unwrap();
    assert!(log.contains("remediating shop/Deployment/cart\n") && log.contains("remediated\n"), "{log}");
}

fn fails_with_its_code(cluster: &Cluster) {
    assert_eq!(ended(cluster, "bad", "False")["conditions"][0]["reason"], "Failed");
    let path = "jsonpath={.status.conditions[0]['reason','message']}";
    let task = cluster.kubectl(&["get", "taskrun", "bad-repair", "-o", path]).unwrap();
    assert_eq!(task, "StepFailed \"step-act\" exited with code 3: Error");
}

fn is_missing(cluster: &Cluster) {
    let status = ended(cluster, "missing", "False");
    assert_eq!(status["conditions"][0]["reason"], "CouldntGetPipeline");
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("NAME_UNKNOWN"), "{message}");
}

/// A pipeline in place, whose step is a script.
fn run_script(cluster: &Cluster) {
    let step =
        json!({ "name": "s", "image": SHELL_IMAGE, "script": "#!/bin/sh\ncat /etc/hostname\nexit 4\n" });
    let run = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": { "name": "script" },
        "spec": { "pipelineSpec": { "tasks": [{ "name": "t", "taskSpec": { "steps": [step] } }] } },
    });
    cluster.kubectl_with(&["create", "-f", "-"], &run.to_string()).unwrap();
}

fn registry_goes_down_and_comes_back(cluster: &Cluster, registry: &Registry) {
    // Not one that was resolved before, for Tekton remembers those by digest.
    let second = json!({ "apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": { "name": "other" } });
    let other = Bundle::demo(&registry.reference(DEMO_STEP)).object(second);
    let reference = registry.push_bundle("workflows/kept:1", &other).unwrap();
    cluster.kill(Component::Registry).unwrap();
    run(cluster, "down", &reference, &[TARGET]);
    let status = ended(cluster, "down", "False");
    assert_eq!(status["conditions"][0]["reason"], "CouldntGetPipeline");
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("connection refused"), "{message}");

    // The cluster is still the same one.
    let attached = Cluster::attach(cluster.name()).unwrap();
    assert_eq!(attached.registry().unwrap().address(), registry.address());
    run(cluster, "back", &reference, &[TARGET]);
    run(cluster, "back-by-tag", &registry.reference("workflows/kept:1"), &[TARGET]);
    ended(cluster, "back", "True");
    ended(cluster, "back-by-tag", "True");
}

#[test]
fn a_control_plane_says_that_tekton_needs_a_node() {
    let error = Cluster::options().tekton(true).start().unwrap_err();
    assert!(matches!(error, Error::TektonNeedsNode(_)), "{error}");
}
