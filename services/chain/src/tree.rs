//! The growing tree, as its writer sees it.
//!
//! A tree of any size is a row of perfect subtrees, one per set bit of the size, largest first. The
//! roots of these subtrees, the *frontier*, are all that appending needs.

use crate::hash::{self, Hash};

/// Place of the root of a perfect subtree: it covers the leaves
/// `index << level .. (index + 1) << level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// Height; 0 is a leaf.
    pub level: u32,
    /// Position among the nodes of this level.
    pub index: u64,
}

/// Where hashes of perfect subtrees are kept, leaves (level 0) included.
pub trait NodeReader {
    /// Why a node could not be read.
    type Error;

    /// Reads the hash of a perfect subtree that lies wholly within the log.
    fn node(&mut self, id: NodeId) -> Result<Hash, Self::Error>;
}

/// Roots of the perfect subtrees of a tree, largest first, and its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the frontier of a tree of `size` leaves.
    pub fn load<R: NodeReader + ?Sized>(size: u64, reader: &mut R) -> Result<Self, R::Error> {
        let roots = subtrees(size).map(|id| reader.node(id)).collect::<Result<_, _>>()?;
        Ok(Self { size, roots })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and reports every inner node that it completes, lowest first.
    ///
    /// # Panics
    ///
    /// Never: there is a root for every set bit of the size.
    pub fn append(&mut self, leaf: Hash, mut completed: impl FnMut(NodeId, Hash)) {
        let mut hash = leaf;
        // Each trailing one bit of the size is a subtree as large as the one just completed.
        for level in 1..=self.size.trailing_ones() {
            let left = self.roots.pop().expect("one root is kept for every set bit of the size");
            hash = hash::node(&left, &hash);
            completed(NodeId { level, index: self.size >> level }, hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// Root hash of the tree.
    pub fn root(&self) -> Hash {
        let folded = self.roots.iter().rev().copied().reduce(|right, left| hash::node(&left, &right));
        folded.unwrap_or_else(hash::empty)
    }
}

/// Places of the perfect subtrees of a tree of `size` leaves, largest first.
fn subtrees(size: u64) -> impl Iterator<Item = NodeId> {
    (0..u64::BITS).rev().filter(move |level| size >> level & 1 == 1).map(move |level| {
        // Everything to the left of this subtree is the higher bits of the size.
        NodeId { level, index: (size >> level) - 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees_cover_the_tree_from_left_to_right() {
        for size in 0..300 {
            let mut next = 0;
            for id in subtrees(size) {
                assert_eq!(id.index << id.level, next, "size {size}");
                next += 1 << id.level;
            }
            assert_eq!(next, size);
        }
    }
}
