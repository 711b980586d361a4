use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::args::{Cli, Command};

fn args(line: &[&str]) -> Result<RunArgs, clap::Error> {
    let line = ["evenkeel", "run"].iter().chain(line);
    match Cli::try_parse_from(line)?.command {
        Command::Run(args) => Ok(*args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_become_the_object_that_is_created() {
    let args = args(&[
        "--workflow",
        "restart-pod",
        "--version",
        "1.2.0",
        "--image",
        "local/x:1",
        "--target",
        "default/Deployment/a",
        "--param",
        "REPLICAS=3",
        "--param",
        "NOTE=a=b",
        "--secret",
        "s",
        "--config-map",
        "c",
        "--timeout",
        "1m30s",
        "--service-account",
        "runner",
        "--name",
        "one",
        "--request",
        "rr-1",
    ])
    .unwrap();
    let object = manifest(&args, "ns").unwrap();
    assert_eq!(
        serde_json::to_value(&object).unwrap(),
        json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution",
            "metadata": {"name": "one", "namespace": "ns"},
            "spec": {
                "remediationRequestRef": {"name": "rr-1"},
                "workflowRef": {
                    "workflowId": "restart-pod", "version": "1.2.0", "executionBundle": "local/x:1",
                    "executionEngine": "job", "serviceAccountName": "runner",
                    "dependencies": {"secrets": [{"name": "s"}], "configMaps": [{"name": "c"}]},
                },
                "targetResource": "default/Deployment/a",
                "parameters": {"REPLICAS": "3", "NOTE": "a=b"},
                "executionConfig": {"timeout": "1m30s"},
            },
        })
    );
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_sent() {
    let whole = ["--workflow", "w", "--bundle", "b", "--target", "Node/n1"];
    assert!(args(&whole).is_ok());
    for wrong in [
        vec![],
        vec!["--workflow", "w", "--bundle", "b"],
        vec!["--workflow", "w", "--bundle", "b", "--target", "n1"],
        vec!["--workflow", "w", "--bundle", "b", "--target", "a//b"],
        [&whole[..], &["--param", "A-B=1"]].concat(),
        [&whole[..], &["--param", "1A=1"]].concat(),
        [&whole[..], &["--timeout", "soon"]].concat(),
        [&whole[..], &["--wait-timeout", "1m"]].concat(),
        [&whole[..], &["--engine-config", "[]"]].concat(),
        [&whole[..], &["-f", "x.yaml"]].concat(),
    ] {
        assert!(args(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_timeout_of_nothing_or_less_is_called_what_it_is() {
    let whole = ["--workflow", "w", "--bundle", "b", "--target", "Node/n1"];
    for (timeout, word) in [("0s", "above zero"), ("-5s", "negative"), ("soon", "not a duration")] {
        let error = args(&[&whole[..], &["--timeout", timeout]].concat()).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(timeout), "{error}");
    }
}

#[test]
fn a_parameter_given_twice_is_refused() {
    let args =
        args(&["--workflow", "w", "--bundle", "b", "--target", "Node/n", "-p", "A=1", "-p", "A=2"]).unwrap();
    assert!(matches!(manifest(&args, "ns"), Err(Error::Usage(_))));
}

#[test]
fn a_file_keeps_its_namespace_and_fields_that_this_release_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.yaml");
    let text = "apiVersion: kubernaut.ai/v1alpha1\nkind: WorkflowExecution\n\
                metadata: {name: a, namespace: b}\nspec: {clusterID: new}\n";
    std::fs::write(&path, text).unwrap();
    for flag in ["timeout", "secret", "service-account", "request", "engine", "version", "digest"] {
        let flag = format!("--{flag}=x1m");
        assert!(args(&["-f", path.to_str().unwrap(), &flag]).is_err(), "{flag} would not do anything");
    }
    let args = args(&["-f", path.to_str().unwrap()]).unwrap();
    let object = manifest(&args, "ns").unwrap();
    assert_eq!(object.namespace().as_deref(), Some("b"));
    assert_eq!(object.data["spec"]["clusterID"], "new");
    for wrong in ["kind: Pod\napiVersion: v1\nmetadata: {name: a}\n", "][", "---\na: 1\n---\nb: 1\n"] {
        std::fs::write(&path, wrong).unwrap();
        let error = manifest(&args, "ns").unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
    }
}

#[test]
fn a_made_up_name_is_a_good_name_and_never_the_same() {
    for workflow in ["Restart Pod!", "---", "a".repeat(200).as_str(), "0af7651916cd43dd8448eb211c80319c"] {
        let name = name_for(workflow);
        assert!(name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-'), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert_ne!(name, name_for(workflow));
    }
}

#[test]
fn the_callers_trace_goes_on_and_junk_does_not() {
    let args = args(&["--workflow", "w", "--bundle", "b", "--target", "Node/n"]).unwrap();
    let mut object = from_flags(&args).unwrap();
    continue_trace(&mut object, |_| Some("junk".to_owned()));
    assert!(object.annotations().is_empty());
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    continue_trace(&mut object, |name| (name == "TRACEPARENT").then(|| parent.to_owned()));
    assert_eq!(object.annotations()[TRACEPARENT_ANNOTATION], parent);
}
