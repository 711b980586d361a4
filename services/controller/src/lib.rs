//! Watches WorkflowExecutions and drives each to its end.
//!
//! The main path: [`service`] observes one execution, asks the rules in `evenkeel-core` what to
//! do, does that one thing through [`executor`] or [`status`], and asks again. Everything else
//! wakes it ([`watch`]) or follows from what it stored ([`audit`], [`events`], [`metrics`]).

mod act;
pub mod app;
pub mod audit;
pub mod backoff;
pub mod catalogue;
pub mod config;
pub mod error;
pub mod events;
pub mod executor;
pub mod executors;
mod facts;
pub mod index;
mod latest;
pub mod live;
pub mod metrics;
mod objects;
mod observe;
mod record;
mod request;
mod retention;
pub mod service;
mod spans;
pub mod status;
mod term;
pub mod watch;

pub use app::{App, run};
pub use config::Config;
pub use record::CANCEL_ANNOTATION;
