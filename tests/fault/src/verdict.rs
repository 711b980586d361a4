//! What became of executions: how often they ran, what was recorded, what is left.

use std::{
    collections::BTreeSet,
    fmt::{self, Debug},
    time::Duration,
};

use anyhow::Context as _;
use evenkeel_chain::{
    bundle::{Content, Verifier},
    note::VerifierKey,
};
use evenkeel_proto::audit::v1::{ExportEventsRequest, GetCheckpointRequest};
use evenkeel_test_kit::{Environment, Launches, wait};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    ending::Ending,
    fault::{Action, Fault},
    lane::Lane,
};

const LIMIT: Duration = Duration::from_secs(30);
/// Whose the runs are that only mark a moment.
const MARK: &str = "the-last-to-be-counted";

/// What became of one execution.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How many runs went live for it.
    pub launches: usize,
    /// How many should have.
    pub wanted: usize,
    /// The phase it ended in.
    pub phase: String,
    /// Whether that is how it should have ended.
    pub ended_well: bool,
    /// What is wrong with its record.
    pub audit: Vec<String>,
    /// What should no longer be there.
    pub leftovers: Vec<String>,
}

impl Verdict {
    /// That of the last of several executions, with whatever is wrong with the others.
    pub fn of_last(mut all: Vec<Self>) -> anyhow::Result<Self> {
        let mut last = all.pop().context("nothing was judged")?;
        last.audit
            .extend(all.iter().filter(|other| !other.is_good()).map(|other| format!("beside it: {other}")));
        Ok(last)
    }

    /// Whether everything is as it must be.
    pub fn is_good(&self) -> bool {
        self.launches == self.wanted && self.ended_well && self.audit.is_empty() && self.leftovers.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} launches of {}, {}", self.launches, self.wanted, self.phase)?;
        self.audit.iter().chain(&self.leftovers).try_for_each(|problem| write!(f, "; {problem}"))
    }
}

/// Judges executions after all of them ended and were deleted.
pub async fn judge(
    environment: &Environment,
    launches: &Launches,
    endings: &[Ending],
) -> anyhow::Result<Vec<Verdict>> {
    catch_up(environment, launches).await?;
    let leftovers = leftovers(environment).await?;
    let log = verify_log(environment).await?;
    let verdict = |ending: &Ending| {
        anyhow::Ok(Verdict {
            launches: launches.of(&ending.uid)?,
            wanted: ending.wanted.launches(),
            phase: ending.phase.clone(),
            ended_well: ending.phase == ending.wanted.phase(),
            audit: record_problems(&log, ending),
            leftovers: leftovers.clone(),
        })
    };
    endings.iter().map(verdict).collect()
}

/// Judges two attempts on one target, by uid and by how their starts were answered. What is left of
/// them is not looked at: they have not been released yet.
pub async fn judge_rivals(
    lane: &Lane,
    attempts: [(&String, &Result<(), String>); 2],
    fault: &Fault,
) -> anyhow::Result<Verdict> {
    catch_up(&lane.environment, &lane.launches).await?;
    let launches = [lane.launches.of(attempts[0].0)?, lane.launches.of(attempts[1].0)?];
    let told = attempts.map(|(_, answer)| answer.as_ref().map_or_else(String::as_str, |()| "started"));
    let is_told_right = |which: usize| (launches[which] == 1) == attempts[which].1.is_ok();
    let (wanted, ended_well) = match fault.action {
        Action::Rival | Action::Heir => (1, is_told_right(0) && is_told_right(1)),
        // A start that comes late to its own release may be told anything, but success only if it is true.
        _ => (usize::from(fault.is_when_live()), attempts[0].1.is_err() || launches[0] == 1),
    };
    let phase = match launches {
        [1, 0] => "first ran",
        [0, 1] => "second ran",
        [0, 0] => "none ran",
        _ => "both ran",
    };
    let audit = if ended_well { Vec::new() } else { vec![format!("they were told {told:?}")] };
    let launches = launches.into_iter().sum();
    Ok(Verdict { launches, wanted, phase: phase.to_owned(), ended_well, audit, leftovers: Vec::new() })
}

