//! The catalogue: which workflow an execution means that does not have it all in its spec. First the
//! `RemediationWorkflow`s of the cluster are looked through, then Data Storage is asked, if there is
//! one. What cannot be asked now is an observation; only a definite answer ends an execution.

use evenkeel_core::{
    plan::Reading,
    record::Spec,
    workflow::{Entry, Problem, Workflow, is_looked_up},
};
use evenkeel_kit::{readiness::Readiness, shutdown::CancellationToken};
use kube::Client;
use uuid::Uuid;

mod content;
mod http;
mod objects;

pub use self::http::DataStorage;
use self::{http::Answer, objects::Workflows};

/// Readiness: the workflows of the cluster are known.
pub(crate) const WORKFLOWS: &str = "workflows";

/// Where workflows are looked up; cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    workflows: Workflows,
    data_storage: Option<std::sync::Arc<DataStorage>>,
}

impl Catalogue {
    /// The workflows in `namespace`, and those of Data Storage if there is one.
    pub fn new(client: Client, namespace: &str, data_storage: Option<DataStorage>) -> Self {
        Self {
            workflows: Workflows::new(client, namespace),
            data_storage: data_storage.map(std::sync::Arc::new),
        }
    }

    /// Follows the workflows of the cluster until shutdown.
    pub(crate) async fn follow(self, readiness: Readiness, shutdown: CancellationToken) {
        tokio::select! {
            () = self.workflows.follow(&readiness) => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Looks the workflow of an execution up, unless its spec has it all.
    pub(crate) async fn look_up(&self, spec: &Spec) -> Reading<Entry> {
        let id = &spec.workflow_id;
        if id.is_empty() || !is_looked_up(spec) {
            return Reading::Unread;
        }
        match self.workflows.known(id, &spec.workflow_version) {
            Err(why) => return Reading::Unavailable(why),
            Ok(Some(Ok(workflow))) => return Reading::Found(Ok(workflow)),
            Ok(Some(Err(_))) => {}
            Ok(None) => {
                if let Some(reading) = self.ask_data_storage(id).await {
                    return reading;
                }
            }
        }
        // A watch shows things late: only the API server itself can say for good that there is none.
        match self.workflows.read(id, &spec.workflow_version).await {
            Err(why) => Reading::Unavailable(why),
            Ok(Some(entry)) => Reading::Found(entry),
            Ok(None) => Reading::Found(Err(Problem::NotFound { id: id.clone(), looked: self.looked(id) })),
        }
    }

    /// What Data Storage says; none when it does not have the workflow.
    async fn ask_data_storage(&self, id: &str) -> Option<Reading<Entry>> {
        let id = Uuid::try_parse(id).ok()?;
        match self.data_storage.as_ref()?.get(id).await {
            Answer::Found(workflow) => Some(Reading::Found(Ok(workflow))),
            Answer::Unusable { workflow, why } => {
                Some(Reading::Found(Err(Problem::Unusable { workflow, why })))
            }
            Answer::Unavailable(why) => Some(Reading::Unavailable(why)),
            Answer::NotFound => None,
        }
    }

    /// Where a workflow was looked for.
    fn looked(&self, id: &str) -> String {
        let namespace = self.workflows.namespace();
        let here = format!("no RemediationWorkflow in namespace '{namespace}' has this id or name");
        match &self.data_storage {
            None => here,
            Some(_) if Uuid::try_parse(id).is_ok() => format!("{here}, and Data Storage has none of this id"),
            Some(_) => format!("{here}, and Data Storage was not asked, since this is no UUID"),
        }
    }
}

/// A workflow of which everything fits.
type Converted = Result<Box<Workflow>, String>;

#[cfg(test)]
mod tests;
