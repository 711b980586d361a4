//! The environment that tests and developers start the services in: a namespace of their own in a
//! real cluster, one process per service, each with its own identity and no permission but those
//! of `deploy/rbac`.
//!
//! ```no_run
//! use std::time::Duration;
//! use evenkeel_test_kit::{Environment, Options, Service};
//!
//! # async fn test() -> anyhow::Result<()> {
//! let environment = Environment::start(Options::default().setting("EVENKEEL_COOLDOWN", "1s")).await?;
//! let execution = environment.execution("restart", "shop/Deployment/cart", &[("EXIT_CODE", "7")]);
//! environment.apply(&execution).await?;
//! environment.service(Service::Controller).kill();
//! environment.service(Service::Controller).start(&[])?;
//! environment.phase("restart", "Failed", Duration::from_secs(60)).await?;
//! # Ok(())
//! # }
//! ```

pub mod dev;
mod environment;
pub mod evidence;
pub mod http;
mod identity;
mod install;
mod launches;
mod layout;
mod options;
mod person;
mod place;
mod ports;
mod proxy;
mod race;
mod record;
mod replica;
mod requests;
mod service;
mod shared;
mod stand_in;
mod teardown;
pub mod traces;
pub mod wait;

pub use environment::{Environment, client, client_with_token};
pub use launches::Launches;
pub use options::Options;
pub use place::Repository;
pub use proxy::{Asked, Fault, Fired, Gate, Proxy, Rule};
pub use race::race;
pub use replica::Replica;
pub use requests::Request;
pub use service::{Service, ServiceProcess, Variables, program};
pub use shared::{InUse, Shared, run};
pub use stand_in::StandIn;
