//! A control plane, started and ended for real. It runs as any user.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use evenkeel_cluster::{Cluster, Component, Error, Jaeger, down, list};

/// Whether any process has `dir` in its arguments.
fn runs_in(dir: &Path) -> bool {
    let inside = format!("{}/", dir.display());
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&inside)
    })
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_clusters_run_side_by_side_and_leave_nothing() {
    let starts = [(); 2].map(|()| thread::spawn(|| Cluster::options().start().unwrap()));
    let [first, second] = starts.map(|start| start.join().unwrap());
    assert_ne!(first.url(), second.url());

    first.kubectl(&["create", "configmap", "only-here"]).unwrap();
    first.kubectl(&["get", "configmap", "only-here"]).unwrap();
    let missing = second.kubectl(&["get", "configmap", "only-here"]).unwrap_err();
    assert!(missing.to_string().contains("NotFound"), "{missing}");

    let dirs = [&first, &second].map(|cluster| cluster.dir().to_owned());
    assert!(dirs.iter().all(|dir| runs_in(dir)));
    first.stop().unwrap();
    drop(second);
    for dir in dirs {
        assert!(!dir.exists());
        assert!(!runs_in(&dir));
    }
}

#[test]
fn objects_survive_a_restart_and_a_pause_of_the_api_server() {
    let cluster = Cluster::options().argument(Component::ApiServer, "--watch-cache=false").start().unwrap();
    cluster.kubectl(&["create", "configmap", "kept"]).unwrap();
    cluster.apiserver_restart().unwrap();
    cluster.kubectl(&["get", "configmap", "kept"]).unwrap();

    cluster.pause(Component::ApiServer).unwrap();
    let get = ["--request-timeout=500ms", "get", "configmap", "kept"];
    cluster.kubectl(&get).unwrap_err();
    cluster.resume(Component::ApiServer).unwrap();
    cluster.wait_ready().unwrap();
    cluster.kubectl(&["get", "configmap", "kept"]).unwrap();

    cluster.kill(Component::Scheduler).unwrap();
    assert!(!cluster.is_alive(Component::Scheduler));
    assert!(matches!(Cluster::attach(cluster.name()), Err(Error::NotRunning(_))), "it is not complete");
    cluster.restart(Component::Scheduler).unwrap();
    assert!(cluster.is_alive(Component::Scheduler));

    users_have_the_rights_of_their_groups(&cluster);
}

fn users_have_the_rights_of_their_groups(cluster: &Cluster) {
    let as_user = |user: &str, groups: &[&str]| {
        let kubeconfig = cluster.kubeconfig_for(user, groups).unwrap();
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        cluster.kubectl(&[&kubeconfig, "auth", "whoami", "-o", "jsonpath={.status.userInfo}"]).unwrap()
    };
    let info = as_user("alice: \"the\" operator", &["team", "on-call"]);
    assert!(info.contains(r#"alice: \"the\" operator"#), "{info}");
    assert!(info.contains(r#""team""#) && info.contains(r#""on-call""#), "{info}");
    let refused = cluster.kubeconfig_for("bob", &["a", "b", "c"]).unwrap_err();
    assert!(matches!(refused, Error::Groups(3)));
    let path = cluster.kubeconfig_for("bob", &[]).unwrap();
    let kubeconfig = format!("--kubeconfig={}", path.display());
    let refused = cluster.kubectl(&[&kubeconfig, "get", "secrets"]).unwrap_err();
    assert!(refused.to_string().contains("Forbidden"), "{refused}");
}

#[test]
fn programs_that_ask_for_one_name_share_one_cluster() {
    let name = format!("shared-{}", std::process::id());
    let options = || Cluster::options().name(&name).keep(true);
    let finders = [(); 3].map(|()| {
        let options = options();
        thread::spawn(|| options.find_or_start().unwrap())
    });
    let clusters = finders.map(|finder| finder.join().unwrap());
    assert!(clusters.iter().all(|cluster| cluster.url() == clusters[0].url()));
    assert!(matches!(options().start(), Err(Error::AlreadyRunning(_))));
    drop(clusters);

    let cluster = Cluster::attach(&name).unwrap();
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert!(runs_in(&dir), "it stays up for the next");
    assert!(down(&name).unwrap());
    assert!(!runs_in(&dir) && !dir.exists());
    assert!(!down(&name).unwrap(), "there is nothing left to end");
}

#[test]
fn what_a_killed_starter_left_is_cleared_away_by_the_next() {
    let name = format!("crash-{}", std::process::id());
    let mut starter = Command::new(env!("CARGO_BIN_EXE_evenkeel-cluster"))
        .args(["up", "--tier", "control-plane", "--name", &name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let left = || list().unwrap().into_iter().find(|instance| instance.name == name);
    eventually("the API server starts", || left().is_some_and(|instance| instance.components.len() >= 2));
    starter.kill().unwrap();
    starter.wait().unwrap();
    let dir = left().unwrap().dir;
    assert!(!left().unwrap().up);
    assert!(runs_in(&dir), "its processes outlive it");

    Cluster::options().start().unwrap().stop().unwrap();
    assert!(left().is_none());
    assert!(!dir.exists() && !runs_in(&dir));
}

#[test]
fn a_component_that_cannot_start_is_named_with_its_log() {
    let options = Cluster::options().argument(Component::ApiServer, "--no-such-flag");
    let Err(Error::Exited { component, log, tail }) = options.start() else { panic!("it must not start") };
    assert_eq!(component, "kube-apiserver");
    assert!(tail.contains("--no-such-flag"), "{tail}");
    assert!(log.is_file(), "the log stays");
    let dir = log.ancestors().nth(2).unwrap();
    assert!(!runs_in(dir));
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1, "all but the logs is gone");
    fs::remove_dir_all(dir).unwrap();
}

/// Needs a program that takes minutes to build, so only on demand.
#[test]
#[ignore = "builds Jaeger, which takes minutes the first time"]
fn jaeger_answers_and_leaves_nothing() {
    let jaeger = Jaeger::start().unwrap();
    assert!(jaeger.query("/api/services").unwrap().contains("\"data\""));
    let name = jaeger.name().to_owned();
    drop(jaeger);
    assert!(!list().unwrap().iter().any(|instance| instance.name == name));
}
