//! The keys of the configuration file. Those of the contract keep their names; what an existing
//! file says to other parts is checked and left to them.

use evenkeel_kit::{
    config::parse_duration,
    settings::{Key, not_empty},
};

/// Every key, in the order in which settings are printed.
pub const KEYS: &[Key] = &[
    Key::argument("execution.cooldownPeriod", "cooldown"),
    Key::argument("execution.backoffPeriod", "backoff"),
    Key::argument("execution.backoffLimit", "backoff_max"),
    Key::argument("execution.blockAfterFailure", "block"),
    Key::argument("execution.pollInterval", "poll_interval"),
    Key::argument("execution.startTimeout", "start_timeout"),
    Key::argument("execution.stuckGrace", "stuck_grace"),
    Key::other("execution.namespace", EXECUTOR, filled),
    Key::other("execution.serviceAccount", "has no effect: a workflow names its own", filled),
    Key::argument("controller.namespace", "namespace"),
    Key::argument("controller.healthProbeAddr", "admin_listen"),
    Key::argument("controller.metricsAddr", "metrics_listen"),
    Key::argument("controller.leaderElection", "leader_election"),
    Key::argument("controller.leaderElectionId", "leader_election_id"),
    Key::argument("controller.concurrency", "concurrency"),
    Key::argument("executors", "executors"),
    Key::argument("audit.address", "audit"),
    Key::argument("retention.finished", "retention"),
    Key::argument("security.ca", "ca"),
    Key::argument("security.cert", "cert"),
    Key::argument("security.key", "key"),
    Key::secret("security.token", "token"),
    Key::argument("security.tokenFile", "token_file"),
    Key::argument("security.plaintext", "plaintext"),
    Key::argument("datastorage.url", "datastorage_url"),
    Key::argument("datastorage.timeout", "datastorage_timeout"),
    Key::argument("datastorage.ca", "datastorage_ca"),
    Key::other("datastorage.buffer.bufferSize", BUFFER, number),
    Key::other("datastorage.buffer.batchSize", BUFFER, number),
    Key::other("datastorage.buffer.flushInterval", BUFFER, duration),
    Key::other("datastorage.buffer.maxRetries", BUFFER, number),
    Key::other("ansible.apiURL", EXECUTOR, url),
    Key::other("ansible.tokenSecretRef.name", EXECUTOR, filled),
    Key::other("ansible.tokenSecretRef.namespace", EXECUTOR, filled),
    Key::other("ansible.tokenSecretRef.key", EXECUTOR, filled),
    Key::other("ansible.insecure", "has no effect: connections are always verified", flag),
    Key::other("ansible.organizationID", EXECUTOR, whole),
    Key::other("logging.level", "has no effect: set EVENKEEL_LOG", filled),
    Key::other("logging.format", "has no effect: logs are JSON", filled),
];

const EXECUTOR: &str = "is for the executor";
const BUFFER: &str = "has no effect: audit events are derived again until they are acknowledged";

/// What takes effect without a restart: how the rules decide. Who this process is, whom it talks
/// to and what it listens on stay as they were when it started.
const LIVE: [&str; 7] = [
    "execution.cooldownPeriod",
    "execution.backoffPeriod",
    "execution.backoffLimit",
    "execution.blockAfterFailure",
    "execution.pollInterval",
    "execution.stuckGrace",
    "retention.finished",
];

/// Whether a key takes effect without a restart.
pub fn is_live(path: &str) -> bool {
    LIVE.contains(&path)
}

fn filled(text: &str) -> Result<(), String> {
    not_empty(text).map(drop)
}

fn duration(text: &str) -> Result<(), String> {
    let duration = parse_duration(text)?;
    if duration.is_zero() { Err("must be above zero".to_owned()) } else { Ok(()) }
}

fn number(text: &str) -> Result<(), String> {
    text.parse::<u32>().map(drop).map_err(|_| format!("'{text}' is not a number"))
}

fn whole(text: &str) -> Result<(), String> {
    text.parse::<i64>().map(drop).map_err(|_| format!("'{text}' is not a whole number"))
}

fn flag(text: &str) -> Result<(), String> {
    text.parse::<bool>().map(drop).map_err(|_| format!("'{text}' is neither true nor false"))
}

fn url(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(()),
        _ => Err(format!("'{text}' is no URL; write it like https://awx.example")),
    }
}
