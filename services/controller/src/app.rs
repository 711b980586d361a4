//! Puts the controller together.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use evenkeel_api::WorkflowExecution;
use evenkeel_kit::{
    admin, channel,
    leader::{Elector, Identity, Leadership},
    readiness::Readiness,
    settings::Settings,
    shutdown::CancellationToken,
};
use futures::{FutureExt as _, future::BoxFuture};
use kube::{
    Api, Client,
    runtime::reflector::{self, Store},
};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    audit,
    backoff::Failures,
    catalogue::{Catalogue, WORKFLOWS},
    config::{Arguments, Config, Source},
    events,
    executors::{self, EXECUTOR, Executors},
    index::Index,
    latest::Latest,
    live::{Live, Reload},
    metrics::Metrics,
    objects::{OBJECTS, Watching},
    retention::Retention,
    service::Context,
    status::Objects,
    term::{Senders, Term},
    watch::{Follower, Runs, Wake},
};

/// A controller that has its admin port and drives nothing yet.
pub struct App {
    config: Config,
    client: Client,
    readiness: Readiness,
    metrics: Metrics,
    address: SocketAddr,
    listeners: Vec<TcpListener>,
    registry: Arc<Registry>,
    reload: Option<Reload>,
}

/// What is there whether this process leads or not.
struct Standing {
    config: Config,
    client: Client,
    metrics: Metrics,
    executors: Executors,
    catalogue: Catalogue,
    store: Store<WorkflowExecution>,
    index: Arc<Index>,
    runs: Arc<Runs>,
    latest: Arc<Latest>,
    live: Live,
    wake: Wake,
}

impl App {
    /// Binds the admin port.
    pub async fn bind(config: &Config, client: Client) -> anyhow::Result<Self> {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let readiness = Readiness::new(&[OBJECTS, EXECUTOR, WORKFLOWS]);
        let mut listeners = Vec::new();
        for address in std::iter::once(config.admin_listen).chain(config.metrics_listen) {
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.with_context(|| format!("listen on {address}"))?);
        }
        let address = listeners[0].local_addr()?;
        let (config, registry) = (config.clone(), Arc::new(registry));
        Ok(Self { config, client, readiness, metrics, address, listeners, registry, reload: None })
    }

    /// The same, with its settings read again when their file changes.
    #[must_use]
    pub fn following(self, source: Source, settings: Settings<Arguments>) -> Self {
        Self { reload: Some(Reload::new(source, settings)), ..self }
    }

    /// Address of health, readiness and metrics.
    pub fn admin_address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the controller can do its work.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Drives executions until shutdown; then finishes what it is at, and returns.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { config, client, readiness, metrics, address, listeners, registry, reload } = self;
        // What outlives the last term, so that it can be looked at until everything is done.
        let ending = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(admin::serve(listener, registry.clone(), readiness.clone(), ending.clone()));
        }
        let (standing, beside) = Standing::new(config, client, metrics, &readiness)?;
        for task in beside.all(&standing, reload, &shutdown) {
            tasks.spawn(task.map(Ok));
        }
        let Config { namespace, leader_election, leader_election_id, .. } = &standing.config;
        tracing::info!(namespace, admin = %address, "driving executions");
        if *leader_election {
            let (client, me) = (standing.client.clone(), Identity::listening_on(address));
            let elector = Elector::new(client, namespace, leader_election_id, me, readiness);
            standing.lead(elector, &shutdown).await?;
        } else {
            standing.lead_alone(&shutdown).await?;
        }
        ending.cancel();
        while let Some(ended) = tasks.join_next().await {
            ended.context("end what runs beside")??;
        }
        Ok(())
    }
}

/// What follows the cluster and the executors, also while another replica leads.
struct Beside {
    watching: Watching,
    followers: Vec<Follower>,
    catalogue: Catalogue,
    readiness: Readiness,
}

impl Beside {
    fn all(
        self,
        standing: &Standing,
        reload: Option<Reload>,
        shutdown: &CancellationToken,
    ) -> Vec<BoxFuture<'static, ()>> {
        let stop = || shutdown.clone();
        let mut tasks =
            vec![self.watching.run(stop()).boxed(), self.catalogue.follow(self.readiness, stop()).boxed()];
        for follower in self.followers {
            let (executors, wake) = (standing.executors.clone(), standing.wake.clone());
            tasks.push(executors::keep(executors, follower.which, wake, stop()).boxed());
            tasks.push(follower.run(stop()).boxed());
        }
        if let Some(reload) = reload {
            tasks.push(reload.run(standing.live.clone(), standing.wake.clone(), stop()).boxed());
        }
        tasks
    }
}

