//! The client that does the least: the three writes of a fenced start and nothing else. No status,
//! no record, no look before it leaps.

use std::pin::pin;

use anyhow::Context as _;
use evenkeel_test_kit::Environment;
use futures::TryStreamExt as _;
use k8s_openapi::api::{batch::v1::Job, coordination::v1::Lease};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::timeline::{Stage, Timeline};

/// The mark on a Lease whose Job is complete.
const MARK: &str = "evenkeel.dev/complete";

/// Launches Jobs.
#[derive(Clone)]
pub struct Raw {
    leases: Api<Lease>,
    jobs: Api<Job>,
}

impl Raw {
    /// In the namespaces of this environment, whose services do not run.
    pub fn new(environment: &Environment) -> Self {
        Self { leases: environment.leases(), jobs: environment.jobs() }
    }

    /// Creates a Lease and a Job that is suspended, and lets the Job go.
    pub async fn launch(&self, name: &str) -> anyhow::Result<()> {
        let parameters = PostParams::default();
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {"evenkeel.dev/target": name}},
            "spec": {"holderIdentity": name, "leaseTransitions": 1},
        }))?;
        self.leases.create(&parameters, &lease).await.context("create the Lease")?;
        let job: Job = serde_json::from_value(job(name))?;
        let created = self.jobs.create(&parameters, &job).await.context("create the Job")?;
        let go = Patch::Merge(json!({"metadata": {"uid": created.uid()}, "spec": {"suspend": false}}));
        self.jobs.patch(name, &PatchParams::default(), &go).await.context("let the Job go")?;
        Ok(())
    }

    /// What this client does when it sees a Job complete: one write.
    pub fn completed(&self) -> impl Fn(&Job) + Send + 'static {
        let leases = self.leases.clone();
        move |job| {
            let (leases, name) = (leases.clone(), job.name_any());
            tokio::spawn(async move {
                let mark = Patch::Merge(json!({"metadata": {"annotations": {MARK: "true"}}}));
                if let Err(error) = leases.patch(&name, &PatchParams::default(), &mark).await {
                    eprintln!("could not mark {name}: {error}");
                }
            });
        }
    }

    /// Notes when the Leases of complete Jobs are seen marked.
    pub fn follow(&self, timeline: &Timeline) -> JoinHandle<()> {
        let (leases, timeline) = (self.leases.clone(), timeline.clone());
        tokio::spawn(async move {
            let changes = watcher(leases, watcher::Config::default()).default_backoff().applied_objects();
            let mut changes = pin!(changes);
            while let Ok(Some(lease)) = changes.try_next().await {
                if lease.annotations().contains_key(MARK) {
                    timeline.note(&lease.name_any(), Stage::Ended);
                    timeline.note(&lease.name_any(), Stage::Settled);
                }
            }
        })
    }
}

/// A Job much like the executor's.
fn job(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "raw"}},
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "activeDeadlineSeconds": 1800,
            "template": {"spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "workflow",
                    "image": evenkeel_cluster::DEMO_IMAGE,
                    "env": [
                        {"name": "TARGET_RESOURCE", "value": format!("shop/Deployment/{name}")},
                        {"name": "AMOUNT", "value": "1"},
                    ],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            }},
        },
    })
}
