//! The one writing connection.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use uuid::Uuid;

use super::{HashColumn, classify};
use crate::store::{Batch, Place, Result, StoreError, Writer};

const INSERT_ENTRY: &str = "INSERT INTO entries (idx, event_id, leaf_hash, recorded_at, \
     correlation_id, event_type, resource_id, namespace, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const INSERT_NODE: &str = "INSERT INTO nodes (level, idx, hash) VALUES (?, ?, ?)";
const INSERT_CHECKPOINT: &str = "INSERT INTO checkpoints (size, text) VALUES (?, ?)";
const FIND: &str = "SELECT idx, leaf_hash, recorded_at FROM entries WHERE event_id = ?";

pub(super) struct SqliteWriter {
    connection: Connection,
}

impl SqliteWriter {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

impl Writer for SqliteWriter {
    fn find(&mut self, ids: &[Uuid]) -> Result<Vec<(usize, Place)>> {
        let mut find = self.connection.prepare_cached(FIND).map_err(classify)?;
        let mut found = Vec::new();
        for (position, id) in ids.iter().enumerate() {
            let place = find.query_row([id.as_bytes()], |row| {
                let HashColumn(leaf) = row.get(1)?;
                Ok(Place { index: row.get(0)?, leaf, recorded_at: row.get(2)? })
            });
            found.extend(place.optional().map_err(classify)?.map(|place| (position, place)));
        }
        Ok(found)
    }

    fn append(&mut self, batch: &Batch<'_>) -> Result<()> {
        let transaction = self.connection.transaction().map_err(classify)?;
        let committed = insert(&transaction, batch).and_then(|()| transaction.commit()).map_err(classify);
        if committed.is_err() && !self.connection.is_autocommit() {
            // The transaction is neither committed nor rolled back.
            let cause = std::io::Error::other("could not roll back a failed transaction");
            return Err(StoreError::Uncertain(Arc::new(cause)));
        }
        committed
    }
}

fn insert(transaction: &Transaction<'_>, batch: &Batch<'_>) -> rusqlite::Result<()> {
    let mut entry = transaction.prepare_cached(INSERT_ENTRY)?;
    for (index, record) in (batch.first..).zip(&batch.records) {
        entry.execute((
            index,
            record.event_id.as_bytes(),
            record.leaf.as_bytes(),
            batch.recorded_at,
            &record.correlation_id,
            &record.event_type,
            &record.resource_id,
            &record.namespace,
            &record.body,
        ))?;
    }
    let mut node = transaction.prepare_cached(INSERT_NODE)?;
    for (id, hash) in &batch.nodes {
        node.execute((id.level, id.index, hash.as_bytes()))?;
    }
    let checkpoint = &batch.checkpoint;
    transaction.prepare_cached(INSERT_CHECKPOINT)?.execute((checkpoint.size, &checkpoint.text))?;
    Ok(())
}
