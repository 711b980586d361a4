//! The pure Merkle log: hashing, proofs, checkpoints, verifier.
