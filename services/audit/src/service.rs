//! The gRPC face of the log: parse, call, map.

use evenkeel_kit::rpc::{self, Class, Coded as _};
use evenkeel_proto::audit::v1::{
    self as proto, audit_service_server::AuditService, get_inclusion_proof_request::Entry as ProtoTarget,
};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    append::Appender,
    error::{Error, Result},
    event::{self, Record},
    log::Log,
    query::{self, Target},
    readers::Readers,
    store::{Entry, Filter, Place},
};

/// Most events of one request.
const MOST_EVENTS: usize = 1000;
/// Entries of a page when the caller does not say, and at most.
const PAGE: (usize, usize) = (100, 1000);
/// Entries of one message of an export.
const EXPORT_CHUNK: usize = 500;
/// Payload above which a request is parsed off the async workers.
const SMALL: usize = 64 * 1024;

/// Answers the audit protocol from a log.
#[derive(Clone)]
pub struct Service {
    appender: Appender,
    readers: Readers,
    verifier_key: String,
}

impl Service {
    /// Serves this log.
    pub fn new(log: &Log) -> Self {
        Self {
            appender: log.appender().clone(),
            readers: log.readers().clone(),
            verifier_key: log.verifier_key().to_string(),
        }
    }

    async fn write(&self, events: Vec<proto::Event>) -> Result<Vec<Place>> {
        if events.is_empty() || events.len() > MOST_EVENTS {
            return Err(invalid("events", format!("must be 1 to {MOST_EVENTS} events")));
        }
        let bytes: usize = events.iter().map(|event| event.event_data_json.len()).sum();
        let records = if bytes <= SMALL {
            parse_events(events)?
        } else {
            let parsed = tokio::task::spawn_blocking(|| parse_events(events)).await;
            parsed.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?
        };
        self.appender.append(records).await
    }

    async fn list(&self, request: proto::ListEventsRequest) -> Result<proto::ListEventsResponse> {
        let most = match usize::try_from(request.page_size) {
            Ok(0) => PAGE.0,
            Ok(size) => size.min(PAGE.1),
            Err(_) => return Err(invalid("page_size", "must not be negative")),
        };
        let filter = Filter {
            correlation_id: request.correlation_id,
            event_type: request.event_type,
            resource_id: request.resource_id,
            namespace: request.namespace,
        };
        let start = query::parse_page_token(&request.page_token, &filter)?;
        let wanted = filter.clone();
        let page =
            self.readers.read(move |reader| query::page(reader, start, u64::MAX, &wanted, most)).await?;
        Ok(proto::ListEventsResponse {
            entries: page.entries.into_iter().map(entry).collect(),
            next_page_token: page.next.map(|next| query::page_token(next, &filter)).unwrap_or_default(),
        })
    }

    /// The range to export, within the log as it is now.
    async fn export_range(&self, request: &proto::ExportEventsRequest) -> Result<(u64, u64)> {
        let start = unsigned("start_index", request.start_index)?;
        let end = unsigned("end_index", request.end_index)?;
        let size = self.readers.read(|reader| Ok(reader.size()?)).await?;
        let end = if end == 0 { size } else { end };
        if end > size {
            return Err(invalid("end_index", format!("must be at most {size}, the size of the log")));
        }
        if start > end {
            return Err(invalid("start_index", format!("must be at most {end}, where the export ends")));
        }
        Ok((start, end))
    }

    async fn inclusion(
        &self,
        request: proto::GetInclusionProofRequest,
    ) -> Result<proto::GetInclusionProofResponse> {
        let size = unsigned("tree_size", request.tree_size)?;
        let target = match request.entry {
            Some(ProtoTarget::Index(index)) => Target::Index(unsigned("index", index)?),
            Some(ProtoTarget::EventId(id)) => Target::EventId(parse_id(&id)?),
            None => return Err(invalid("entry", "must have an index or an event_id")),
        };
        let proof = self.readers.read(move |reader| query::inclusion(reader, target, size)).await?;
        Ok(proto::GetInclusionProofResponse {
            index: signed(proof.index),
            leaf_hash: proof.leaf.as_bytes().to_vec(),
            tree_size: signed(proof.checkpoint.size),
            hashes: proof.hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            checkpoint: proof.checkpoint.text,
        })
    }

