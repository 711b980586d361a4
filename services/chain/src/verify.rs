//! Verifying proofs and whole logs. Written from RFC 9162, sections 2.1.3.2 and 2.1.4.2, and sharing
//! nothing with the writer but the hash functions.

use crate::hash::{self, Hash};

/// Why something is not proved.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The entry cannot be in a tree of that size.
    #[error("entry {index} cannot be in a log of {size} entries")]
    IndexOutOfRange {
        /// Index of the entry.
        index: u64,
        /// Size of the log.
        size: u64,
    },
    /// The old log cannot be larger than the new one.
    #[error("a log of {old} entries cannot be a prefix of one of {new}")]
    Shrunk {
        /// Size of the old log.
        old: u64,
        /// Size of the new log.
        new: u64,
    },
    /// The proof has too few or too many hashes for its sizes.
    #[error("the proof has {found} hashes, which does not fit the sizes it is for")]
    WrongLength {
        /// Hashes found.
        found: usize,
    },
    /// The proof leads to another root than the checkpoint's.
    #[error("the proof leads to root {computed}, not to {expected}")]
    WrongRoot {
        /// Root of the log that the proof should lead to.
        expected: Hash,
        /// Root it leads to.
        computed: Hash,
    },
    /// The consistency proof does not contain the old tree.
    #[error("the proof leads to old root {computed}, not to {expected}")]
    WrongOldRoot {
        /// Root of the old log.
        expected: Hash,
        /// Root that the proof gives to the old log.
        computed: Hash,
    },
}

/// Verifies that the entry with this leaf hash has this index in the log of `size` entries and `root`.
pub fn inclusion(leaf: Hash, index: u64, size: u64, root: Hash, proof: &[Hash]) -> Result<(), VerifyError> {
    if index >= size {
        return Err(VerifyError::IndexOutOfRange { index, size });
    }
    let wrong_length = VerifyError::WrongLength { found: proof.len() };
    let (mut node, mut last, mut computed) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            computed = hash::node(sibling, &computed);
            // A right edge without sibling rises until it has one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            computed = hash::node(&computed, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(wrong_length);
    }
    expect_root(root, computed)
}

/// Verifies that the log of `old_size` entries is a prefix of the log of `new_size`.
pub fn consistency(
    old_size: u64,
    old_root: Hash,
    new_size: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), VerifyError> {
    if old_size > new_size {
        return Err(VerifyError::Shrunk { old: old_size, new: new_size });
    }
    let wrong_length = VerifyError::WrongLength { found: proof.len() };
    if old_size == new_size || old_size == 0 {
        if !proof.is_empty() {
            return Err(wrong_length);
        }
        let expected = if old_size == 0 { hash::empty() } else { new_root };
        return expect_old_root(old_root, expected);
    }
    // The old root is itself the first node when the old tree is perfect.
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(VerifyError::WrongLength { found: 0 })?;
        (*first, rest)
    };
    let shift = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    let (mut old, mut new) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            old = hash::node(sibling, &old);
            new = hash::node(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = hash::node(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(wrong_length);
    }
    expect_old_root(old_root, old)?;
    expect_root(new_root, new)
}

/// Recomputes a log leaf by leaf, in constant memory.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    size: u64,
    // Slot `n` holds the root of a finished subtree of 2^n leaves that awaits its sibling.
    waiting: Vec<Option<Hash>>,
}

impl Replay {
    /// A log without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next leaf, and shows each inner node that is now final as `(level, index, hash)`.
    pub fn push(&mut self, leaf: Hash, show: impl FnMut(u32, u64, Hash)) {
        self.push_subtree(0, leaf, show);
    }

    /// Takes the root of the next `1 << level` leaves, so that long logs can be hashed in parallel. The
    /// size must be a multiple of that; other roots are not those of perfect subtrees.
    pub fn push_subtree(&mut self, level: u32, root: Hash, mut show: impl FnMut(u32, u64, Hash)) {
        debug_assert_eq!(self.size % (1 << level), 0, "a subtree of level {level} at {}", self.size);
        let mut carry = root;
        let mut height = level;
        while let Some(left) = self.waiting.get_mut(height as usize).and_then(Option::take) {
            carry = hash::node(&left, &carry);
            height += 1;
            show(height, self.size >> height, carry);
        }
        if height as usize >= self.waiting.len() {
            self.waiting.resize(height as usize + 1, None);
        }
        self.waiting[height as usize] = Some(carry);
        self.size += 1 << level;
    }

    /// Root of the log so far.
    pub fn root(&self) -> Hash {
        let mut finished = self.waiting.iter().flatten();
        let Some(mut root) = finished.next().copied() else { return hash::empty() };
        for left in finished {
            root = hash::node(left, &root);
        }
        root
    }
}

fn expect_root(expected: Hash, computed: Hash) -> Result<(), VerifyError> {
    if expected == computed { Ok(()) } else { Err(VerifyError::WrongRoot { expected, computed }) }
}

fn expect_old_root(expected: Hash, computed: Hash) -> Result<(), VerifyError> {
    if expected == computed { Ok(()) } else { Err(VerifyError::WrongOldRoot { expected, computed }) }
}
