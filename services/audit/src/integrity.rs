//! Verifies a stored log from scratch, in parallel: every index, body, column and node, and the root
//! against the signed checkpoint. Computed with the verifier's half of `chain`, not the writer's.

use std::{
    borrow::Cow,
    ops::Range,
    panic::resume_unwind,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use evenkeel_chain::{
    Checkpoint, Hash, hash,
    note::VerifierKey,
    tree::{Frontier, NodeId},
    verify::Replay,
};
use serde::Deserialize;

use crate::{
    error::{IntegrityError, OpenError},
    store::{Entry, Filter, Reader, Store},
};

/// Height of the subtrees that are verified independently of each other: 4096 leaves.
const CHUNK_LEVEL: u32 = 12;
const CHUNK: u64 = 1 << CHUNK_LEVEL;

/// The newest checkpoint, if it is signed by the key of this log. None in a log never used.
pub fn newest(reader: &mut dyn Reader, key: &VerifierKey) -> Result<Option<Checkpoint>, OpenError> {
    let Some(newest) = reader.newest_checkpoint()? else { return Ok(None) };
    let checkpoint = Checkpoint::open(&newest.text, key).map_err(IntegrityError::Checkpoint)?;
    if checkpoint.size != newest.size {
        return Err(IntegrityError::WrongSize { expected: checkpoint.size, found: newest.size }.into());
    }
    Ok(Some(checkpoint))
}

/// Verifies the whole log against its newest checkpoint and returns its frontier, ready to append to.
/// `witnessed` is a checkpoint that the log is known to have reached.
pub fn verify(
    store: &dyn Store,
    newest: Option<&Checkpoint>,
    witnessed: Option<&Checkpoint>,
) -> Result<Frontier, OpenError> {
    let mut reader = store.reader()?;
    let size = reader.size()?;
    check_size(size, newest, witnessed)?;
    let root = check_entries(store, reader.as_mut(), size)?;
    if let Some(newest) = newest {
        check_root(newest, root)?;
    }
    if let Some(witnessed) = witnessed {
        // Every node was just verified, so they can tell the root of any size.
        check_root(witnessed, Frontier::load(witnessed.size, reader.as_mut())?.root())?;
    }
    Ok(Frontier::load(size, reader.as_mut())?)
}

/// Finds a log that lost its end, or has one that was never committed, before reading all of it.
fn check_size(
    found: u64,
    newest: Option<&Checkpoint>,
    witnessed: Option<&Checkpoint>,
) -> Result<(), OpenError> {
    let problem = match (newest, witnessed) {
        (_, Some(witnessed)) if witnessed.size > found => {
            IntegrityError::Shorter { found, witnessed: witnessed.size }
        }
        (None, _) if found > 0 => IntegrityError::NoCheckpoint { size: found },
        (Some(newest), _) if newest.size != found => {
            IntegrityError::WrongSize { expected: newest.size, found }
        }
        _ => return Ok(()),
    };
    Err(problem.into())
}

/// Verifies all entries and nodes, and returns the root.
fn check_entries(store: &dyn Store, reader: &mut dyn Reader, size: u64) -> Result<Hash, OpenError> {
    let whole = size / CHUNK;
    let mut replay = Replay::new();
    let mut nodes = Nodes::default();
    for root in verify_chunks(store, whole)? {
        replay.push_subtree(CHUNK_LEVEL, root, |level, index, hash| nodes.add(level, index, hash));
    }
    let mut show = |leaf| replay.push(leaf, |level, index, hash| nodes.add(level, index, hash));
    Leaves::new(whole * CHUNK).read(reader, whole * CHUNK..size, &mut show)?;
    nodes.compare(reader)?;
    let expected = size - u64::from(size.count_ones());
    let found = reader.node_count()?;
    if found != expected {
        return Err(IntegrityError::NodeCount { expected, found }.into());
    }
    Ok(replay.root())
}

fn check_root(checkpoint: &Checkpoint, computed: Hash) -> Result<(), OpenError> {
    let Checkpoint { size, root: expected, .. } = *checkpoint;
    if computed != expected {
        return Err(IntegrityError::WrongRoot { size, expected, computed }.into());
    }
    Ok(())
}

/// Verifies the first `count` chunks and returns their roots.
fn verify_chunks(store: &dyn Store, count: u64) -> Result<Vec<Hash>, OpenError> {
    let workers = thread::available_parallelism().map_or(1, |n| n.get() as u64).min(8).min(count);
    let next = AtomicU64::new(0);
    let work = || verify_some(store, &next, count);
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut chunks: Vec<_> = results.into_iter().flatten().collect();
    // Workers run ahead of each other; the first bad place of the log is the one to name.
    chunks.sort_by_key(|(chunk, _)| *chunk);
    chunks.into_iter().map(|(_, verified)| verified).collect()
}

/// Verifies one chunk after the other, whichever is next, until all are taken or one is bad.
fn verify_some(store: &dyn Store, next: &AtomicU64, count: u64) -> Vec<(u64, Result<Hash, OpenError>)> {
    let mut verified = Vec::new();
    let mut reader = match store.reader() {
        Ok(reader) => reader,
        Err(error) => return vec![(0, Err(error.into()))],
    };
    loop {
        let chunk = next.fetch_add(1, Ordering::Relaxed);
        if chunk >= count {
            return verified;
        }
        let root = verify_chunk(reader.as_mut(), chunk);
        let bad = root.is_err();
        verified.push((chunk, root));
        if bad {
            return verified;
        }
    }
}

fn verify_chunk(reader: &mut dyn Reader, chunk: u64) -> Result<Hash, OpenError> {
    let range = chunk * CHUNK..(chunk + 1) * CHUNK;
    let mut replay = Replay::new();
    let mut nodes = Nodes { offset: chunk * CHUNK, ..Nodes::default() };
    let mut show = |leaf| replay.push(leaf, |level, index, hash| nodes.add(level, index, hash));
    Leaves::new(range.start).read(reader, range, &mut show)?;
    nodes.compare(reader)?;
    Ok(replay.root())
}

/// Reads entries one after the other and checks each by itself.
struct Leaves {
    next: u64,
    problem: Option<IntegrityError>,
}

impl Leaves {
    fn new(next: u64) -> Self {
        Self { next, problem: None }
    }

    fn read(
        &mut self,
        reader: &mut dyn Reader,
        range: Range<u64>,
        show: &mut dyn FnMut(Hash),
    ) -> Result<(), OpenError> {
        let end = range.end;
        reader.scan(range, &Filter::default(), &mut |entry| match check_entry(self.next, &entry) {
            Ok(()) => {
                show(entry.place.leaf);
                self.next += 1;
                true
            }
            Err(problem) => {
                self.problem = Some(problem);
                false
            }
        })?;
        match self.problem.take() {
            Some(problem) => Err(problem.into()),
            None if self.next < end => Err(IntegrityError::MissingEntry { index: self.next }.into()),
            None => Ok(()),
        }
    }
}

/// The fields of a body that have columns of their own.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    correlation_id: Cow<'a, str>,
    event_id: &'a str,
    event_type: Cow<'a, str>,
    #[serde(default)]
    namespace: Cow<'a, str>,
    resource_id: Cow<'a, str>,
}

