//! The tables, one module each.

pub mod active;
pub mod audit;
pub mod latency;
pub mod memory;
pub mod scale;
pub mod tekton;
pub mod throughput;
pub mod tracing;
pub mod writes;
