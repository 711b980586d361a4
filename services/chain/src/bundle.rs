//! Offline verification: entries that left the log, against a checkpoint and a public key.

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    hash::{self, Hash},
    note::VerifierKey,
    verify::{self, Replay, VerifyError},
};

/// What is known of an entry.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The stored bytes.
    Body(&'a [u8]),
    /// Only the leaf hash, because retention has removed the body.
    Removed(Hash),
}

/// Facts that have been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The signed checkpoint that everything was verified against.
    pub checkpoint: Checkpoint,
    /// Entries proved to be in the log, with their bodies.
    pub entries: u64,
    /// Entries proved to be in the log whose bodies are gone.
    pub removed: u64,
    /// Whether these are all entries of the log.
    pub complete: bool,
    /// The older checkpoint that the log was proved to extend.
    pub extends: Option<Checkpoint>,
}

/// Why a bundle is not believed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum BundleError {
    /// The checkpoint is malformed, or not signed by the expected key.
    #[error("the checkpoint is not valid")]
    Checkpoint(#[source] CheckpointError),
    /// The older checkpoint is malformed, or not signed by the expected key.
    #[error("the older checkpoint is not valid")]
    OldCheckpoint(#[source] CheckpointError),
    /// The log of the checkpoint does not extend the older one.
    #[error("the log does not extend the older checkpoint")]
    Inconsistent(#[source] VerifyError),
    /// The entries are not in ascending order.
    #[error("entry {index} follows entry {previous}")]
    OutOfOrder {
        /// Index found.
        index: u64,
        /// Index before it.
        previous: u64,
    },
    /// The entry is not the one in the log, or its proof is wrong.
    #[error("entry {index} is not proved to be in the log")]
    NotIncluded {
        /// Index of the entry.
        index: u64,
        /// What is wrong.
        #[source]
        source: VerifyError,
    },
    /// Neither has the entry a proof, nor is it part of a complete log.
    #[error("entry {index} comes without a proof, and entry {missing} is missing")]
    Unproved {
        /// First index without a proof.
        index: u64,
        /// First index that would be needed to do without it.
        missing: u64,
    },
    /// The entries do not add up to the checkpoint's root.
    #[error("the {size} entries have root {computed}, but the checkpoint says {expected}")]
    WrongRoot {
        /// Number of entries.
        size: u64,
        /// Root in the checkpoint.
        expected: Hash,
        /// Root of the entries.
        computed: Hash,
    },
}

/// Verifies a bundle entry by entry, in constant memory. Either every entry has a proof, or the
/// entries are the whole log from 0 on.
#[derive(Debug)]
pub struct Verifier {
    key: VerifierKey,
    facts: Facts,
    replay: Replay,
    previous: Option<u64>,
    unproved: Option<u64>,
}

impl Verifier {
    /// Starts from a signed checkpoint.
    pub fn new(checkpoint: &str, key: &VerifierKey) -> Result<Self, BundleError> {
        let checkpoint = Checkpoint::open(checkpoint, key).map_err(BundleError::Checkpoint)?;
        let facts = Facts { checkpoint, entries: 0, removed: 0, complete: false, extends: None };
        Ok(Self { key: key.clone(), facts, replay: Replay::new(), previous: None, unproved: None })
    }

    /// The checkpoint that is verified against.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.facts.checkpoint
    }

    /// Verifies that the log extends an older signed checkpoint.
    pub fn extends(&mut self, old_checkpoint: &str, proof: &[Hash]) -> Result<(), BundleError> {
        let old = Checkpoint::open(old_checkpoint, &self.key).map_err(BundleError::OldCheckpoint)?;
        let new = &self.facts.checkpoint;
        verify::consistency(old.size, old.root, new.size, new.root, proof)
            .map_err(BundleError::Inconsistent)?;
        self.facts.extends = Some(old);
        Ok(())
    }

    /// Takes the next entry, in ascending order.
    pub fn entry(
        &mut self,
        index: u64,
        content: Content<'_>,
        proof: Option<&[Hash]>,
    ) -> Result<(), BundleError> {
        if let Some(previous) = self.previous.filter(|previous| index <= *previous) {
            return Err(BundleError::OutOfOrder { index, previous });
        }
        self.previous = Some(index);
        let Checkpoint { size, root, .. } = self.facts.checkpoint;
        if index >= size {
            let source = VerifyError::IndexOutOfRange { index, size };
            return Err(BundleError::NotIncluded { index, source });
        }
        let leaf = match content {
            Content::Body(body) => hash::leaf(body),
            Content::Removed(leaf) => leaf,
        };
        match proof {
            Some(proof) => verify::inclusion(leaf, index, size, root, proof)
                .map_err(|source| BundleError::NotIncluded { index, source })?,
            None => self.unproved = self.unproved.or(Some(index)),
        }
        if index == self.replay.size() {
            self.replay.push(leaf, |_, _, _| ());
        }
        match content {
            Content::Body(_) => self.facts.entries += 1,
            Content::Removed(_) => self.facts.removed += 1,
        }
        Ok(())
    }

    /// Ends the verification: everything taken is now proved, or nothing is.
    pub fn finish(mut self) -> Result<Facts, BundleError> {
        let Checkpoint { size, root: expected, .. } = self.facts.checkpoint;
        self.facts.complete = self.replay.size() == size;
        if self.facts.complete {
            let computed = self.replay.root();
            if computed != expected {
                return Err(BundleError::WrongRoot { size, expected, computed });
            }
        } else if let Some(index) = self.unproved {
            return Err(BundleError::Unproved { index, missing: self.replay.size() });
        }
        Ok(self.facts)
    }
}
