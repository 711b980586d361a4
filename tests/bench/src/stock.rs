//! Executions that finished long ago, written straight to the API server.

use std::{ops::Range, time::Duration};

use anyhow::Context as _;
use evenkeel_api::WorkflowExecution;
use evenkeel_test_kit::Environment;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{Api, ResourceExt as _, api::PostParams};

/// On how many targets they were.
pub const TARGETS: usize = 500;
/// How many are written at once.
const CONCURRENCY: usize = 64;
const LIMIT: Duration = Duration::from_secs(60);
/// About as much text as an analysis writes.
const RATIONALE: &str = "The pods of the deployment are killed for want of memory every few minutes since \
    the last release, and their use of it grows evenly from start to end, which is how a leak looks. More \
    memory puts the next one off until the release is taken back. Other workflows were not chosen: a restart \
    alone helps for minutes, and a rollback is not allowed while the change is frozen. ";
const PARAMETERS: [(&str, &str); 6] = [
    ("TARGET_NAMESPACE", "shop"),
    ("TARGET_KIND", "Deployment"),
    ("TARGET_NAME", "cart"),
    ("MEMORY_LIMIT", "768Mi"),
    ("MEMORY_REQUEST", "512Mi"),
    ("AMOUNT", "1"),
];

/// Writes copies of an execution that a controller drove to its end, so that they have all that every
/// end is stored with.
pub struct Stock {
    api: Api<WorkflowExecution>,
    pattern: WorkflowExecution,
}

impl Stock {
    /// Has the services of this environment drive an execution to its end, and takes it as the pattern.
    pub async fn after_a_real_one(environment: &Environment) -> anyhow::Result<Self> {
        let name = "pattern";
        let mut execution = environment.execution(name, "shop/Deployment/pattern", &PARAMETERS);
        execution.spec.rationale = Some(RATIONALE.to_owned());
        execution.spec.confidence = Some(0.9);
        environment.apply(&execution).await?;
        let pattern = environment.settled(name, LIMIT).await?;
        Ok(Self { api: environment.executions(), pattern })
    }

    /// Bytes of one of them, as JSON.
    pub fn size(&self) -> anyhow::Result<usize> {
        Ok(serde_json::to_vec(&self.pattern)?.len())
    }

    /// Writes those with these numbers. The higher the number, the longer ago it ended.
    pub async fn write(&self, numbers: Range<usize>) -> anyhow::Result<()> {
        let written = stream::iter(numbers).map(|number| self.write_one(number));
        written.buffer_unordered(CONCURRENCY).try_collect().await
    }

    async fn write_one(&self, number: usize) -> anyhow::Result<()> {
        let finished = self.copy(number);
        let (parameters, name) = (PostParams::default(), finished.name_any());
        let created = self.api.create(&parameters, &finished).await;
        let mut created = created.with_context(|| format!("create {name}"))?;
        // The API server takes no status from who creates.
        created.status = finished.status;
        let ended = self.api.replace_status(&name, &parameters, &created).await;
        ended.map(drop).with_context(|| format!("write the status of {name}"))
    }

    fn copy(&self, number: usize) -> WorkflowExecution {
        let (mut copy, name) = (self.pattern.clone(), format!("finished-{number:05}"));
        let target = number % TARGETS;
        copy.spec.target_resource = format!("shop-{}/Deployment/service-{target}", target % 10);
        copy.spec.remediation_request_ref.name = Some(format!("rr-{name}"));
        copy.metadata = ObjectMeta {
            name: Some(name),
            annotations: copy.metadata.annotations,
            finalizers: copy.metadata.finalizers,
            labels: copy.metadata.labels,
            namespace: copy.metadata.namespace,
            ..ObjectMeta::default()
        };
        if let Some(status) = &mut copy.status {
            let ago = SignedDuration::from_secs(i64::try_from(number).unwrap_or(i64::MAX));
            let earlier = |time: &mut Time| time.0 -= ago;
            status.start_time.as_mut().map(earlier);
            status.completion_time.as_mut().map(earlier);
            if let Some(run) = &mut status.execution_ref {
                run.name = format!("wfe-{number:016x}");
            }
        }
        copy
    }
}
