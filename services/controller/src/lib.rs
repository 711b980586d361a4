//! Watches WorkflowExecutions and drives each to its end.
//!
//! The main path: [`service`] observes one execution, asks the rules in `evenkeel-core` what to
//! do, does that one thing through [`executor`] or [`status`], and asks again. Everything else
//! wakes it ([`watch`]) or follows from what it stored ([`audit`], [`events`], [`metrics`]).

mod act;
pub mod app;
pub mod audit;
pub mod backoff;
pub mod config;
pub mod error;
pub mod events;
pub mod executor;
mod facts;
pub mod index;
mod latest;
pub mod metrics;
mod observe;
mod record;
mod request;
pub mod service;
mod spans;
pub mod status;
pub mod watch;

pub use app::{App, run};
pub use config::Config;
