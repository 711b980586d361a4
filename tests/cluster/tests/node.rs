//! A node that really runs pods. It needs root; without, these tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::{fs, process::Command};

use evenkeel_cluster::{Cluster, DEMO_IMAGE, Tier, image::Image, tools, tools::Tool};

const JOBS: &str = r#"
apiVersion: v1
kind: Secret
metadata: { name: credentials }
stringData: { token: hidden }
---
apiVersion: batch/v1
kind: Job
metadata: { name: good }
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      securityContext: { runAsNonRoot: true }
      containers:
        - name: workflow
          image: DEMO
          env: [{ name: TARGET_RESOURCE, value: default/deployment/web }]
          volumeMounts: [{ name: credentials, mountPath: /run/kubernaut/secrets/credentials }]
      volumes: [{ name: credentials, secret: { secretName: credentials } }]
---
apiVersion: batch/v1
kind: Job
metadata: { name: bad }
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{ name: workflow, image: local/imported:1, env: [{ name: EXIT_CODE, value: "7" }] }]
---
apiVersion: batch/v1
kind: Job
metadata: { name: greedy }
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: workflow
          image: DEMO
          env: [{ name: ALLOCATE_MIB, value: "200" }]
          resources: { limits: { memory: 64Mi } }
---
apiVersion: v1
kind: Pod
metadata: { name: endless }
spec:
  containers: [{ name: workflow, image: DEMO, env: [{ name: SLEEP_SECONDS, value: "3600" }] }]
"#;

#[test]
fn jobs_run_to_their_end_and_nothing_is_left() {
    let (tier, why) = Tier::best();
    if tier != Tier::Node {
        println!("skipped: {why}");
        return;
    }
    let cluster = Cluster::options().tier(Tier::Node).start().unwrap();
    import(&cluster, "local/imported:1", "workflow");
    // One that was left up since an older demo takes in the new one, or these Jobs would wait for ever.
    import(&cluster, DEMO_IMAGE, "pause");
    std::fs::write(cluster.dir().join("images-of"), "an older program").unwrap();
    drop(Cluster::find_or_start(cluster.name(), Tier::Node).unwrap());
    cluster.kubectl_with(&["apply", "-f", "-"], &JOBS.replace("DEMO", DEMO_IMAGE)).unwrap();

    let wait = |what: &str, job: &str| cluster.kubectl(&["wait", "--timeout=30s", what, job]).unwrap();
    wait("--for=condition=Complete", "job/good");
    let log = cluster.kubectl(&["logs", "job/good"]).unwrap();
    assert!(log.contains("remediating default/deployment/web"), "{log}");
    assert!(log.contains("mounted /run/kubernaut/secrets/credentials/token\n"), "{log}");
    assert!(!log.contains("hidden"), "content of secrets is not printed");

    let ended = |job: &str| {
        wait("--for=condition=Failed", &format!("job/{job}"));
        let path = "jsonpath={.items[0].status.containerStatuses[0].state.terminated['exitCode','reason']}";
        cluster.kubectl(&["get", "pods", "-l", &format!("job-name={job}"), "-o", path]).unwrap()
    };
    assert_eq!(ended("bad"), "7 Error");
    assert_eq!(ended("greedy"), "137 OOMKilled");

    wait("--for=condition=Ready", "pod/endless");
    let (dir, node) = (cluster.dir().to_owned(), cluster.node_name().unwrap());
    cluster.stop().unwrap();
    assert!(!dir.exists());
    leaves_nothing(&dir.display().to_string(), &node);
}

/// An image comes in by hand.
fn import(cluster: &Cluster, name: &str, command: &str) {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("imported.tar");
    let demo = tools::ensure(&[Tool::Demo]).unwrap();
    let image = Image::new(name).program("/demo", demo.path(Tool::Demo).unwrap());
    image.entrypoint(["/demo", command]).user("65532:65532").write(&archive).unwrap();
    cluster.import_image(&archive).unwrap();
}

fn leaves_nothing(dir: &str, node: &str) {
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(dir));
    let commands: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect();
    let left: Vec<&String> = commands.iter().filter(|line| line.contains(dir)).collect();
    assert!(left.is_empty(), "{left:#?}");

    let number = node.rsplit('-').next().unwrap();
    for bridge in ["ekh", "ekp"] {
        assert!(!fs::exists(format!("/sys/class/net/{bridge}{number}")).unwrap());
    }
    let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&tables.stdout).contains(node));
    // No process of a pod is left either: it would keep its group.
    let groups = Command::new("find").args(["/sys/fs/cgroup", "-name", node]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&groups.stdout), "");
}
