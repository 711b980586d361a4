//! Pure rules of Evenkeel. Nothing here does I/O, reads a clock or draws a random number: every
//! function maps what was observed (and `now`, where time matters) to a decision.

pub mod conditions;
pub mod event;
pub mod failure;
pub mod phase;
pub mod plan;
pub mod release;
pub mod start;
pub mod summary;
pub mod target;
