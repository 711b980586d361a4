//! What the controller reads from its command line, its environment and its configuration file.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Parser, Subcommand};
use evenkeel_core::{plan::Settings, target};
use evenkeel_kit::{
    config::{Security, parse_duration_above_zero},
    settings::{self, not_empty},
};
use http::Uri;

use crate::catalogue::DataStorage;

mod keys;

pub use keys::{KEYS, is_live};

/// Where a pod finds the namespace it is in.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Where the controller is when nothing says so.
const USUAL_NAMESPACE: &str = "kubernaut-system";

/// Drives WorkflowExecutions to their end.
#[derive(Parser, Clone, Debug)]
#[command(name = "evenkeel-controller", version)]
pub struct Arguments {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file, YAML; an empty name means none. Variables and flags win over it.
    #[arg(long = "config", env = "EVENKEEL_CONFIG", value_name = "FILE", default_value = "")]
    pub file: String,
    /// Print the settings in force as a configuration file, and exit.
    #[arg(long)]
    pub print_config: bool,
    /// How to run.
    #[command(flatten)]
    pub config: Config,
}

/// What to do instead of running.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Prints the CustomResourceDefinitions and exits.
    Crd {
        /// Only the one of this name, such as workflowexecutions.kubernaut.ai.
        name: Option<String>,
    },
}

/// How to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Namespace whose executions are driven. In a pod it is the pod's own unless it is set.
    #[arg(long, env = "EVENKEEL_NAMESPACE", value_parser = not_empty, default_value_t = own_namespace())]
    pub namespace: String,
    /// The executors, as host:port, with commas. Of two that offer one engine, the first has it.
    #[arg(
        long = "executor", env = "EVENKEEL_EXECUTOR", value_delimiter = ',', value_parser = host_and_port,
        default_value = "127.0.0.1:7402"
    )]
    pub executors: Vec<String>,
    /// The audit service, as host:port. Without one nothing is recorded, and every execution says so.
    #[arg(long, env = "EVENKEEL_AUDIT", value_parser = host_and_port)]
    pub audit: Option<String>,
    /// The Data Storage service, as a URL. It is asked for workflows that are not in the cluster.
    #[arg(long, env = "EVENKEEL_DATASTORAGE_URL", value_parser = web_address)]
    pub datastorage_url: Option<Uri>,
    /// How long it may take to answer.
    #[arg(long, env = "EVENKEEL_DATASTORAGE_TIMEOUT", default_value = "10s", value_parser = parse_duration_above_zero)]
    pub datastorage_timeout: Duration,
    /// PEM file of the authority that its certificate is checked against; the system's unless it is set.
    #[arg(long, env = "TLS_CA_FILE")]
    pub datastorage_ca: Option<PathBuf>,
    /// Address of health, readiness and metrics.
    #[arg(
        long, env = "EVENKEEL_CONTROLLER_ADMIN_LISTEN", default_value = "127.0.0.1:7411",
        value_parser = listen_address
    )]
    pub admin_listen: SocketAddr,
    /// One more address of the same, for who scrapes metrics elsewhere.
    #[arg(long, env = "EVENKEEL_CONTROLLER_METRICS_LISTEN", value_parser = listen_address)]
    pub metrics_listen: Option<SocketAddr>,
    /// How long a target rests after an execution; `off` when it need not.
    #[arg(long, env = "EVENKEEL_COOLDOWN", default_value = "5m", value_parser = above_zero_or_off)]
    pub cooldown: Duration,
    /// How long a target rests at first when an execution failed before it began, twice as long after
    /// each further one; `off` when it need not.
    #[arg(long, env = "EVENKEEL_BACKOFF", default_value = "1m", value_parser = above_zero_or_off)]
    pub backoff: Duration,
    /// How long it rests at most after several such failures.
    #[arg(long, env = "EVENKEEL_BACKOFF_MAX", default_value = "10m", value_parser = parse_duration_above_zero)]
    pub backoff_max: Duration,
    /// Whether a target is blocked when an execution failed while it ran, until somebody clears it.
    #[arg(long, env = "EVENKEEL_BLOCK", default_value_t = true, action = clap::ArgAction::Set)]
    pub block: bool,
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
    /// Whether only the replica that holds the Lease acts. Without it, run one replica.
    #[arg(long, env = "EVENKEEL_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// Name of that Lease.
    #[arg(
        long, env = "EVENKEEL_LEADER_ELECTION_ID", default_value = "workflowexecution.kubernaut.ai",
        value_parser = object_name
    )]
    pub leader_election_id: String,
    /// How long finished executions are kept once nothing is left to do for them; for ever unless it is set.
    #[arg(long, env = "EVENKEEL_RETENTION", value_parser = parse_duration_above_zero)]
    pub retention: Option<Duration>,
    /// Who this process is and whom it trusts.
    #[command(flatten)]
    pub security: Security,
}

