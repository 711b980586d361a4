//! What can go wrong, each with its exit code and with what to do about it.

use std::path::{Path, PathBuf};

use evenkeel_kit::rpc::{self, Class};
use kube::core::Status;

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The exit codes, in the order in which `--help` and the reference list them.
pub const EXIT_CODES: [(u8, &str); 7] = [
    (0, "success"),
    (1, "error: the cluster or a service could not be reached or refused, or a file is bad"),
    (2, "usage: the command line is wrong"),
    (3, "the execution ended as Failed"),
    (4, "what was asked for does not exist"),
    (5, "verification failed: the record is not what the log signed"),
    (6, "the time limit passed before the execution ended"),
];

/// Why a command did not succeed. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong in a way that clap cannot see.
    #[error("{0}")]
    Usage(String),
    /// The execution that was followed ended as Failed.
    #[error("execution {name} failed: {reason}; `evenkeel describe {name}` tells more")]
    ExecutionFailed {
        /// Name of the execution.
        name: String,
        /// Machine-readable reason.
        reason: String,
    },
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The execution is not in a state in which that can be done.
    #[error("{0}")]
    State(String),
    /// The audit record is not what the log signed.
    #[error("verification failed: {0}")]
    Verification(String),
    /// The execution did not end in time. It goes on.
    #[error("execution {name} is still {phase} after {limit}; it goes on, see `evenkeel describe {name}`")]
    Timeout {
        /// Name of the execution.
        name: String,
        /// Phase it was in.
        phase: String,
        /// How long was waited.
        limit: String,
    },
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig: {0}; set --kubeconfig, KUBECONFIG or --context")]
    Kubeconfig(String),
    /// The API server does not answer.
    #[error("cannot reach the cluster at {server}: {cause}; check --kubeconfig and --context")]
    ClusterUnreachable {
        /// Address of the API server.
        server: String,
        /// Why.
        cause: String,
    },
    /// The cluster does not know our resources.
    #[error(
        "the cluster at {0} has no WorkflowExecution resource; install Evenkeel there, or run `evenkeel up`"
    )]
    NotInstalled(String),
    /// The API server refused the request.
    #[error("the cluster refused: {0}")]
    ClusterRefused(String),
    /// A service refused this client.
    #[error("the {service} service at {address} refused this client: {message}")]
    ServiceRefused {
        /// Which service.
        service: &'static str,
        /// Its address.
        address: String,
        /// What it says.
        message: String,
    },
    /// A service does not answer.
    #[error(
        "cannot reach the {service} service at {address}: {cause}; is it running, and is its address and \
         EVENKEEL_CA right?"
    )]
    ServiceUnreachable {
        /// Which service.
        service: &'static str,
        /// Its address.
        address: String,
        /// Why.
        cause: String,
    },
    /// A service answered with another error.
    #[error("the {service} service said {reason}: {message}")]
    Service {
        /// Which service.
        service: &'static str,
        /// Machine-readable reason.
        reason: String,
        /// What it says.
        message: String,
    },
    /// A file could not be read, written or understood.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A part of `evenkeel up` failed.
    #[error("{0}")]
    Up(String),
    /// Nobody reads the output any more, as in `evenkeel get | head -1`.
    #[error("the output was closed")]
    OutputClosed,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// Exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Kubeconfig(_)
            | Self::ClusterUnreachable { .. }
            | Self::NotInstalled(_)
            | Self::ClusterRefused(_)
            | Self::State(_)
            | Self::ServiceRefused { .. }
            | Self::ServiceUnreachable { .. }
            | Self::Service { .. }
            | Self::File { .. }
            | Self::Up(_)
            | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::ExecutionFailed { .. } => 3,
            Self::NotFound(_) => 4,
            Self::Verification(_) => 5,
            Self::Timeout { .. } => 6,
        }
    }

    /// A file and what is wrong with it.
    pub fn file(path: &Path, cause: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), cause: cause.to_string() }
    }

    /// What an error of the Kubernetes client means to a person.
    pub fn cluster(server: &str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::api_status(server, &status),
            kube::Error::Auth(error) => Self::ClusterRefused(format!("no credentials: {}", root(&error))),
            kube::Error::SerdeError(error) => Self::ClusterRefused(format!("unreadable answer: {error}")),
            error => Self::ClusterUnreachable { server: server.to_owned(), cause: root(&error) },
        }
    }

    /// What an error answer of the API server means to a person.
    pub fn api_status(server: &str, status: &Status) -> Self {
        let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
        match status.code {
            404 if named => Self::NotFound(status.message.clone()),
            404 => Self::NotInstalled(server.to_owned()),
            401 => Self::ClusterRefused(
                "the credentials of this kubeconfig are not valid (401); get new ones".to_owned(),
            ),
            code => Self::ClusterRefused(format!("{} ({code})", status.message.trim())),
        }
    }

    /// What an error answer of one of our services means to a person.
    pub fn service(service: &'static str, address: &str, status: &tonic::Status) -> Self {
        let address = address.to_owned();
        let message = status.message().to_owned();
        let reason = rpc::reason(status);
        match (rpc::class(status), reason) {
            (Class::Unauthenticated, _) => {
                let message = format!(
                    "{message} (EVENKEEL_CERT with EVENKEEL_KEY, or EVENKEEL_TOKEN, says who you are)"
                );
                Self::ServiceRefused { service, address, message }
            }
            (Class::Denied, _) => Self::ServiceRefused { service, address, message },
            (Class::Unavailable | Class::Timeout, None) => {
                Self::ServiceUnreachable { service, address, cause: root(status) }
            }
            (Class::NotFound, _) => Self::NotFound(message),
            (_, reason) => {
                let reason = reason.unwrap_or_else(|| status.code().to_string());
                Self::Service { service, reason, message }
            }
        }
    }
}

/// The innermost cause: the outer ones only name layers.
pub(crate) fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_exit_code_is_given_by_some_error() {
        let errors = [
            Error::Usage(String::new()),
            Error::ExecutionFailed { name: String::new(), reason: String::new() },
            Error::NotFound(String::new()),
            Error::Verification(String::new()),
            Error::Timeout { name: String::new(), phase: String::new(), limit: String::new() },
            Error::ClusterRefused(String::new()),
            Error::OutputClosed,
        ];
        let mut codes: Vec<u8> = errors.iter().map(Error::exit_code).collect();
        codes.sort_unstable();
        assert_eq!(codes, EXIT_CODES.map(|(code, _)| code));
    }

    #[test]
    fn a_missing_object_and_a_missing_resource_are_told_apart() {
        let status = |json| serde_json::from_str::<Status>(json).unwrap();
        let missing = status(r#"{"code": 404, "reason": "NotFound", "details": {"name": "a"}}"#);
        assert!(matches!(Error::api_status("s", &missing), Error::NotFound(_)));
        for unknown in [r#"{"code": 404, "details": {}}"#, r#"{"code": 404, "message": "page not found"}"#] {
            assert!(matches!(Error::api_status("s", &status(unknown)), Error::NotInstalled(_)), "{unknown}");
        }
    }

    #[test]
    fn a_service_that_refuses_is_not_one_that_is_away() {
        let refused = tonic::Status::unauthenticated("present a token");
        assert!(matches!(Error::service("audit", "a:1", &refused), Error::ServiceRefused { .. }));
        let away = tonic::Status::unavailable("transport error");
        let error = Error::service("audit", "a:1", &away);
        assert!(matches!(error, Error::ServiceUnreachable { .. }));
        assert!(!error.to_string().contains('\n'));
    }
}
