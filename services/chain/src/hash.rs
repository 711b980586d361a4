//! RFC 6962 hashing: what the writer and the verifier have in common.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Length of a hash in bytes.
pub const LEN: usize = 32;

/// A SHA-256 hash of a leaf, an inner node or a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; LEN]);

impl Hash {
    /// Wraps raw bytes.
    pub const fn new(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }

    /// Reads a hash from a slice; `None` unless it has exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Root of the empty tree: the hash of nothing.
pub fn empty() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// Hash of a leaf. The prefix keeps a leaf from ever passing as an inner node.
pub fn leaf(body: &[u8]) -> Hash {
    Hash(Sha256::new_with_prefix([0x00]).chain_update(body).finalize().into())
}

/// Hash of an inner node.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut input = [0x01; 1 + 2 * LEN];
    input[1..=LEN].copy_from_slice(&left.0);
    input[1 + LEN..].copy_from_slice(&right.0);
    Hash(Sha256::digest(input).into())
}