    async fn consistency(
        &self,
        request: proto::GetConsistencyProofRequest,
    ) -> Result<proto::GetConsistencyProofResponse> {
        let old = unsigned("old_size", request.old_size)?;
        let new = unsigned("new_size", request.new_size)?;
        let proof = self.readers.read(move |reader| query::consistency(reader, old, new)).await?;
        Ok(proto::GetConsistencyProofResponse {
            old_size: signed(proof.old_size),
            new_size: signed(proof.checkpoint.size),
            hashes: proof.hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            checkpoint: proof.checkpoint.text,
        })
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    async fn write_events(
        &self,
        request: Request<proto::WriteEventsRequest>,
    ) -> Result<Response<proto::WriteEventsResponse>, Status> {
        let events = request.into_inner().events;
        let ids: Vec<String> = events.iter().map(|event| event.event_id.to_ascii_lowercase()).collect();
        let places = self.write(events).await.map_err(status)?;
        let entries =
            places.into_iter().zip(ids).map(|(place, id)| place_of(place, id, Vec::new())).collect();
        Ok(Response::new(proto::WriteEventsResponse { entries }))
    }

    async fn get_event(
        &self,
        request: Request<proto::GetEventRequest>,
    ) -> Result<Response<proto::GetEventResponse>, Status> {
        let id = parse_id(&request.into_inner().event_id).map_err(status)?;
        let found = self.readers.read(move |reader| query::event(reader, id)).await.map_err(status)?;
        Ok(Response::new(proto::GetEventResponse { entry: Some(entry(found)) }))
    }

    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Result<Response<proto::ListEventsResponse>, Status> {
        self.list(request.into_inner()).await.map(Response::new).map_err(status)
    }

    type ExportEventsStream = ReceiverStream<Result<proto::ExportEventsResponse, Status>>;

    async fn export_events(
        &self,
        request: Request<proto::ExportEventsRequest>,
    ) -> Result<Response<Self::ExportEventsStream>, Status> {
        let (start, end) = self.export_range(request.get_ref()).await.map_err(status)?;
        // One message ahead of the caller: who reads slowly slows the export, and nothing else.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(export(self.readers.clone(), start, end, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_checkpoint(
        &self,
        _: Request<proto::GetCheckpointRequest>,
    ) -> Result<Response<proto::GetCheckpointResponse>, Status> {
        let newest = self.readers.read(query::newest_checkpoint).await.map_err(status)?;
        let verifier_key = self.verifier_key.clone();
        Ok(Response::new(proto::GetCheckpointResponse { checkpoint: newest.text, verifier_key }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<proto::GetInclusionProofRequest>,
    ) -> Result<Response<proto::GetInclusionProofResponse>, Status> {
        self.inclusion(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn get_consistency_proof(
        &self,
        request: Request<proto::GetConsistencyProofRequest>,
    ) -> Result<Response<proto::GetConsistencyProofResponse>, Status> {
        self.consistency(request.into_inner()).await.map(Response::new).map_err(status)
    }
}

type Chunk = Result<proto::ExportEventsResponse, Status>;

/// Sends a range in chunks until it is all sent or the caller has gone.
async fn export(readers: Readers, start: u64, end: u64, sender: mpsc::Sender<Chunk>) {
    let mut next = Some(start);
    while let Some(start) = next.filter(|start| *start < end) {
        // Waits for room first, so that nothing is read that cannot be sent.
        let Ok(permit) = sender.reserve().await else { return };
        let read = move |reader: &mut dyn crate::store::Reader| {
            query::page(reader, start, end, &Filter::default(), EXPORT_CHUNK)
        };
        match readers.read(read).await {
            Ok(page) => {
                next = page.next;
                let entries = page.entries.into_iter().map(entry).collect();
                permit.send(Ok(proto::ExportEventsResponse { entries }));
            }
            Err(error) => {
                permit.send(Err(status(error)));
                return;
            }
        }
    }
}

fn parse_events(events: Vec<proto::Event>) -> Result<Vec<Record>> {
    let parse =
        |(position, event)| event::record(event).map_err(|invalid| Error::InvalidEvent { position, invalid });
    events.into_iter().enumerate().map(parse).collect()
}

fn parse_id(text: &str) -> Result<Uuid> {
    event::parse_id(text).map_err(|error| invalid(error.field, error.problem))
}

fn invalid(field: &'static str, problem: impl Into<String>) -> Error {
    Error::InvalidRequest { field, problem: problem.into() }
}

fn unsigned(field: &'static str, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| invalid(field, "must not be negative"))
}

/// Sizes and indexes come from a database of signed 64-bit integers, so they fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn entry(entry: Entry<'static>) -> proto::LogEntry {
    let body = entry.body.map(std::borrow::Cow::into_owned).unwrap_or_default();
    place_of(entry.place, entry.event_id.to_string(), body)
}

fn place_of(place: Place, event_id: String, body: Vec<u8>) -> proto::LogEntry {
    let (seconds, micros) =
        (place.recorded_at.div_euclid(1_000_000), place.recorded_at.rem_euclid(1_000_000));
    let nanos = i32::try_from(micros * 1000).unwrap_or(0);
    proto::LogEntry {
        index: signed(place.index),
        event_id,
        leaf_hash: place.leaf.as_bytes().to_vec(),
        recorded_at: Some(Timestamp { seconds, nanos }),
        body,
    }
}

/// The status of an error. What the caller is not shown is logged here, once.
fn status(error: Error) -> Status {
    if error.class() == Class::Internal {
        tracing::error!("could not answer a request: {error:?}");
    }
    rpc::status("audit", &error)
}