fn check_entry(expected: u64, entry: &Entry<'_>) -> Result<(), IntegrityError> {
    let index = entry.place.index;
    if index != expected {
        return Err(IntegrityError::MissingEntry { index: expected });
    }
    let Some(body) = &entry.body else { return Err(IntegrityError::MissingBody { index }) };
    if hash::leaf(body) != entry.place.leaf {
        return Err(IntegrityError::WrongBody { index });
    }
    let stated: Body<'_> = serde_json::from_slice(body).map_err(|_| IntegrityError::WrongBody { index })?;
    let columns = [
        (
            "event_id",
            stated.event_id == entry.event_id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()),
        ),
        ("correlation_id", stated.correlation_id == entry.columns.correlation_id),
        ("event_type", stated.event_type == entry.columns.event_type),
        ("resource_id", stated.resource_id == entry.columns.resource_id),
        ("namespace", stated.namespace == entry.columns.namespace),
    ];
    match columns.into_iter().find(|(_, equal)| !equal) {
        Some((column, _)) => Err(IntegrityError::WrongColumn { index, column }),
        None => Ok(()),
    }
}

/// Computed nodes, to be compared with the stored ones.
#[derive(Default)]
struct Nodes {
    /// Leaves before the first of this part of the log.
    offset: u64,
    /// By level: index of the first, and the hashes from there on.
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Nodes {
    fn add(&mut self, level: u32, index: u64, hash: Hash) {
        let level = level as usize;
        if self.levels.len() <= level {
            self.levels.resize(level + 1, (0, Vec::new()));
        }
        let (first, hashes) = &mut self.levels[level];
        if hashes.is_empty() {
            *first = (self.offset >> level) + index;
        }
        hashes.push(hash);
    }

    /// Compares from the lowest level up, so that the smallest wrong range is named.
    fn compare(&self, reader: &mut dyn Reader) -> Result<(), OpenError> {
        for (level, (first, computed)) in (0_u32..).zip(&self.levels) {
            let mut next = *first;
            let mut wrong = None;
            reader.nodes(level, *first..first + computed.len() as u64, &mut |index, stored| {
                let expected = usize::try_from(next - first).ok().and_then(|n| computed.get(n));
                if index != next || expected != Some(&stored) {
                    wrong = wrong.or(Some(next));
                }
                next = index + 1;
            })?;
            if next < first + computed.len() as u64 {
                wrong = wrong.or(Some(next));
            }
            if let Some(index) = wrong {
                return Err(wrong_node(NodeId { level, index }).into());
            }
        }
        Ok(())
    }
}

fn wrong_node(id: NodeId) -> IntegrityError {
    let first = id.index << id.level;
    IntegrityError::WrongNode { first, last: first + (1 << id.level) - 1 }
}
