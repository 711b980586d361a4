//! The audit service, as a source of records that nobody has to believe.

use std::time::Duration;

use evenkeel_chain::{Checkpoint, Hash};
use evenkeel_kit::{
    channel::{Connection, connect},
    config::Security,
};
use evenkeel_proto::audit::v1::{
    ExportEventsRequest, GetCheckpointRequest, GetConsistencyProofRequest, GetInclusionProofRequest,
    ListEventsRequest, LogEntry, audit_service_client::AuditServiceClient,
    get_inclusion_proof_request::Entry,
};
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;

use super::{
    ServiceArgs,
    bundle::{Query, Record},
};
use crate::error::{Error, Result};

const PAGE: i32 = 1000;
const PROOFS_AT_ONCE: usize = 16;
/// Checkpoints may trail what is acknowledged by this much.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(5);
const CHECKPOINT_POLL: Duration = Duration::from_millis(100);
/// Messages of an export hold many bodies of up to 256 KiB.
const LARGEST_MESSAGE: usize = 512 * 1024 * 1024;

/// A connection to the service.
#[derive(Clone)]
pub(super) struct AuditLog {
    client: AuditServiceClient<Connection>,
    address: String,
}

/// Who asks. With both at hand it is the certificate: the token may be meant for the executor alone,
/// and the log need not accept any.
fn identity(security: &Security) -> Security {
    match security.cert {
        Some(_) => Security { token: None, token_file: None, ..security.clone() },
        None => security.clone(),
    }
}

impl AuditLog {
    pub(super) fn connect(args: &ServiceArgs) -> Result<Self> {
        let address = args.audit.clone().ok_or_else(|| {
            Error::Usage("no audit service: set EVENKEEL_AUDIT, or --audit host:port".to_owned())
        })?;
        let connection = connect(&address, &identity(&args.security))
            .map_err(|error| Error::Usage(format!("{error:#}")))?;
        let client = AuditServiceClient::new(connection).max_decoding_message_size(LARGEST_MESSAGE);
        Ok(Self { client, address })
    }

    /// One page of events, and the token of the next.
    async fn page(&self, query: &Query, size: i32, token: String) -> Result<(Vec<LogEntry>, String)> {
        let request = ListEventsRequest {
            page_size: size,
            page_token: token,
            correlation_id: query.correlation_id.clone().unwrap_or_default(),
            resource_id: query.execution.clone().unwrap_or_default(),
            namespace: query.namespace.clone().unwrap_or_default(),
            ..ListEventsRequest::default()
        };
        let page = self.client.clone().list_events(request).await.map_err(|status| self.explain(&status))?;
        let page = page.into_inner();
        Ok((page.entries, page.next_page_token))
    }

    /// The first events asked for, page by page, and whether there are more.
    pub(super) async fn first(&self, query: &Query, limit: usize) -> Result<(Vec<LogEntry>, bool)> {
        let (mut entries, mut token) = (Vec::new(), String::new());
        loop {
            let size = i32::try_from(limit - entries.len()).unwrap_or(PAGE).min(PAGE);
            let (page, next) = self.page(query, size, token).await?;
            entries.extend(page);
            token = next;
            if token.is_empty() || entries.len() >= limit {
                entries.truncate(limit);
                return Ok((entries, !token.is_empty()));
            }
        }
    }

    /// All events asked for.
    pub(super) async fn list(&self, query: &Query) -> Result<Vec<LogEntry>> {
        let (entries, _) = self.first(query, usize::MAX).await?;
        if entries.is_empty() {
            let what = query.execution.as_ref().or(query.correlation_id.as_ref());
            let what = what.map(String::as_str).unwrap_or_default();
            return Err(Error::NotFound(format!("the audit log has no events of '{what}'")));
        }
        Ok(entries)
    }

    /// The newest checkpoint, which must cover entry `last`, and the key that the server reports.
    pub(super) async fn checkpoint(&self, last: Option<i64>) -> Result<(String, String)> {
        let needed = last.map_or(0, |last| place(last) + 1);
        let started = tokio::time::Instant::now();
        loop {
            let answer = self.client.clone().get_checkpoint(GetCheckpointRequest {}).await;
            let answer = answer.map_err(|status| self.explain(&status))?.into_inner();
            // Only to know when to stop asking; the signature is verified by who uses it.
            let text = answer.checkpoint.split("\n\n").next().unwrap_or_default();
            let size = Checkpoint::parse(&format!("{text}\n")).map_or(u64::MAX, |checkpoint| checkpoint.size);
            if size >= needed || started.elapsed() > CHECKPOINT_PATIENCE {
                return Ok((answer.checkpoint, answer.verifier_key));
            }
            tokio::time::sleep(CHECKPOINT_POLL).await;
        }
    }