impl Config {
    /// Where workflows are asked for that are not in the cluster.
    pub fn data_storage(&self) -> Option<DataStorage> {
        let url = self.datastorage_url.clone()?;
        Some(DataStorage::new(url, self.datastorage_timeout, self.datastorage_ca.clone()))
    }

    /// What the rules need to know.
    pub fn settings(&self) -> Settings {
        Settings {
            cooldown: self.cooldown,
            backoff: self.backoff,
            backoff_max: self.backoff_max,
            block: self.block,
            poll: self.poll_interval,
            start_timeout: self.start_timeout,
            stuck_grace: self.stuck_grace,
        }
    }
}

/// Settings, and how to read them again.
pub struct Loaded {
    /// The settings.
    pub settings: settings::Settings<Arguments>,
    /// Where they come from.
    pub source: Source,
}

/// Where settings come from.
#[derive(Clone)]
pub struct Source {
    line: Vec<OsString>,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
}

impl Source {
    /// Reads all settings, also again.
    pub fn read(&self) -> Result<settings::Settings<Arguments>, settings::Error> {
        let line = with_namespace(&self.line, |name| std::env::var_os(name));
        let settings = settings::read(KEYS, &line, Arguments::file)?;
        let config = &settings.arguments.config;
        let mut seen = BTreeSet::new();
        if let Some(twice) = config.executors.iter().find(|address| !seen.insert(address.as_str())) {
            let message = format!("executor {twice} is named twice\n");
            return Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, message).into());
        }
        Ok(settings)
    }
}

impl Arguments {
    /// Reads all settings of a command line, with the environment and the file that they name.
    pub fn load(line: impl IntoIterator<Item = OsString>) -> Result<Loaded, settings::Error> {
        let mut source = Source { line: line.into_iter().collect(), file: None };
        let settings = source.read()?;
        source.file = settings.arguments.file();
        Ok(Loaded { settings, source })
    }

    fn file(&self) -> Option<PathBuf> {
        Some(self.file.as_str()).filter(|file| !file.is_empty()).map(PathBuf::from)
    }
}

/// The namespace under the name that existing installations set, unless it is given otherwise.
fn with_namespace(line: &[OsString], variable: impl Fn(&str) -> Option<OsString>) -> Vec<OsString> {
    let mut line = line.to_vec();
    let is_given = |word: &OsString| word.to_string_lossy().starts_with("--namespace");
    let given = variable("EVENKEEL_NAMESPACE").is_some() || line.iter().any(is_given);
    if let Some(namespace) = variable("KUBERNAUT_CONTROLLER_NAMESPACE").filter(|_| !given && !line.is_empty())
    {
        let mut word = OsString::from("--namespace=");
        word.push(namespace);
        line.insert(1, word);
    }
    line
}

fn own_namespace() -> String {
    let own = settings::text(Path::new(OWN_NAMESPACE)).map(|text| text.trim().to_owned());
    own.filter(|name| !name.is_empty()).unwrap_or_else(|| USUAL_NAMESPACE.to_owned())
}

/// A server that is asked over HTTP.
fn web_address(text: &str) -> Result<Uri, String> {
    let address: Option<Uri> = text.parse().ok();
    address
        .filter(|address| matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some())
        .ok_or_else(|| "is no URL; write it like https://data-storage:8080".to_owned())
}

/// An address to listen on. Without a host, such as `:8081`, it is all of this machine's.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        None => text.parse().ok(),
    };
    address.ok_or_else(|| "is no address; write it like 127.0.0.1:8081 or :8081".to_owned())
}

fn object_name(text: &str) -> Result<String, String> {
    not_empty(text)?;
    if target::is_dns_subdomain(text) {
        Ok(text.to_owned())
    } else {
        Err("is no name of an object: lower case letters, digits, '-' and '.'".to_owned())
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    not_empty(text)?;
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let is_whole = parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    if is_whole {
        Ok(text.to_owned())
    } else {
        Err("is no host:port, such as evenkeel-executor:7402".to_owned())
    }
}

/// What does not hold at all is said in a word: a zero is more often a mistake.
/// YAML takes a plain `off` for false.
fn above_zero_or_off(text: &str) -> Result<Duration, String> {
    if matches!(text, "off" | "false") { Ok(Duration::ZERO) } else { parse_duration_above_zero(text) }
}

#[cfg(test)]
mod tests;
