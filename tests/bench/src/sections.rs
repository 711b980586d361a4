//! The tables, one module each.

pub mod audit;
pub mod latency;
pub mod memory;
pub mod throughput;
pub mod tracing;
pub mod writes;
