//! What the service reads from its command line and environment.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser};
use evenkeel_kit::config::{Security, parse_duration_above_zero};

/// Launches remediation workflows, once each and on one target at a time.
#[derive(Parser, Clone, Debug)]
#[command(name = "evenkeel-executor", version)]
pub struct Config {
    /// Address of the gRPC service.
    #[arg(long, env = "EVENKEEL_EXECUTOR_LISTEN", default_value = "127.0.0.1:7402")]
    pub listen: SocketAddr,
    /// Address of health, readiness and metrics.
    #[arg(long, env = "EVENKEEL_EXECUTOR_ADMIN_LISTEN", default_value = "127.0.0.1:7412")]
    pub admin_listen: SocketAddr,
    /// Namespace in which runs and locks are kept.
    #[arg(long, env = "EVENKEEL_EXECUTION_NAMESPACE", default_value = "kubernaut-workflows")]
    pub namespace: String,
    /// How long an attempt that took a target may stay without a live run before another attempt may
    /// take the target over.
    #[arg(long, env = "EVENKEEL_START_TIMEOUT", default_value = "30s", value_parser = parse_duration_above_zero)]
    pub start_timeout: Duration,
    /// How long a run may take when its request names no timeout.
    #[arg(long, env = "EVENKEEL_DEFAULT_TIMEOUT", default_value = "30m", value_parser = parse_duration_above_zero)]
    pub default_timeout: Duration,
    /// Common names of client certificates that may call.
    #[arg(
        long,
        env = "EVENKEEL_ALLOWED_CLIENTS",
        value_delimiter = ',',
        default_value = "evenkeel-controller"
    )]
    pub allowed_clients: Vec<String>,
    /// How pods of the job engine are hardened.
    #[command(flatten)]
    pub hardening: Hardening,
    /// Have the pods of pipelines refuse images that run as root. Turn it off only for images that
    /// cannot do otherwise. Their default seccomp profile is always on.
    #[arg(
        long,
        env = "EVENKEEL_TEKTON_RUN_AS_NON_ROOT",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub tekton_run_as_non_root: bool,
    /// Who this process is and whom it trusts.
    #[command(flatten)]
    pub security: Security,
}

/// Restrictions on the pods of the job engine. Privilege escalation and all capabilities are always
/// taken away, and the default seccomp profile is always on.
#[derive(Args, Clone, Copy, Debug)]
pub struct Hardening {
    /// Refuse images that run as root. Turn it off only for images that cannot do otherwise.
    #[arg(
        long,
        env = "EVENKEEL_JOB_RUN_AS_NON_ROOT",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub run_as_non_root: bool,
    /// Mount the image read-only; `/tmp` stays writable.
    #[arg(
        long,
        env = "EVENKEEL_JOB_READ_ONLY_ROOT",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub read_only_root: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn no_timeout_at_all_and_a_negative_one_are_refused_as_such() {
        let parsed = Arguments::try_parse_from(["evenkeel-executor"]);
        assert_eq!(parsed.unwrap().config.default_timeout, Duration::from_secs(1800));
        for setting in ["--default-timeout", "--start-timeout"] {
            for (value, word) in [("0s", "above zero"), ("-5s", "negative")] {
                let parsed = Arguments::try_parse_from(["evenkeel-executor", &format!("{setting}={value}")]);
                let error = parsed.err().map(|error| error.to_string()).unwrap_or_default();
                assert!(error.contains(word), "{setting}={value}: {error}");
            }
        }
    }
}
