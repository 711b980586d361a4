//! The walls of the house: a room that learns what it may not know fails here.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// What each room may know of the others, and which libraries it may not know at all. A name that
/// ends in `*` stands for every crate that begins so.
const ROOMS: [(&str, &[&str], &[&str]); 9] = [
    ("core", &[], &["kube*", "k8s-*", "tonic*", "tokio*", "rand*", "jiff", "uuid", "rusqlite"]),
    ("chain", &[], &["kube*", "k8s-*", "tonic*", "tokio*", "rand*", "jiff", "uuid", "rusqlite"]),
    ("proto", &[], &["kube*", "k8s-*", "tokio*"]),
    ("api", &[], &["tonic*", "tokio*", "kube-client", "kube-runtime"]),
    ("kit", &["proto"], &["rusqlite"]),
    ("controller", &["api", "core", "kit", "proto"], &["rusqlite"]),
    ("executor", &["core", "kit", "proto"], &["rusqlite"]),
    ("audit", &["chain", "kit", "proto"], &["kube*", "k8s-*"]),
    ("cli", &["api", "audit", "chain", "controller", "core", "executor", "kit", "proto"], &["rusqlite"]),
];

/// Direct dependencies of every package of the workspace, without those of its tests.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(super::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().map(|package| (text(&package["name"]), direct(package))).collect()
}

fn direct(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().expect("dependencies");
    all.iter().filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn broken(room: &str, may_know: &[&str], may_not_use: &[&str], known: &[String]) -> Vec<String> {
    let mut arrows = Vec::new();
    for name in known {
        match name.strip_prefix("evenkeel-") {
            Some(other) if !may_know.contains(&other) => arrows.push(format!("{room} -> room {other}")),
            None if may_not_use.iter().any(|pattern| matches(pattern, name)) => {
                arrows.push(format!("{room} -> library {name}"));
            }
            _ => {}
        }
    }
    arrows
}

#[test]
fn no_room_knows_what_it_may_not() {
    let all = dependencies();
    let mut arrows = Vec::new();
    for (room, may_know, may_not_use) in ROOMS {
        let known = all.get(&format!("evenkeel-{room}")).unwrap_or_else(|| panic!("no room {room}"));
        arrows.extend(broken(room, may_know, may_not_use, known));
    }
    assert!(arrows.is_empty(), "forbidden: {arrows:#?}");
}

#[test]
fn every_service_and_room_is_listed() {
    let listed: Vec<String> = ROOMS.iter().map(|(room, ..)| format!("evenkeel-{room}")).collect();
    let tests = ["evenkeel-cluster", "evenkeel-test-"];
    let unlisted: Vec<_> = dependencies()
        .into_keys()
        .filter(|name| !listed.contains(name) && !tests.iter().any(|start| name.starts_with(start)))
        .collect();
    assert!(unlisted.is_empty(), "add to ROOMS: {unlisted:?}");
}

#[test]
fn a_wrong_arrow_is_found() {
    let known = ["evenkeel-api".to_owned(), "kube".to_owned(), "serde".to_owned()];
    assert_eq!(broken("core", &[], &["kube*"], &known), ["core -> room api", "core -> library kube"]);
}
