//! What the service reads from its command line and environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use evenkeel_kit::config::Security;

use crate::{append::Limits, log::Options};

/// Name of a log that nobody named.
pub const DEFAULT_ORIGIN: &str = "evenkeel.dev/audit";

/// Keeps and proves the audit log.
#[derive(Parser, Clone, Debug)]
#[command(name = "evenkeel-audit", version)]
pub struct Config {
    /// Address of the gRPC service.
    #[arg(long, env = "EVENKEEL_AUDIT_LISTEN", default_value = "127.0.0.1:7403")]
    pub listen: SocketAddr,
    /// Address of health, readiness and metrics.
    #[arg(long, env = "EVENKEEL_AUDIT_ADMIN_LISTEN", default_value = "127.0.0.1:7413")]
    pub admin_listen: SocketAddr,
    /// Directory of the log; made when it is not there.
    #[arg(long, env = "EVENKEEL_AUDIT_DATA")]
    pub data: PathBuf,
    /// File of the signing key; `signing.key` in the data directory, made at the first start, when
    /// not given.
    #[arg(long, env = "EVENKEEL_AUDIT_SIGNING_KEY")]
    pub signing_key: Option<PathBuf>,
    /// Name of the log in its checkpoints; it cannot change later.
    #[arg(long, env = "EVENKEEL_AUDIT_ORIGIN", default_value = DEFAULT_ORIGIN)]
    pub origin: String,
    /// Common names of client certificates that may call.
    #[arg(
        long,
        env = "EVENKEEL_ALLOWED_CLIENTS",
        value_delimiter = ',',
        default_value = "evenkeel-controller"
    )]
    pub allowed_clients: Vec<String>,
    /// Who this process is and whom it trusts.
    #[command(flatten)]
    pub security: Security,
}

impl Config {
    /// How to open the log.
    pub fn log(&self) -> Options {
        Options {
            data: self.data.clone(),
            signing_key: self.signing_key.clone(),
            origin: self.origin.clone(),
            limits: Limits::default(),
        }
    }
}
