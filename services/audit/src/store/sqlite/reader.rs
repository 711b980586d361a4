//! Reading connections. In write-ahead mode they never wait for the writer, nor it for them.

use std::{borrow::Cow, ops::Range, sync::Arc};

use evenkeel_chain::{
    Hash,
    tree::{NodeId, NodeReader},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter, types::Value};
use uuid::Uuid;

use super::{HashColumn, classify};
use crate::store::{Columns, Entry, Filter, Place, Reader, Result, StoreError, StoredCheckpoint};

const ENTRY: &str = "SELECT idx, event_id, leaf_hash, recorded_at, correlation_id, event_type, \
     resource_id, namespace, body FROM entries";

pub(super) struct SqliteReader {
    connection: Connection,
}

impl SqliteReader {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(classify)?;
        statement.query_row(params, read).optional().map_err(classify)
    }
}

impl NodeReader for SqliteReader {
    type Error = StoreError;

    fn node(&mut self, id: NodeId) -> Result<Hash> {
        let hash = |row: &Row<'_>| row.get(0).map(|HashColumn(hash)| hash);
        let found = if id.level == 0 {
            self.one("SELECT leaf_hash FROM entries WHERE idx = ?", [id.index], hash)?
        } else {
            self.one("SELECT hash FROM nodes WHERE level = ? AND idx = ?", (id.level, id.index), hash)?
        };
        found.ok_or_else(|| {
            let cause = format!("node {} of level {} is missing", id.index, id.level);
            StoreError::Damaged(Arc::new(std::io::Error::other(cause)))
        })
    }
}

impl Reader for SqliteReader {
    fn size(&mut self) -> Result<u64> {
        let size = self.one("SELECT max(idx) FROM entries", [], |row| row.get::<_, Option<u64>>(0))?;
        Ok(size.flatten().map_or(0, |last| last + 1))
    }

    fn entry(&mut self, index: u64) -> Result<Option<Entry<'static>>> {
        self.one(&format!("{ENTRY} WHERE idx = ?"), [index], |row| Ok(entry(row)?.into_owned()))
    }

    fn find(&mut self, event_id: Uuid) -> Result<Option<Entry<'static>>> {
        let sql = format!("{ENTRY} WHERE event_id = ?");
        self.one(&sql, [event_id.as_bytes()], |row| Ok(entry(row)?.into_owned()))
    }

    fn scan(
        &mut self,
        range: Range<u64>,
        filter: &Filter,
        visit: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        let (sql, params) = query(range, filter);
        let mut statement = self.connection.prepare_cached(&sql).map_err(classify)?;
        let mut rows = statement.query(params_from_iter(params)).map_err(classify)?;
        while let Some(row) = rows.next().map_err(classify)? {
            if !visit(entry(row).map_err(classify)?) {
                break;
            }
        }
        Ok(())
    }

    fn nodes(&mut self, level: u32, range: Range<u64>, visit: &mut dyn FnMut(u64, Hash)) -> Result<()> {
        let sql = "SELECT idx, hash FROM nodes WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx";
        let mut statement = self.connection.prepare_cached(sql).map_err(classify)?;
        let mut rows = statement.query((level, range.start, range.end)).map_err(classify)?;
        while let Some(row) = rows.next().map_err(classify)? {
            let HashColumn(hash) = row.get(1).map_err(classify)?;
            visit(row.get(0).map_err(classify)?, hash);
        }
        Ok(())
    }

    fn node_count(&mut self) -> Result<u64> {
        Ok(self.one("SELECT count(*) FROM nodes", [], |row| row.get(0))?.unwrap_or(0))
    }

    fn newest_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>> {
        self.one("SELECT size, text FROM checkpoints ORDER BY size DESC LIMIT 1", [], checkpoint)
    }

    fn checkpoint(&mut self, size: u64) -> Result<Option<StoredCheckpoint>> {
        self.one("SELECT size, text FROM checkpoints WHERE size = ?", [size], checkpoint)
    }

    fn nearest_checkpoint(&mut self, size: u64) -> Result<Option<u64>> {
        let below = "SELECT size FROM checkpoints WHERE size <= ? ORDER BY size DESC LIMIT 1";
        let above = "SELECT size FROM checkpoints WHERE size > ? ORDER BY size LIMIT 1";
        let below: Option<u64> = self.one(below, [size], |row| row.get(0))?;
        let above: Option<u64> = self.one(above, [size], |row| row.get(0))?;
        Ok(below.into_iter().chain(above).min_by_key(|found| found.abs_diff(size)))
    }
}

/// The query for a range and a filter. SQLite keeps no statistics here, so the query itself says which
/// index serves: the first filter of this order. A plus sign keeps a column from its index.
fn query(range: Range<u64>, filter: &Filter) -> (String, Vec<Value>) {
    let Filter { correlation_id, resource_id, event_type, namespace } = filter;
    let columns = [
        ("correlation_id", correlation_id),
        ("resource_id", resource_id),
        ("event_type", event_type),
        ("namespace", namespace),
    ];
    let bound = |index: u64| Value::Integer(i64::try_from(index).unwrap_or(i64::MAX));
    let mut sql = format!("{ENTRY} WHERE idx >= ? AND idx < ?");
    let mut params = vec![bound(range.start), bound(range.end)];
    for (name, value) in columns.into_iter().filter(|(_, value)| !value.is_empty()) {
        let index = if params.len() == 2 { "" } else { "+" };
        sql.extend([" AND ", index, name, " = ?"]);
        params.push(Value::Text(value.clone()));
    }
    sql.push_str(" ORDER BY idx");
    (sql, params)
}

fn entry<'a>(row: &'a Row<'_>) -> rusqlite::Result<Entry<'a>> {
    let HashColumn(leaf) = row.get(2)?;
    let text = |column| Ok::<_, rusqlite::Error>(Cow::Borrowed(row.get_ref(column)?.as_str()?));
    Ok(Entry {
        place: Place { index: row.get(0)?, leaf, recorded_at: row.get(3)? },
        event_id: Uuid::from_bytes(row.get(1)?),
        columns: Columns {
            correlation_id: text(4)?,
            event_type: text(5)?,
            resource_id: text(6)?,
            namespace: text(7)?,
        },
        body: row.get_ref(8)?.as_blob_or_null()?.map(Cow::Borrowed),
    })
}

fn checkpoint(row: &Row<'_>) -> rusqlite::Result<StoredCheckpoint> {
    Ok(StoredCheckpoint { size: row.get(0)?, text: row.get(1)? })
}
