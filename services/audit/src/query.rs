//! Reading and proving. Everything here blocks.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use evenkeel_chain::{
    Hash, hash,
    proof::{self, ProofError},
};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    store::{Entry, Filter, Place, Reader, StoreError, StoredCheckpoint},
};

/// Bytes of bodies after which an answer ends: gRPC clients take 4 MiB unless told otherwise.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// Some entries, and where to go on.
#[derive(Debug)]
pub struct Page {
    /// The entries, in log order.
    pub entries: Vec<Entry<'static>>,
    /// Index to go on from, if there is more.
    pub next: Option<u64>,
}

/// Names an entry.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// By its index.
    Index(u64),
    /// By the id of its event.
    EventId(Uuid),
}

/// Proof that an entry is in the log.
#[derive(Debug)]
pub struct Inclusion {
    /// Index of the entry.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// Sibling hashes, lowest first.
    pub hashes: Vec<Hash>,
    /// The checkpoint it is proved in.
    pub checkpoint: StoredCheckpoint,
}

/// Proof that the log only grew.
#[derive(Debug)]
pub struct Consistency {
    /// The smaller size.
    pub old_size: u64,
    /// The proof.
    pub hashes: Vec<Hash>,
    /// The checkpoint of the larger size.
    pub checkpoint: StoredCheckpoint,
}

/// Reads one event.
pub fn event(reader: &mut dyn Reader, event_id: Uuid) -> Result<Entry<'static>> {
    reader.find(event_id)?.ok_or_else(|| Error::EntryNotFound(event_id.to_string()))
}

/// Reads entries from `start` until before `end`, at most `most` of them.
pub fn page(reader: &mut dyn Reader, start: u64, end: u64, filter: &Filter, most: usize) -> Result<Page> {
    let mut page = Page { entries: Vec::new(), next: None };
    let mut bytes = 0;
    reader.scan(start..end, filter, &mut |entry| {
        bytes += entry.body.as_ref().map_or(0, |body| body.len());
        let full = page.entries.len() == most || bytes > PAGE_BYTES && !page.entries.is_empty();
        if full {
            page.next = Some(entry.place.index);
        } else {
            page.entries.push(entry.into_owned());
        }
        !full
    })?;
    Ok(page)
}

/// The newest checkpoint.
pub fn newest_checkpoint(reader: &mut dyn Reader) -> Result<StoredCheckpoint> {
    let newest = reader.newest_checkpoint()?;
    newest.ok_or_else(|| damaged("the log has no checkpoint"))
}

/// Proves that an entry is in the log of `size` entries; 0 means the newest checkpoint.
pub fn inclusion(reader: &mut dyn Reader, target: Target, size: u64) -> Result<Inclusion> {
    let checkpoint = checkpoint_at(reader, size)?;
    let entry = match target {
        Target::Index(index) => {
            reader.entry(index)?.ok_or_else(|| Error::EntryNotFound(index.to_string()))?
        }
        Target::EventId(event_id) => event(reader, event_id)?,
    };
    let Place { index, leaf, .. } = entry.place;
    let hashes = proof::inclusion(index, checkpoint.size, reader).map_err(|error| match error {
        ProofError::OutOfRange { inner: index, size } => Error::EntryOutsideTree { index, size },
        ProofError::Read(error) => error.into(),
    })?;
    Ok(Inclusion { index, leaf, hashes, checkpoint })
}

/// Proves that the log of `old_size` entries is a prefix of that of `new_size`; 0 means the newest.
pub fn consistency(reader: &mut dyn Reader, old_size: u64, new_size: u64) -> Result<Consistency> {
    let checkpoint = checkpoint_at(reader, new_size)?;
    let hashes = proof::consistency(old_size, checkpoint.size, reader).map_err(|error| match error {
        ProofError::OutOfRange { size, .. } => Error::InvalidRequest {
            field: "old_size",
            problem: format!("must be at most {size}, the new size"),
        },
        ProofError::Read(error) => error.into(),
    })?;
    Ok(Consistency { old_size, hashes, checkpoint })
}

fn checkpoint_at(reader: &mut dyn Reader, size: u64) -> Result<StoredCheckpoint> {
    if size == 0 {
        return newest_checkpoint(reader);
    }
    if let Some(checkpoint) = reader.checkpoint(size)? {
        return Ok(checkpoint);
    }
    match reader.nearest_checkpoint(size)? {
        Some(nearest) => Err(Error::NoCheckpointAtSize { size, nearest }),
        None => Err(damaged("the log has no checkpoint")),
    }
}

fn damaged(problem: &'static str) -> Error {
    Error::Internal(StoreError::Damaged(std::sync::Arc::new(std::io::Error::other(problem))))
}

/// A token to go on from `next` with the same filter.
pub fn page_token(next: u64, filter: &Filter) -> String {
    let mut token = next.to_be_bytes().to_vec();
    token.extend(fingerprint(filter));
    BASE64.encode(token)
}

/// Reads a token; the empty one means the start.
pub fn parse_page_token(token: &str, filter: &Filter) -> Result<u64> {
    if token.is_empty() {
        return Ok(0);
    }
    let bytes = BASE64.decode(token).ok();
    let bytes: [u8; 16] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(Error::InvalidPageToken)?;
    let (next, of) = bytes.split_at(8);
    if of != fingerprint(filter) {
        return Err(Error::InvalidPageToken);
    }
    let next = next.try_into().map_err(|_| Error::InvalidPageToken)?;
    Ok(u64::from_be_bytes(next))
}

/// Ties a token to its filter, so that it cannot be used with another by mistake.
fn fingerprint(filter: &Filter) -> [u8; 8] {
    let Filter { correlation_id, event_type, resource_id, namespace } = filter;
    let mut text = Vec::new();
    for field in [correlation_id, event_type, resource_id, namespace] {
        text.extend(field.len().to_be_bytes());
        text.extend(field.as_bytes());
    }
    let mut fingerprint = [0; 8];
    fingerprint.copy_from_slice(&hash::leaf(&text).as_bytes()[..8]);
    fingerprint
}
