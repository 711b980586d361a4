//! The command line.

use clap::{Parser, Subcommand};

use crate::{
    audit::AuditArgs, cancel::CancelArgs, clear::ClearArgs, cluster::ClusterArgs, describe::DescribeArgs,
    error::EXIT_CODES, get::GetArgs, run::RunArgs, up::UpArgs, watch::WatchArgs, why::WhyArgs,
};

/// Run remediation workflows on Kubernetes, follow them, and prove what was done.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, after_help = exit_codes(), disable_help_subcommand = true)]
pub struct Cli {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List executions, or show one.
    Get(GetArgs),
    /// Show all that is known of one execution: failure, conditions, events.
    Describe(DescribeArgs),
    /// Explain one execution: what it waits for and until when, why it failed, what happens next.
    Why(WhyArgs),
    /// Follow one execution until it ends, or all of them.
    Watch(WatchArgs),
    /// Clear the target of an execution that failed while it ran, so that others may use it again.
    Clear(ClearArgs),
    /// End an execution before its time: one that waits never starts, one that runs is stopped.
    Cancel(CancelArgs),
    /// Create an execution from flags or a file, and follow it if asked to.
    Run(Box<RunArgs>),
    /// Read and verify the audit log.
    Audit(AuditArgs),
    /// Run all services in this process, against the cluster of the kubeconfig.
    Up(Box<UpArgs>),
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version,
}

fn exit_codes() -> String {
    let lines = EXIT_CODES.iter().map(|(code, meaning)| format!("  {code}  {meaning}"));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests;
