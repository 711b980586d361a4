//! Where the log is kept. Nothing here assumes an embedded database: a writer appends whole batches,
//! and readers read by index, id or range.

use std::{borrow::Cow, ops::Range, sync::Arc};

use evenkeel_chain::{
    Hash,
    tree::{NodeId, NodeReader},
};
use uuid::Uuid;

use crate::event::Record;

pub mod sqlite;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed; the same may succeed later.
    #[error("the store could not do it now, and changed nothing")]
    Unavailable(#[source] Cause),
    /// The store cannot say what is on disk now. Nothing more may be written before the log has been
    /// verified again.
    #[error("the store cannot say whether its last write is on disk")]
    Uncertain(#[source] Cause),
    /// What is stored is damaged or contradicts itself.
    #[error("the store is damaged")]
    Damaged(#[source] Cause),
}

/// An underlying error that several callers may receive.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Result of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Where an event is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Zero-based, dense index.
    pub index: u64,
    /// Leaf hash of the body.
    pub leaf: Hash,
    /// When the log took it in, in microseconds since 1970.
    pub recorded_at: i64,
}

/// One entry of the log. Its body is borrowed from the store while it is visited.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Where it is.
    pub place: Place,
    /// Id of the event.
    pub event_id: Uuid,
    /// The exact stored bytes; none when retention has removed them.
    pub body: Option<Cow<'a, [u8]>>,
    /// The columns that filters look at.
    pub columns: Columns<'a>,
}

impl Entry<'_> {
    /// The same entry, independent of the store.
    pub fn into_owned(self) -> Entry<'static> {
        Entry {
            place: self.place,
            event_id: self.event_id,
            body: self.body.map(|body| body.into_owned().into()),
            columns: Columns {
                correlation_id: self.columns.correlation_id.into_owned().into(),
                event_type: self.columns.event_type.into_owned().into(),
                resource_id: self.columns.resource_id.into_owned().into(),
                namespace: self.columns.namespace.into_owned().into(),
            },
        }
    }
}

/// Fields of an event that it can be found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<'a> {
    /// Ties the events of one incident together.
    pub correlation_id: Cow<'a, str>,
    /// Dotted type.
    pub event_type: Cow<'a, str>,
    /// Identifier of the object acted on.
    pub resource_id: Cow<'a, str>,
    /// Namespace of the object.
    pub namespace: Cow<'a, str>,
}

/// Which entries are wanted; empty fields match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only with this correlation id.
    pub correlation_id: String,
    /// Only of this type.
    pub event_type: String,
    /// Only on this object.
    pub resource_id: String,
    /// Only in this namespace.
    pub namespace: String,
}

/// A signed checkpoint and the size it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Number of entries it covers.
    pub size: u64,
    /// The signed note.
    pub text: String,
}

/// What one commit adds.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Index of the first record.
    pub first: u64,
    /// When the log takes them in, in microseconds since 1970.
    pub recorded_at: i64,
    /// The records, in order.
    pub records: Vec<&'a Record>,
    /// The inner nodes that they complete.
    pub nodes: Vec<(NodeId, Hash)>,
    /// The checkpoint after them.
    pub checkpoint: StoredCheckpoint,
}

/// A kept log: one writer, any number of readers.
pub trait Store: Send + Sync {
    /// Opens the writer; there is one at a time.
    fn writer(&self) -> Result<Box<dyn Writer>>;

    /// Opens a reader, which never blocks the writer.
    fn reader(&self) -> Result<Box<dyn Reader>>;
}

/// The only one that changes the log. Its calls block.
pub trait Writer: Send {
    /// Finds which of these events are in the log, as `(position in ids, place)`.
    fn find(&mut self, ids: &[Uuid]) -> Result<Vec<(usize, Place)>>;

    /// Adds a batch, all or nothing, and returns when it is durable.
    fn append(&mut self, batch: &Batch<'_>) -> Result<()>;
}

/// Reads a consistent log while it grows. Its calls block. Leaves are nodes of level 0.
pub trait Reader: NodeReader<Error = StoreError> + Send {
    /// Number of entries.
    fn size(&mut self) -> Result<u64>;

    /// Reads one entry by index.
    fn entry(&mut self, index: u64) -> Result<Option<Entry<'static>>>;

    /// Reads one entry by the id of its event.
    fn find(&mut self, event_id: Uuid) -> Result<Option<Entry<'static>>>;

    /// Visits the entries of a range that pass the filter, in log order, until `visit` says `false`.
    fn scan(
        &mut self,
        range: Range<u64>,
        filter: &Filter,
        visit: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()>;

    /// Visits the inner nodes of one level within a range of their indexes, in order.
    fn nodes(&mut self, level: u32, range: Range<u64>, visit: &mut dyn FnMut(u64, Hash)) -> Result<()>;

    /// Number of inner nodes.
    fn node_count(&mut self) -> Result<u64>;

    /// The newest checkpoint.
    fn newest_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>>;

    /// The checkpoint of exactly this size.
    fn checkpoint(&mut self, size: u64) -> Result<Option<StoredCheckpoint>>;

    /// The size nearest to this one that has a checkpoint.
    fn nearest_checkpoint(&mut self, size: u64) -> Result<Option<u64>>;
}
