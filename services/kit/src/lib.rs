//! What every Evenkeel service is built from: configuration values, telemetry, servers and
//! channels with identity, health, metrics, shutdown and the mapping between errors and gRPC.
//!
//! Nothing here knows what a service does.

pub mod admin;
pub mod auth;
pub mod channel;
pub mod config;
pub mod failpoint;
pub mod kubernetes;
pub mod leader;
pub mod readiness;
mod reason;
pub mod rpc;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod tokens;
pub mod trace;
