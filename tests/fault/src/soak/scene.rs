//! Where a soak happens: the services of one environment, two controllers among them.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use evenkeel_api::WorkflowExecution;
use evenkeel_cluster::{Cluster, Tier};
use evenkeel_test_kit::{
    Environment, Launches, Options, Replica, Repository, Service, ServiceProcess, StandIn,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt as _, api::ListParams};
use tokio::time::{Instant, sleep};

use super::book::Book;
use crate::verdict;

/// Whoever clears targets.
pub(super) const PERSON: &str = "mary";
/// What a lock says it is of.
const TARGET: &str = "evenkeel.dev/target";
/// Between two looks at what nobody tells of.
const PAUSE: Duration = Duration::from_millis(500);

/// Settings that let a lot happen in minutes.
const SETTINGS: [(&str, &str); 6] = [
    ("EVENKEEL_COOLDOWN", "1s"),
    ("EVENKEEL_BACKOFF", "1s"),
    ("EVENKEEL_BACKOFF_MAX", "2s"),
    ("EVENKEEL_POLL_INTERVAL", "2s"),
    ("EVENKEEL_START_TIMEOUT", "3s"),
    ("EVENKEEL_RETENTION", "10s"),
];

/// The services, and what is known of what they do.
pub(super) struct Scene {
    pub(super) environment: Environment,
    /// The other controller.
    pub(super) second: Replica,
    pub(super) launches: Launches,
    pub(super) book: Book,
    /// The executions as a person sees them who may clear targets, and no more.
    pub(super) person: Api<WorkflowExecution>,
    _kubelet: Option<StandIn>,
    // Ends last.
    _cluster: Arc<Cluster>,
}

impl Scene {
    pub(super) async fn open(cluster: Arc<Cluster>) -> anyhow::Result<Self> {
        let options = Options::default().tier(Tier::ControlPlane).cluster(&cluster.kubeconfig_path());
        let options = SETTINGS.into_iter().fold(options, |all, (name, value)| all.setting(name, value));
        let environment = Environment::start(options).await?;
        let second = environment.replica(Service::Controller)?;
        second.start(&[])?;
        second.ready().await?;
        let launches = environment.launches().await?;
        let book = Book::follow(environment.executions());
        let person = Api::namespaced(environment.operator(PERSON).await?, environment.namespace());
        let runs_pods = cluster.tier() == Tier::Node;
        let kubelet = (!runs_pods).then(|| StandIn::begin(environment.pods()));
        Ok(Self { environment, second, launches, book, person, _kubelet: kubelet, _cluster: cluster })
    }

    /// Every process, with a name that tells them apart.
    pub(super) fn processes(&self) -> [(&'static str, &ServiceProcess); 4] {
        let of = |service| self.environment.service(service);
        [
            ("controller", of(Service::Controller)),
            ("controller 2", &self.second),
            ("executor", of(Service::Executor)),
            ("audit", of(Service::Audit)),
        ]
    }

    /// Waits until every execution was deleted as its retention says, and nothing of it is left.
    pub(super) async fn rest(&self, limit: Duration) -> anyhow::Result<()> {
        self.book.all_gone(limit).await?;
        let begun = Instant::now();
        loop {
            let left = verdict::leftovers(&self.environment).await?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < limit, "after {limit:?} {}", left.join("; "));
            sleep(PAUSE).await;
        }
    }

    /// How many Leases remember each target.
    pub(super) async fn locks(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut locks = BTreeMap::new();
        for lease in self.environment.leases().list(&ListParams::default()).await? {
            let target = lease.annotations().get(TARGET).cloned().unwrap_or_else(|| lease.name_any());
            *locks.entry(target).or_default() += 1;
        }
        Ok(locks)
    }

    /// The Leases beside the executions: that of the leader.
    pub(super) fn leaders(&self) -> Api<Lease> {
        Api::namespaced(self.environment.client(), self.environment.namespace())
    }

    /// Copies the logs to where they stay.
    pub(super) fn keep_logs(&self) -> anyhow::Result<PathBuf> {
        let kept = Repository::find()?.file("target/soak");
        fs::create_dir_all(&kept).with_context(|| format!("create {}", kept.display()))?;
        for (name, process) in self.processes() {
            let _ = fs::copy(process.log(), kept.join(format!("{}.log", name.replace(' ', "-"))));
        }
        Ok(kept)
    }
}
