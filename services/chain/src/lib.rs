//! The pure Merkle log: hashing, proofs, checkpoints, verifier.
//!
//! Two halves that share nothing but [`hash`]: the writer's ([`tree`], [`proof`]) and the verifier's
//! ([`verify`], [`bundle`]). [`note`] and [`checkpoint`] are the signed text format between them.

pub mod bundle;
pub mod checkpoint;
pub mod hash;
pub mod note;
pub mod proof;
pub mod tree;
pub mod verify;

pub use checkpoint::Checkpoint;
pub use hash::Hash;
