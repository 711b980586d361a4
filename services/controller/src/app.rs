//! Puts the controller together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use evenkeel_api::WorkflowExecution;
use evenkeel_kit::{admin, channel, readiness::Readiness, shutdown::CancellationToken};
use futures::StreamExt as _;
use kube::{
    Api, Client,
    runtime::{
        Controller, WatchStreamExt as _, controller,
        reflector::{self, ObjectRef},
        watcher,
    },
};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::{
    audit::{self, Delivery},
    backoff::Failures,
    config::Config,
    error::Error,
    events::{self, Publisher},
    executor::Executor,
    index::Index,
    latest::Latest,
    metrics::Metrics,
    service::{Context, error_policy, reconcile},
    status::Objects,
    watch::{EXECUTOR, Follower, Runs, Wake},
};

/// Readiness: all executions are known.
const OBJECTS: &str = "executions";
/// How long the last Kubernetes Events may take at shutdown.
const EVENTS_LIMIT: Duration = Duration::from_secs(2);

/// A controller that has its admin port and drives nothing yet.
pub struct App {
    config: Config,
    client: Client,
    readiness: Readiness,
    metrics: Metrics,
    admin: Admin,
}

struct Admin {
    address: SocketAddr,
    task: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

/// What runs beside the reconciler.
struct Parts {
    context: Arc<Context>,
    follower: Follower,
    delivery: Option<Delivery>,
    publisher: Publisher,
    woken: mpsc::UnboundedReceiver<ObjectRef<WorkflowExecution>>,
}

impl App {
    /// Binds the admin port.
    pub async fn bind(config: &Config, client: Client) -> anyhow::Result<Self> {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let readiness = Readiness::new(&[OBJECTS, EXECUTOR]);
        let address = config.admin_listen;
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(admin::serve(listener, Arc::new(registry), readiness.clone(), stop.clone()));
        let admin = Admin { address, task, stop };
        Ok(Self { config: config.clone(), client, readiness, metrics, admin })
    }

    /// Address of health, readiness and metrics.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// Whether the controller can do its work.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Drives executions until shutdown; then finishes what it is at, and returns.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Parts { context, follower, delivery, publisher, woken } = self.parts()?;
        let (reader, writer) = reflector::store();
        let api = Api::<WorkflowExecution>::namespaced(self.client.clone(), &self.config.namespace);
        let (index, readiness) = (context.index.clone(), self.readiness);
        let objects = watcher(api, watcher::Config::default())
            .default_backoff()
            .inspect(move |event| {
                if let Ok(event) = event {
                    index.apply(event);
                    // Not through the store: of all that wait for it, it wakes only the last.
                    if matches!(event, watcher::Event::InitDone) {
                        readiness.set(OBJECTS, true);
                    }
                }
            })
            .reflect(writer)
            .applied_objects();
        let limits = controller::Config::default().concurrency(self.config.concurrency);
        let running = Controller::for_stream(objects, reader)
            .with_config(limits)
            .reconcile_on(UnboundedReceiverStream::new(woken))
            .graceful_shutdown_on(shutdown.clone().cancelled_owned())
            .run(reconcile, error_policy, context)
            .for_each(async |result| report(result));
        let follower = tokio::spawn(follower.run(shutdown.clone()));
        let publisher = tokio::spawn(publisher.run());
        let draining = CancellationToken::new();
        let delivery = delivery.map(|delivery| tokio::spawn(delivery.run(draining.clone())));
        tracing::info!(namespace = self.config.namespace, admin = %self.admin.address, "driving executions");
        running.await;
        draining.cancel();
        if let Some(delivery) = delivery {
            delivery.await.context("deliver the last audit events")?;
        }
        follower.await.context("end the executor's stream")?;
        if tokio::time::timeout(EVENTS_LIMIT, publisher).await.is_err() {
            tracing::debug!("some Kubernetes Events were not published in time");
        }
        self.admin.stop.cancel();
        self.admin.task.await.context("end the admin port")?
    }

    fn parts(&self) -> anyhow::Result<Parts> {
        let Config { namespace, executor, audit, security, .. } = &self.config;
        let (sender, woken) = mpsc::unbounded_channel();
        let wake = Wake::new(sender);
        let executor = Executor::new(channel::connect(executor, security)?);
        let audit = audit.as_deref().map(|address| channel::connect(address, security)).transpose()?;
        let (audit, delivery) = audit::deliveries(audit, wake.clone());
        let (events, publisher) = events::events(self.client.clone(), namespace, self.metrics.clone());
        let (index, runs) = (Arc::new(Index::default()), Arc::new(Runs::default()));
        let follower = Follower {
            executor: executor.clone(),
            runs: runs.clone(),
            index: index.clone(),
            wake: wake.clone(),
            readiness: self.readiness.clone(),
        };
        let context = Arc::new(Context {
            objects: Objects::new(self.client.clone(), namespace, self.metrics.clone()),
            executor,
            audit,
            events,
            index,
            runs,
            latest: Latest::default(),
            failures: Failures::default(),
            metrics: self.metrics.clone(),
            settings: self.config.settings(),
            wake,
        });
        Ok(Parts { context, follower, delivery, publisher, woken })
    }
}

/// Binds and drives until shutdown.
pub async fn run(config: &Config, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    App::bind(config, client).await?.serve(shutdown).await
}

type Reconciled =
    Result<(ObjectRef<WorkflowExecution>, controller::Action), controller::Error<Error, watcher::Error>>;

fn report(result: Reconciled) {
    match result {
        // What is not found was deleted between being woken and being looked at.
        Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            tracing::warn!(execution = %object, reason = error.reason(), "{error}");
        }
        Err(controller::Error::QueueError(error)) => {
            tracing::warn!("could not watch executions, trying on: {error}");
        }
        Err(error) => tracing::error!("could not go on with an execution: {error}"),
    }
}