/// Waits until everything that went live before this has been counted: a live run that is made now
/// comes after it in the watch.
async fn catch_up(environment: &Environment, launches: &Launches) -> anyhow::Result<()> {
    let mark = json!({"generateName": "mark-", "annotations": {"evenkeel.dev/owner-uid": MARK}});
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": mark,
        "spec": {"parallelism": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "none", "image": "none"}],
        }}},
    });
    Box::pin(pass_by(launches, &environment.jobs(), serde_json::from_value(job)?)).await?;
    if launches.follow_pipelines() {
        // Not pending, and nothing of it runs either.
        let run = json!({
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": mark,
            "spec": {"pipelineRef": {"name": "none"}, "status": "Cancelled"},
        });
        Box::pin(pass_by(launches, &environment.pipeline_runs(), serde_json::from_value(run)?)).await?;
    }
    Ok(())
}

/// Creates a mark, waits until it is counted, and removes it.
async fn pass_by<K>(launches: &Launches, api: &Api<K>, mark: K) -> anyhow::Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let before = launches.of(MARK)?;
    let created = api.create(&PostParams::default(), &mark).await?.name_any();
    launches.reach(MARK, before + 1, LIMIT).await?;
    api.delete(&created, &DeleteParams::background()).await?;
    wait::until_gone(api, &created, LIMIT).await
}

/// Runs, their tasks and pods, and held locks. Nothing of them may be there once all executions are
/// gone.
pub async fn leftovers(environment: &Environment) -> anyhow::Result<Vec<String>> {
    let mut left = there("Job", &environment.jobs()).await?;
    left.extend(there("PipelineRun", &environment.pipeline_runs()).await?);
    left.extend(there("TaskRun", &environment.task_runs()).await?);
    left.extend(there("pod", &environment.pods()).await?);
    let leases = environment.leases().list(&ListParams::default()).await?;
    left.extend(leases.iter().filter_map(|lease| {
        let holder = lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())?;
        Some(format!("lock {} is held by {holder}", lease.name_any()))
    }));
    Ok(left)
}

/// Everything of a kind; nothing where the kind is not served.
async fn there<K>(kind: &str, api: &Api<K>) -> anyhow::Result<Vec<String>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    match api.list(&ListParams::default()).await {
        Ok(all) => Ok(all.iter().map(|one| format!("{kind} {} is there", one.name_any())).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("list every {kind}")),
    }
}

/// Exports the whole log and verifies it as an auditor would: complete, dense and signed.
async fn verify_log(environment: &Environment) -> anyhow::Result<Vec<Value>> {
    let mut client = environment.audit()?;
    let newest = client.get_checkpoint(GetCheckpointRequest {}).await?.into_inner();
    let key = VerifierKey::parse(&newest.verifier_key)?;
    let mut verifier = Verifier::new(&newest.checkpoint, &key)?;
    let size = i64::try_from(verifier.checkpoint().size)?;
    let mut events = Vec::new();
    if size > 0 {
        let whole = ExportEventsRequest { start_index: 0, end_index: size };
        let mut stream = client.export_events(whole).await?.into_inner();
        while let Some(chunk) = stream.message().await? {
            for entry in chunk.entries {
                verifier.entry(u64::try_from(entry.index)?, Content::Body(&entry.body), None)?;
                events.push(serde_json::from_slice(&entry.body)?);
            }
        }
    }
    let facts = verifier.finish().context("verify the audit log")?;
    anyhow::ensure!(facts.complete, "the audit log was not exported completely");
    Ok(events)
}

/// Compares the record of an execution with what it must be: these events, in this order, once.
fn record_problems(log: &[Value], ending: &Ending) -> Vec<String> {
    let own: Vec<&Value> = log.iter().filter(|event| event["resource_id"] == *ending.name).collect();
    let kinds: Vec<&str> = own.iter().filter_map(|event| event["event_type"].as_str()).collect();
    let mut problems = Vec::new();
    if kinds != ending.wanted.events() {
        problems.push(format!("the record is {kinds:?}"));
    }
    let ids: BTreeSet<&str> = log.iter().filter_map(|event| event["event_id"].as_str()).collect();
    if ids.len() != log.len() {
        problems.push("an event is twice in the log".to_owned());
    }
    let times: Vec<&str> = own.iter().filter_map(|event| event["event_timestamp"].as_str()).collect();
    if !times.is_sorted() {
        problems.push(format!("the times of its events are {times:?}"));
    }
    problems
}
