//! What the controller reads from its command line and environment.

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand};
use evenkeel_core::plan::Settings;
use evenkeel_kit::config::{Security, parse_duration_above_zero};

/// Drives WorkflowExecutions to their end.
#[derive(Parser, Clone, Debug)]
#[command(name = "evenkeel-controller", version)]
pub struct Arguments {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub config: Config,
}

/// What to do instead of running.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Prints the CustomResourceDefinitions and exits.
    Crd,
}

/// How to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Namespace whose executions are driven.
    #[arg(long, env = "EVENKEEL_NAMESPACE", default_value = "kubernaut-system")]
    pub namespace: String,
    /// The executor, as host:port.
    #[arg(long, env = "EVENKEEL_EXECUTOR", default_value = "127.0.0.1:7402")]
    pub executor: String,
    /// The audit service, as host:port. Without one nothing is recorded, and every execution says so.
    #[arg(long, env = "EVENKEEL_AUDIT")]
    pub audit: Option<String>,
    /// Address of health, readiness and metrics.
    #[arg(long, env = "EVENKEEL_CONTROLLER_ADMIN_LISTEN", default_value = "127.0.0.1:7411")]
    pub admin_listen: SocketAddr,
    /// How long a target rests after an execution.
    #[arg(long, env = "EVENKEEL_COOLDOWN", default_value = "5m", value_parser = parse_duration_above_zero)]
    pub cooldown: Duration,
    /// How often a run is asked for when nothing is heard of it.
    #[arg(long, env = "EVENKEEL_POLL_INTERVAL", default_value = "10s", value_parser = parse_duration_above_zero)]
    pub poll_interval: Duration,
    /// How long a lock without a live run keeps others out. The executor must have the same.
    #[arg(long, env = "EVENKEEL_START_TIMEOUT", default_value = "30s", value_parser = parse_duration_above_zero)]
    pub start_timeout: Duration,
    /// How long a run may be unable to start before it is given up.
    #[arg(long, env = "EVENKEEL_STUCK_GRACE", default_value = "2m", value_parser = parse_duration_above_zero)]
    pub stuck_grace: Duration,
    /// How many executions are worked on at the same time.
    #[arg(long, env = "EVENKEEL_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Who this process is and whom it trusts.
    #[command(flatten)]
    pub security: Security,
}

impl Config {
    /// What the rules need to know.
    pub fn settings(&self) -> Settings {
        Settings {
            cooldown: self.cooldown,
            poll: self.poll_interval,
            start_timeout: self.start_timeout,
            stuck_grace: self.stuck_grace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = Arguments::parse_from(["evenkeel-controller"]).config;
        assert_eq!(config.settings().cooldown, Duration::from_secs(300));
        assert_eq!(config.settings().poll, Duration::from_secs(10));
        assert_eq!(config.namespace, "kubernaut-system");
    }

    #[test]
    fn no_cooldown_at_all_is_refused() {
        let parsed = Arguments::try_parse_from(["evenkeel-controller", "--cooldown", "0s"]);
        assert!(parsed.unwrap_err().to_string().contains("above zero"));
    }

    #[test]
    fn the_definitions_can_be_printed_without_any_setting() {
        let parsed = Arguments::parse_from(["evenkeel-controller", "crd"]);
        assert!(matches!(parsed.command, Some(Command::Crd)));
    }
}
