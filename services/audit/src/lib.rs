//! Appends, keeps and proves the audit log.
//!
//! The main path: [`service`] parses a request, [`event`] turns it into the exact bytes to store,
//! [`append`] commits many requests at once through a [`store`], and [`query`] reads and proves.

pub mod app;
pub mod append;
mod canonical;
pub mod checkpoint;
pub mod config;
pub mod error;
pub mod event;
pub mod integrity;
pub mod log;
pub mod metrics;
pub mod query;
pub mod readers;
pub mod service;
pub mod store;

pub use app::{App, run};
pub use config::Config;
