//! Pure rules of Evenkeel. Nothing here does I/O, reads a clock or draws a random number: every
//! function maps what was observed (and `now`, where time matters) to a decision.

pub mod conditions;
pub mod event;
pub mod facts;
pub mod failure;
pub mod gate;
pub mod go_duration;
pub mod moment;
pub mod phase;
pub mod plan;
pub mod quote;
pub mod record;
pub mod release;
pub mod start;
pub mod summary;
pub mod target;
pub mod validate;
pub mod workflow;
