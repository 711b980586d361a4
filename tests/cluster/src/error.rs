//! What can go wrong, by what the reader can do about it.

use std::{io, path::PathBuf, time::Duration};

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a cluster could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Go builds the cluster's programs, and is not installed.
    #[error(
        "`go` was not found: install Go 1.26 or newer and put it on PATH (it builds the cluster's programs once)"
    )]
    GoMissing,

    /// A program could not be built.
    #[error("could not build {program}:\n{output}")]
    Build {
        /// Name and version of the program.
        program: String,
        /// The last lines the Go command printed.
        output: String,
    },

    /// A component ended while it was needed.
    #[error("{component} stopped; its log {log} ends:\n{tail}", log = log.display())]
    Exited {
        /// The component's name.
        component: String,
        /// Its whole log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// Something did not come to pass in time.
    #[error("waited {waited:.0?} for {what}; the log {log} ends:\n{tail}", log = log.display())]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The log of the component to look at.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// The node tier cannot run here.
    #[error("the node tier cannot run here: {0}")]
    NoNode(String),

    /// What was asked needs the node tier, and this instance is a control plane only.
    #[error("cluster {0} has no node: start it with the node tier")]
    NeedsNode(String),

    /// Tekton was asked for without a node.
    #[error(
        "Tekton runs in pods, so it needs the node tier{why}",
        why = .0.as_ref().map(|why| format!(", which cannot run here: {why}")).unwrap_or_default()
    )]
    TektonNeedsNode(Option<String>),

    /// The cluster was started by an earlier version of this crate.
    #[error("cluster {0} was started by an earlier version, which had no Tekton: end it and start it again")]
    TooOld(String),

    /// Tekton was installed and does not work.
    #[error("Tekton is not ready: {why}\n{pods}")]
    Tekton {
        /// What is missing.
        why: String,
        /// Its pods.
        pods: String,
    },

    /// A workflow bundle cannot be made of these objects.
    #[error("no workflow bundle can be made: {0}")]
    Bundle(String),

    /// No instance of this name is running.
    #[error("no cluster named {0} is running")]
    NotRunning(String),

    /// An instance of this name is already running.
    #[error("cluster {0} is already running")]
    AlreadyRunning(String),

    /// The name cannot be used.
    #[error("{0:?} is not a name: use 1 to 20 of a-z, 0-9 and '-'")]
    Name(String),

    /// A client certificate cannot say what was asked.
    #[error("a client certificate carries at most two groups, not {0}")]
    Groups(usize),

    /// All numbers are taken, or the ports that go with them.
    #[error("no free instance number: {0} instances run, or their ports are in use")]
    Full(usize),

    /// A command of the system failed.
    #[error("`{command}` failed: {output}")]
    Command {
        /// The command line.
        command: String,
        /// What it printed.
        output: String,
    },

    /// A certificate could not be made.
    #[error("could not make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),

    /// The API server refused or could not be reached.
    #[error("could not ask {url}: {why}")]
    Ask {
        /// What was asked.
        url: String,
        /// What happened.
        why: String,
    },

    /// A file or a process could not be used.
    #[error("could not {what}: {source}")]
    Io {
        /// What was attempted, as a verb and its object.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Says what an input/output operation was for.
pub(crate) trait Doing<T> {
    /// Attaches "could not `what`" to the error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: source.into() })
    }
}
