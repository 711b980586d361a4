//! Computing proofs, RFC 6962 sections 2.1.1 and 2.1.2, in the recursive form of the text.

use crate::{
    hash::{self, Hash},
    tree::{NodeId, NodeReader},
};

/// Why no proof was computed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError<E> {
    /// What was asked for does not exist in a tree of that size.
    #[error("{inner} does not lie within a tree of size {size}")]
    OutOfRange {
        /// Leaf index, or size of the smaller tree.
        inner: u64,
        /// Size of the tree asked for.
        size: u64,
    },
    /// A node could not be read.
    #[error("reading a node of the tree")]
    Read(#[source] E),
}

/// Sibling hashes, lowest first, that prove leaf `index` to be in the tree of `size` leaves.
pub fn inclusion<R: NodeReader + ?Sized>(
    index: u64,
    size: u64,
    reader: &mut R,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    if index >= size {
        return Err(ProofError::OutOfRange { inner: index, size });
    }
    let mut path = Vec::new();
    descend(index, 0, size, reader, &mut path).map_err(ProofError::Read)?;
    Ok(path)
}

/// Hashes that prove the tree of `old` leaves to be a prefix of the tree of `new` leaves. Empty when
/// there is nothing to prove: equal sizes, or nothing before.
pub fn consistency<R: NodeReader + ?Sized>(
    old: u64,
    new: u64,
    reader: &mut R,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    if old > new {
        return Err(ProofError::OutOfRange { inner: old, size: new });
    }
    let mut path = Vec::new();
    if old > 0 {
        subproof(old, 0, new, true, reader, &mut path).map_err(ProofError::Read)?;
    }
    Ok(path)
}

/// `PATH(m, D[n])` over the leaves `start..end`.
fn descend<R: NodeReader + ?Sized>(
    leaf: u64,
    start: u64,
    end: u64,
    reader: &mut R,
    path: &mut Vec<Hash>,
) -> Result<(), R::Error> {
    if end - start == 1 {
        return Ok(());
    }
    let middle = start + split(end - start);
    if leaf < middle {
        descend(leaf, start, middle, reader, path)?;
        path.push(range(middle, end, reader)?);
    } else {
        descend(leaf, middle, end, reader, path)?;
        path.push(range(start, middle, reader)?);
    }
    Ok(())
}

/// `SUBPROOF(m, D[n], b)` over the leaves `start..end`; `known` says that the verifier has the hash of
/// this subtree already, because it is the whole old tree.
fn subproof<R: NodeReader + ?Sized>(
    old: u64,
    start: u64,
    end: u64,
    known: bool,
    reader: &mut R,
    path: &mut Vec<Hash>,
) -> Result<(), R::Error> {
    if old == end {
        if !known {
            path.push(range(start, end, reader)?);
        }
        return Ok(());
    }
    let middle = start + split(end - start);
    if old <= middle {
        subproof(old, start, middle, known, reader, path)?;
        path.push(range(middle, end, reader)?);
    } else {
        subproof(old, middle, end, false, reader, path)?;
        path.push(range(start, middle, reader)?);
    }
    Ok(())
}

/// Hash of the subtree over `start..end`: read when it is perfect, put together otherwise.
fn range<R: NodeReader + ?Sized>(start: u64, end: u64, reader: &mut R) -> Result<Hash, R::Error> {
    let width = end - start;
    if width.is_power_of_two() {
        // A subtree met on the way down starts at a multiple of the largest power of two it holds.
        let level = width.trailing_zeros();
        return reader.node(NodeId { level, index: start >> level });
    }
    let middle = start + split(width);
    let left = range(start, middle, reader)?;
    Ok(hash::node(&left, &range(middle, end, reader)?))
}

/// Largest power of two smaller than `width`, which is at least 2.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}
