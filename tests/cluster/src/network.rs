//! The node's network: an address of the host that pods can reach, a bridge for pods, and the way
//! out for them.

use std::{fs, process::Command};

use serde_json::json;

use crate::{
    error::{Doing, Result},
    host,
    instance::Instance,
    ports::{Number, Port},
};

/// Makes the host's bridge and the rules, and writes the configuration from which the network
/// plugins make the rest.
pub(crate) fn create(instance: &Instance, number: Number) -> Result<()> {
    let (bridge, address) = (number.host_bridge(), number.host_address());
    let batch = format!(
        "link add {bridge} type bridge
address add {address}/32 dev {bridge}
link set {bridge} up
"
    );
    host::run_with(Command::new("ip").args(["-batch", "-"]), &batch)?;
    // One table of its own, so that taking it away takes all rules away. Traffic between pods and
    // to the host keeps its source address.
    let (table, pods) = (number.label(), number.pods());
    // The one Service that pods reach at its address is the API server.
    let (service, port) = (number.first_service(), number.port(Port::ApiServer));
    let rules = format!(
        "table ip {table} {{
  chain in {{
    type nat hook prerouting priority dstnat;
    ip saddr {pods} ip daddr {service} tcp dport 443 dnat to {address}:{port}
  }}
  chain out {{
    type nat hook postrouting priority srcnat;
    ip saddr {pods} ip daddr != {{ 10.244.0.0/16, 10.250.0.0/16 }} masquerade
  }}
}}
"
    );
    host::run_with(Command::new("nft").args(["-f", "-"]), &rules)?;
    configure_plugins(instance, number)
}

fn configure_plugins(instance: &Instance, number: Number) -> Result<()> {
    let dir = instance.file("cni");
    fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
    let configuration = json!({
        "cniVersion": "0.4.0",
        "name": number.label(),
        "plugins": [{
            "type": "bridge",
            "bridge": number.pod_bridge(),
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": instance.arg("addresses"),
                "ranges": [[{ "subnet": number.pods() }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    let path = dir.join("10-pods.conflist");
    fs::write(&path, configuration.to_string()).doing(|| format!("write {}", path.display()))
}

/// Takes away all that [`create`] and the plugins made outside the instance's directory.
pub(crate) fn remove(number: Number) {
    for bridge in [number.pod_bridge(), number.host_bridge()] {
        if fs::exists(format!("/sys/class/net/{bridge}")).unwrap_or(false) {
            report(host::run(Command::new("ip").args(["link", "delete", &bridge])));
        }
    }
    let table = number.label();
    let tables = host::run(Command::new("nft").args(["list", "tables", "ip"])).unwrap_or_default();
    if tables.lines().any(|line| line.trim() == format!("table ip {table}")) {
        report(host::run(Command::new("nft").args(["delete", "table", "ip", &table])));
    }
}

fn report(result: Result<String>) {
    if let Err(error) = result {
        eprintln!("{error}");
    }
}
