//! A term of leading: executions are looked at, and what follows is done. Everything in it begins
//! anew with each term, for another replica may have acted in between.

use std::{sync::Arc, time::Duration};

use evenkeel_api::WorkflowExecution;
use evenkeel_kit::shutdown::CancellationToken;
use futures::StreamExt as _;
use kube::runtime::{
    controller::{self, Action},
    reflector::{ObjectRef, Store},
};
use tokio::time::sleep;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::{
    audit::Delivery,
    error::Error,
    events::Publisher,
    retention::Retention,
    service::{Context, error_policy, reconcile},
    watch::Wake,
};

/// How long the looks under way may take when the term is to end.
const FINISH_LIMIT: Duration = Duration::from_secs(1);
/// How long the last Kubernetes Events may take at shutdown.
const EVENTS_LIMIT: Duration = Duration::from_secs(2);
/// First looks at a time, and the pause between: about a thousand a second.
const AT_A_TIME: usize = 25;
const BETWEEN: Duration = Duration::from_millis(25);

/// What a term works with.
pub(crate) struct Term {
    pub(crate) context: Arc<Context>,
    pub(crate) store: Store<WorkflowExecution>,
    pub(crate) woken: tokio::sync::mpsc::UnboundedReceiver<ObjectRef<WorkflowExecution>>,
    pub(crate) retention: Retention,
    pub(crate) concurrency: u16,
}

/// What sends on for a moment after a term has ended.
pub(crate) struct Senders {
    pub(crate) delivery: Option<Delivery>,
    pub(crate) publisher: Publisher,
}

impl Term {
    /// Looks at executions until shutdown, and finishes the looks under way unless they take long.
    /// Dropped, it ends at once: nothing is begun any more.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self { context, store, woken, retention, concurrency } = self;
        let wake = context.wake.clone();
        wake.everything();
        let queue = UnboundedReceiverStream::new(woken).map(Ok::<_, std::convert::Infallible>);
        let queue = queue.take_until(shutdown.clone().cancelled_owned());
        let limits = controller::Config::default().concurrency(concurrency);
        let look = |object, context| Box::pin(reconcile(object, context));
        let looks = controller::applier(look, error_policy, context, store.clone(), queue, limits);
        let too_long = async {
            shutdown.cancelled().await;
            sleep(FINISH_LIMIT).await;
        };
        tokio::select! {
            () = looks.for_each(async |result| report(result)) => {}
            () = too_long => tracing::info!("some executions are left to the next leader in the middle of a step"),
            () = look_at_everything(&store, &wake) => {}
            () = retention.run() => {}
        }
    }
}

impl Senders {
    /// Sends until `ended`; then what is left, for a little longer.
    pub(crate) async fn run(self, ended: CancellationToken) {
        let Self { delivery, publisher } = self;
        let publish = async {
            let publishing = publisher.run();
            tokio::pin!(publishing);
            let too_long = async {
                ended.cancelled().await;
                sleep(EVENTS_LIMIT).await;
            };
            tokio::select! {
                () = &mut publishing => {}
                () = too_long => tracing::debug!("some Kubernetes Events were not published in time"),
            }
        };
        let deliver = async {
            if let Some(delivery) = delivery {
                delivery.run(ended.clone()).await;
            }
        };
        tokio::join!(publish, deliver);
    }
}

/// Has everything that is not at rest looked at when that is asked for: who waits first, then the
/// others, and never all at once.
async fn look_at_everything(store: &Store<WorkflowExecution>, wake: &Wake) {
    loop {
        wake.asked_for_everything().await;
        let mut open = store.state();
        open.sort_by_cached_key(|object| {
            let running =
                object.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
            (running, object.metadata.creation_timestamp.as_ref().map(|time| time.0))
        });
        for some in open.chunks(AT_A_TIME) {
            for object in some {
                wake.object(&ObjectRef::from_obj(&**object));
            }
            if open.len() > AT_A_TIME {
                sleep(BETWEEN).await;
            }
        }
    }
}

type Looked =
    Result<(ObjectRef<WorkflowExecution>, Action), controller::Error<Error, std::convert::Infallible>>;

fn report(result: Looked) {
    match result {
        // What is not found was deleted, or came to rest, between being woken and being looked at.
        Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            tracing::warn!(execution = %object, reason = error.reason(), "{error}");
        }
        Err(error) => tracing::error!("could not go on with an execution: {error}"),
    }
}