    /// Proof that the log of an older checkpoint is a prefix of the log of `size` entries.
    pub(super) async fn consistency(&self, old: &str, size: u64) -> Result<Vec<Hash>> {
        let text = old.split("\n\n").next().unwrap_or_default();
        let old = Checkpoint::parse(&format!("{text}\n")).map_or(0, |checkpoint| checkpoint.size);
        if old == 0 || old >= size {
            // Nothing to prove, or nothing that could be: the verifier says which.
            return Ok(Vec::new());
        }
        let request = GetConsistencyProofRequest { old_size: wire(old), new_size: wire(size) };
        let answer = self.client.clone().get_consistency_proof(request).await;
        hashes(&answer.map_err(|status| self.explain(&status))?.into_inner().hashes)
    }

    /// The listed entries, each with its proof, in log order.
    pub(super) fn prove(&self, mut listed: Vec<LogEntry>, size: u64) -> BoxStream<'static, Result<Record>> {
        listed.sort_by_key(|entry| entry.index);
        let log = self.clone();
        stream::iter(listed)
            .map(move |entry| {
                let log = log.clone();
                async move {
                    let proof = log.inclusion(entry.index, size).await?;
                    record(entry, Some(proof))
                }
            })
            .buffered(PROOFS_AT_ONCE)
            .boxed()
    }

    async fn inclusion(&self, index: i64, size: u64) -> Result<Vec<Hash>> {
        let request = GetInclusionProofRequest { tree_size: wire(size), entry: Some(Entry::Index(index)) };
        let answer = self.client.clone().get_inclusion_proof(request).await;
        hashes(&answer.map_err(|status| self.explain(&status))?.into_inner().hashes)
    }

    /// All entries below `size`, which need no proofs: they must add up to the root.
    pub(super) fn export(&self, size: u64) -> BoxStream<'static, Result<Record>> {
        if size == 0 {
            return stream::empty().boxed();
        }
        let log = self.clone();
        stream::once(async move {
            let request = ExportEventsRequest { start_index: 0, end_index: wire(size) };
            let answer = log.client.clone().export_events(request).await;
            let messages = answer.map_err(|status| log.explain(&status))?.into_inner();
            Ok::<_, Error>(
                messages
                    .map_err(move |status| log.explain(&status))
                    .map_ok(|message| {
                        stream::iter(message.entries.into_iter().map(|entry| record(entry, None)))
                    })
                    .try_flatten(),
            )
        })
        .try_flatten()
        .boxed()
    }

    fn explain(&self, status: &tonic::Status) -> Error {
        Error::service("audit", &self.address, status)
    }
}

fn record(entry: LogEntry, proof: Option<Vec<Hash>>) -> Result<Record> {
    let index = entry.index;
    let bad = |what: &str| Error::Verification(format!("entry {index}: {what}"));
    let body = (!entry.body.is_empty()).then(|| String::from_utf8(entry.body)).transpose();
    Ok(Record {
        index: u64::try_from(index).map_err(|_| bad("the index is negative"))?,
        event_id: entry.event_id,
        recorded_at: entry.recorded_at.and_then(time).unwrap_or_default(),
        leaf_hash: Hash::from_slice(&entry.leaf_hash).ok_or_else(|| bad("the leaf hash is not 32 bytes"))?,
        body: body.map_err(|_| bad("the body is not UTF-8"))?,
        proof,
    })
}

/// A timestamp as text.
pub(super) fn time(time: prost_types::Timestamp) -> Option<String> {
    Timestamp::new(time.seconds, time.nanos).ok().map(|time| time.to_string())
}

fn hashes(list: &[Vec<u8>]) -> Result<Vec<Hash>> {
    let hashes: Option<Vec<Hash>> = list.iter().map(|bytes| Hash::from_slice(bytes)).collect();
    hashes.ok_or_else(|| Error::Verification("a hash of a proof is not 32 bytes".to_owned()))
}

fn wire(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn place(index: i64) -> u64 {
    u64::try_from(index).unwrap_or_default()
}
