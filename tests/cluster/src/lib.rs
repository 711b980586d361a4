//! A real Kubernetes on one machine, for tests and for people.
//!
//! Two tiers. The *control plane* (etcd, API server, controller manager, scheduler) runs as any
//! user. The *node* tier adds containerd and a kubelet, needs root, and really runs pods.
//!
//! ```no_run
//! use evenkeel_cluster::{Cluster, Tier};
//!
//! # fn main() -> evenkeel_cluster::Result<()> {
//! let cluster = Cluster::options().tier(Tier::ControlPlane).start()?;
//! println!("kubectl --kubeconfig {}", cluster.kubeconfig_path().display());
//! cluster.stop()
//! # }
//! ```
//!
//! Everything an instance owns is below its own directory: certificates, kubeconfigs, logs, data
//! and the record of its processes. A person's own kubeconfig is never touched. All calls block;
//! use them before a runtime starts, or through `spawn_blocking`.

mod bundle;
mod certificates;
mod cluster;
mod containerd;
mod control_plane;
mod error;
mod host;
mod http;
pub mod image;
mod instance;
mod jaeger;
mod kubeconfig;
mod network;
mod node;
mod options;
mod packages;
mod paths;
mod ports;
pub mod process;
mod progress;
mod ready;
mod registry;
mod teardown;
mod tekton;
mod tier;
pub mod tools;

pub use bundle::Bundle;
pub use cluster::Cluster;
pub use containerd::{DEMO_IMAGE, PAUSE_IMAGE};
pub use error::{Error, Result};
pub use instance::{Component, Status, down, list};
pub use jaeger::Jaeger;
pub use options::Options;
pub use registry::Registry;
pub use tekton::{DEMO_STEP, SHELL_IMAGE, tekton_definitions};
pub use tier::Tier;
