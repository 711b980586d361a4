//! The kubelet, and the ground it stands on.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    control_plane::{Plan, admin},
    error::{Doing, Result},
    instance::Component,
    network,
    ports::Port,
    ready,
    tools::Tool,
};

/// Makes what must be there before anything starts: the host's address, certificates come later.
pub(crate) fn prepare(plan: &Plan) -> Result<()> {
    network::create(plan.instance, plan.number)?;
    make_cgroups(&plan.number.label())
}

/// Starts the kubelet. The API server and the runtime must be up.
pub(crate) fn start(plan: &Plan) -> Result<()> {
    let (instance, name) = (plan.instance, plan.number.label());
    let authority = plan.authority();
    authority.server("kubelet", &[name.clone(), plan.number.host_address().to_string()])?;
    plan.kubeconfig("kubelet.kubeconfig", &format!("system:node:{name}"), &["system:nodes"])?;
    let config = instance.file("kubelet.json");
    fs::write(&config, configuration(plan).to_string()).doing(|| format!("write {}", config.display()))?;
    let args = vec![
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", instance.arg("kubelet.kubeconfig")),
        format!("--root-dir={}", instance.arg("kubelet")),
        format!("--cert-dir={}", instance.arg("certs")),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", plan.number.host_address()),
    ];
    plan.spawn(Component::Kubelet, Tool::Kubelet, args)
}

/// Waits until pods are put on the node.
pub(crate) fn wait_ready(plan: &Plan) -> Result<()> {
    let admin = admin(plan.instance, plan.number, plan.tier)?;
    let path = format!("/api/v1/nodes/{}", plan.number.label());
    let ready = || {
        let node: Value = serde_json::from_str(&admin.get(&path).ok()?).ok()?;
        let is_ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
        let ready = node["status"]["conditions"].as_array()?.iter().any(is_ready);
        (ready && node["spec"]["taints"].is_null()).then_some(())
    };
    ready::wait(plan.instance, Component::Kubelet, "the node to be ready", Duration::from_mins(1), ready)?;
    plan.progress.step("node is ready");
    Ok(())
}

fn configuration(plan: &Plan) -> Value {
    let (instance, number, certs) = (plan.instance, plan.number, plan.authority());
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": number.host_address(),
        "port": number.port(Port::Kubelet),
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": number.port(Port::KubeletHealth),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": certs.arg("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": certs.arg("kubelet.crt"),
        "tlsPrivateKeyFile": certs.arg("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", instance.arg("containerd.sock")),
        "podLogsDir": instance.arg("pods"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [number.dns()],
        // The host's own name servers may not be reachable from a pod, or not exist.
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", number.label()),
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        // Rules of the kubelet's own would outlive it.
        "makeIPTablesUtilChains": false,
        "volumePluginDir": instance.arg("plugins"),
        // Images are imported, not pulled, and stay even if they came under another name before.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": false,
        // Tekton tells a step to begin by an annotation, which a pod sees when it is looked after next.
        "syncFrequency": "5s",
        "maxPods": 200,
        // Its own API requests must not become the bottleneck of a test.
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    })
}

/// The kubelet wants its root group to exist in all hierarchies.
fn make_cgroups(name: &str) -> Result<()> {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").is_file();
    if unified {
        for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] {
            // Not every kernel has each; the kubelet says so if one it needs is missing.
            let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", format!("+{controller}"));
        }
    }
    for group in cgroups(name) {
        fs::create_dir_all(&group).doing(|| format!("create {}", group.display()))?;
        // A new cpuset is empty, and no process can be in it.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Some(above) = group.parent().filter(|_| !unified)
                && let Ok(value) = fs::read(above.join(file))
            {
                let _ = fs::write(group.join(file), value);
            }
        }
    }
    Ok(())
}

/// The directories of a group: one, or one for each hierarchy of version 1.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let home = Path::new("/sys/fs/cgroup");
    if home.join("cgroup.controllers").is_file() {
        return vec![home.join(name)];
    }
    let hierarchies = fs::read_dir(home).into_iter().flatten().flatten();
    // Links such as `cpu` to `cpu,cpuacct` would only name a hierarchy again.
    let own = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    hierarchies.filter(own).map(|entry| entry.path().join(name)).collect()
}
