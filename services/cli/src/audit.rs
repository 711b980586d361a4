//! `evenkeel audit`: reads the audit log, and proves that what it says is what was signed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use evenkeel_chain::note::VerifierKey;
use evenkeel_kit::config::Security;
use futures::StreamExt as _;

mod bundle;
mod check;
mod list;
mod pin;
mod report;
mod service;

use bundle::{Header, Query, Writer};
use check::Checker;
use pin::Pin;
use service::AuditLog;

use crate::{
    cluster::ClusterArgs,
    error::{Error, Result},
    output,
    output::Format,
};

/// What to do with the log.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// The command.
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Prove that recorded events are in the signed log, unchanged.
    ///
    /// Every event is checked against a signed checkpoint with an inclusion proof, on this machine: the
    /// server is not believed. That shows that no event was changed; only --all also shows that none was
    /// left out.
    Verify(Box<VerifyArgs>),
    /// List recorded events, unverified.
    List(list::ListArgs),
}

/// Where the audit service is, and who asks.
#[derive(Args, Clone, Debug)]
struct ServiceArgs {
    /// Address of the audit service.
    #[arg(long, env = "EVENKEEL_AUDIT", value_name = "HOST:PORT", help_heading = "Audit service")]
    audit: Option<String>,
    /// Who asks.
    #[command(flatten, next_help_heading = "Audit service")]
    security: Security,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["execution", "correlation_id", "all", "offline"]))]
struct VerifyArgs {
    /// The events of one execution.
    execution: Option<String>,
    /// The events of one incident.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Every event of the log, and that these are all. Only wrong events are printed.
    #[arg(long)]
    all: bool,
    /// Verify a file that --bundle wrote, without any network.
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    offline: Option<PathBuf>,
    /// Write what was fetched to a file, for verification elsewhere.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Key that must have signed the checkpoint (name+hash+base64).
    #[arg(long, env = "EVENKEEL_VERIFIER_KEY", value_name = "KEY")]
    verifier_key: Option<String>,
    /// File that remembers the key and the checkpoint seen last: the key must stay the same, and the log
    /// must only have grown. Made when it does not exist.
    #[arg(long, value_name = "FILE")]
    pin: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Runs the command.
pub async fn run(cluster: &ClusterArgs, args: AuditArgs) -> Result<()> {
    match args.command {
        AuditCommand::Verify(args) => verify(&cluster.namespace, &args).await,
        AuditCommand::List(args) => list::run(&cluster.namespace, args).await,
    }
}

async fn verify(namespace: &str, args: &VerifyArgs) -> Result<()> {
    let report = match &args.offline {
        Some(path) => offline(path, args)?,
        None => online(namespace, args).await?,
    };
    report.print(args.output)?;
    report.outcome()
}

/// Verifies what the service says now.
async fn online(namespace: &str, args: &VerifyArgs) -> Result<report::Report> {
    let log = AuditLog::connect(&args.service)?;
    let pin = args.pin.as_deref().map(Pin::open).transpose()?;
    let query = query(namespace, args);
    // Listed before the checkpoint is read, so that the checkpoint covers what is listed.
    let listed = if query.all { Vec::new() } else { log.list(&query).await? };
    let last = listed.iter().map(|entry| entry.index).max();
    let (checkpoint, reported) = log.checkpoint(last).await?;
    let key = trusted_key(args, pin.as_ref(), &reported)?;
    let header = Header::new(checkpoint, reported, query);
    let mut checker = Checker::new(&header, &key)?;
    if let Some(old) = pin.as_ref().and_then(Pin::checkpoint) {
        let proof = log.consistency(old, checker.size()).await?;
        checker.extends(old, &proof)?;
    }
    let mut records =
        if header.query.all { log.export(checker.size()) } else { log.prove(listed, checker.size()) };
    let mut writer = args.bundle.as_deref().map(|path| Writer::create(path, &header)).transpose()?;
    while let Some(record) = records.next().await {
        let record = record?;
        if let Some(writer) = &mut writer {
            writer.write(&record)?;
        }
        checker.take(&record);
    }
    if let Some(writer) = writer {
        writer.finish()?;
    }
    let report = checker.finish();
    if let (Some(pin), true) = (pin, report.is_good()) {
        pin.update(&key.to_string(), &header.checkpoint)?;
    }
    Ok(report)
}

/// Verifies a file.
fn offline(path: &std::path::Path, args: &VerifyArgs) -> Result<report::Report> {
    let pin = args.pin.as_deref().map(Pin::open).transpose()?;
    let key = known_key(args, pin.as_ref())?.ok_or_else(|| {
        let text = "--offline needs --verifier-key, or a --pin that has one: a file cannot vouch for itself";
        Error::Usage(text.to_owned())
    })?;
    let (header, records) = bundle::read(path)?;
    let mut checker = Checker::new(&header, &key)?;
    for record in records {
        checker.take(&record?);
    }
    Ok(checker.finish())
}

fn query(namespace: &str, args: &VerifyArgs) -> Query {
    Query {
        all: args.all,
        namespace: args.execution.as_ref().map(|_| namespace.to_owned()),
        execution: args.execution.clone(),
        correlation_id: args.correlation_id.clone(),
    }
}

/// The key to believe: the given one, the remembered one, or the one that the server reports.
fn trusted_key(args: &VerifyArgs, pin: Option<&Pin>, reported: &str) -> Result<VerifierKey> {
    if let Some(key) = known_key(args, pin)? {
        return Ok(key);
    }
    let remedy = if pin.is_some() { "remembered from now on" } else { "compare it, or use --pin" };
    output::note(&format!(
        "note: trust on first use: believing the key that the server itself reports, {reported} ({remedy})"
    ));
    parse_key(reported)
}

/// The key that was given or remembered.
fn known_key(args: &VerifyArgs, pin: Option<&Pin>) -> Result<Option<VerifierKey>> {
    let given = args.verifier_key.as_deref().map(parse_key).transpose()?;
    let remembered = pin.and_then(Pin::key).map(|text| parse_key(text)).transpose()?;
    match (given, remembered) {
        (Some(given), Some(remembered)) if given != remembered => Err(Error::Verification(format!(
            "the pin is for the key {}, and {} was given",
            remembered.label(),
            given.label()
        ))),
        (given, remembered) => Ok(given.or(remembered)),
    }
}

fn parse_key(text: &str) -> Result<VerifierKey> {
    VerifierKey::parse(text.trim()).map_err(|error| Error::Usage(format!("the verifier key is bad: {error}")))
}