impl Standing {
    fn new(
        config: Config,
        client: Client,
        metrics: Metrics,
        readiness: &Readiness,
    ) -> anyhow::Result<(Self, Beside)> {
        let (index, runs, latest) =
            (Arc::<Index>::default(), Arc::<Runs>::default(), Arc::<Latest>::default());
        let (live, wake) = (Live::new(&config), Wake::default());
        let known = (index.clone(), runs.clone());
        let executors = Executors::connect(&config.executors, &config.security, known, config.start_timeout)?;
        let (store, writer) = reflector::store();
        let watching = Watching {
            api: Api::namespaced(client.clone(), &config.namespace),
            writer,
            index: index.clone(),
            latest: latest.clone(),
            runs: runs.clone(),
            wake: wake.clone(),
            readiness: readiness.clone(),
            has_audit: config.audit.is_some(),
        };
        let follower = |which| Follower {
            executors: executors.clone(),
            which,
            runs: runs.clone(),
            index: index.clone(),
            wake: wake.clone(),
            readiness: readiness.clone(),
        };
        let followers = (0..executors.count()).map(follower).collect();
        let catalogue = Catalogue::new(client.clone(), &config.namespace, config.data_storage());
        let (readiness, following) = (readiness.clone(), catalogue.clone());
        let beside = Beside { watching, followers, catalogue: following, readiness };
        let standing =
            Self { config, client, metrics, executors, catalogue, store, index, runs, latest, live, wake };
        Ok((standing, beside))
    }

    /// Leads whenever nobody else does, until shutdown.
    async fn lead(&self, mut elector: Elector, shutdown: &CancellationToken) -> anyhow::Result<()> {
        while let Some(leadership) = shutdown.run_until_cancelled(elector.win()).await {
            self.metrics.leads(true);
            let (term, senders) = self.term(leadership)?;
            let (ended, enough) = (CancellationToken::new(), CancellationToken::new());
            let sending = tokio::spawn(senders.run(ended.clone()));
            // On its own, so that no look keeps it from renewing in time.
            let mut keeping = tokio::spawn({
                let enough = enough.clone();
                async move {
                    enough.run_until_cancelled(elector.keep()).await;
                    elector
                }
            });
            let lost = tokio::select! {
                () = term.run(shutdown.clone()) => None,
                lost = &mut keeping => Some(lost),
            };
            self.metrics.leads(false);
            if let Some(lost) = lost {
                // With the term, every look was dropped where it was. Nothing is sent on, either.
                sending.abort();
                elector = lost.context("keep the lease")?;
                continue;
            }
            enough.cancel();
            elector = keeping.await.context("keep the lease")?;
            // Nobody acts here any more, so others may; the log takes what is sent twice once.
            elector.release().await;
            ended.cancel();
            return sending.await.context("send the last events");
        }
        elector.release().await;
        Ok(())
    }

    /// Leads alone, until shutdown.
    async fn lead_alone(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let (term, senders) = self.term(Leadership::always())?;
        let ended = CancellationToken::new();
        let sending = tokio::spawn(senders.run(ended.clone()));
        term.run(shutdown.clone()).await;
        ended.cancel();
        sending.await.context("send the last events")
    }

    /// What one term works with. All that it knows of executions is read again.
    fn term(&self, leadership: Leadership) -> anyhow::Result<(Term, Senders)> {
        let Config { namespace, audit, security, concurrency, .. } = &self.config;
        let (wake, metrics) = (self.wake.clone(), self.metrics.clone());
        self.latest.clear();
        let woken = wake.attach();
        let audit = audit.as_deref().map(|address| channel::connect(address, security)).transpose()?;
        let has_audit = audit.is_some();
        let (audit, delivery) = audit::deliveries(audit, wake.clone());
        let (events, publisher) = events::events(self.client.clone(), namespace, metrics.clone());
        let objects = Objects::new(self.client.clone(), namespace, metrics.clone());
        let retention = Retention {
            objects: objects.clone(),
            index: self.index.clone(),
            live: self.live.clone(),
            leadership: leadership.clone(),
            has_audit,
        };
        let context = Arc::new(Context {
            objects,
            executors: self.executors.clone(),
            catalogue: self.catalogue.clone(),
            audit,
            events,
            index: self.index.clone(),
            runs: self.runs.clone(),
            latest: self.latest.clone(),
            failures: Failures::default(),
            metrics,
            live: self.live.clone(),
            wake,
            leadership,
        });
        let (store, concurrency) = (self.store.clone(), *concurrency);
        Ok((Term { context, store, woken, retention, concurrency }, Senders { delivery, publisher }))
    }
}

/// Binds and drives until shutdown.
pub async fn run(config: &Config, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    App::bind(config, client).await?.serve(shutdown).await
}
