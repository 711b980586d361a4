//! The only service that may launch runs.
//!
//! It serves `evenkeel.execution.v1` and knows nothing of the objects its callers keep. The main path
//! of a start reads from [`service`] through [`start`], which performs what the machine in
//! `evenkeel_core::start` asks for, to an [`engine::Engine`].

mod app;
mod attempt;
mod config;
mod engine;
mod error;
mod job;
mod lease;
mod marks;
mod metrics;
mod needs;
mod object;
mod parse;
mod release;
mod runs;
mod service;
mod start;
mod tekton;
mod watch;

pub use app::{App, run};
pub use config::Config;
pub use error::Error;
