//! What can go wrong, as decisions for the caller.

use std::{collections::HashMap, time::Duration};

use evenkeel_kit::rpc::{Class, Coded};

use crate::attempt::Owner;

/// Result of the service.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is wrong.
    #[error("{field}: {message}")]
    Invalid {
        /// What kind of wrong, `UPPER_SNAKE_CASE`.
        reason: &'static str,
        /// Path of the field in the request.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// There is no such engine.
    #[error("engine '{engine}' is not offered here; available: {available}")]
    UnknownEngine {
        /// What was asked for.
        engine: String,
        /// What there is.
        available: String,
    },
    /// The engine exists, but what it needs in the cluster does not.
    #[error("engine '{engine}' cannot run workflows here: {why}")]
    EngineUnavailable {
        /// What was asked for.
        engine: &'static str,
        /// What is missing, and what to do.
        why: String,
    },
    /// Another attempt holds the target.
    #[error("target is held by {}, whose run is {run}; it is free again once that is released", .holder.path())]
    Busy {
        /// Who holds it.
        holder: OwnerName,
        /// Name of the lock and the run.
        run: String,
    },
    /// The lock changed since the caller read it.
    #[error("the lock has moved to token {current} since it was read; read the target and decide again")]
    TokenMoved {
        /// Token now.
        current: i64,
    },
    /// The run of this attempt is gone, and the attempt never starts again.
    #[error(
        "this execution has had its run, which is gone: it was released, or somebody else removed the run; \
         it is never launched again: release it, and start another execution under another uid"
    )]
    Vanished,
    /// No run of this owner is on the target.
    #[error("no run of this owner exists on the target")]
    NotFound,
    /// A Secret, ConfigMap or ServiceAccount that the run needs is not there or is empty.
    #[error("{0}")]
    DependencyMissing(String),
    /// The API server refuses the run for good.
    #[error("{message}")]
    Refused {
        /// What kind of refusal.
        kind: Refusal,
        /// The API server's words.
        message: String,
    },
    /// The run was removed before it went live, or is still being removed. Ask again.
    #[error("{0}; ask again")]
    Unsettled(&'static str),
    /// The API server cannot be used now. Whatever was begun is carried on by the next request.
    #[error("the Kubernetes API cannot be used now: {0}")]
    Unavailable(String),
    /// A run may go on, but what its engine needs in the cluster is not as it was.
    #[error("{0}")]
    RunUnreadable(String),
    /// There is no place for locks and runs.
    #[error("the execution namespace {0:?} does not exist; create it, or name another one to the executor")]
    NamespaceMissing(String),
    /// This executor's own permissions do not suffice.
    #[error("the executor may not do this: {0}; see its Role")]
    ExecutorForbidden(String),
    /// A stream's reader was too slow for what happened.
    #[error("the stream fell behind; open it again")]
    Lagged,
}

/// An owner, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerName(Owner);

impl OwnerName {
    fn path(&self) -> String {
        match &self.0 {
            Owner { name, uid, .. } if name.is_empty() => format!("attempt {uid}"),
            // A run that somebody else made need not say where its owner is.
            Owner { namespace, name, .. } if namespace.is_empty() => name.clone(),
            owner => owner.path(),
        }
    }
}

impl From<Owner> for OwnerName {
    fn from(owner: Owner) -> Self {
        Self(owner)
    }
}

/// Kinds of refusals by the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A ResourceQuota.
    QuotaExceeded,
    /// RBAC or an admission policy.
    Forbidden,
    /// Validation or an admission webhook.
    Rejected,
}

impl Coded for Error {
    fn class(&self) -> Class {
        match self {
            Self::Invalid { .. } | Self::UnknownEngine { .. } | Self::EngineUnavailable { .. } => {
                Class::Invalid
            }
            Self::Busy { .. }
            | Self::Vanished
            | Self::DependencyMissing(_)
            | Self::Refused { .. }
            | Self::NamespaceMissing(_) => Class::Precondition,
            Self::TokenMoved { .. } | Self::Unsettled(_) | Self::Lagged => Class::Conflict,
            Self::NotFound => Class::NotFound,
            Self::Unavailable(_) | Self::RunUnreadable(_) => Class::Unavailable,
            Self::ExecutorForbidden(_) => Class::Denied,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { reason, .. } => reason,
            Self::UnknownEngine { .. } | Self::EngineUnavailable { .. } => "UNKNOWN_ENGINE",
            Self::Busy { .. } => "TARGET_BUSY",
            Self::TokenMoved { .. } => "TOKEN_MOVED",
            Self::Vanished => "RUN_VANISHED",
            Self::NotFound => "EXECUTION_NOT_FOUND",
            Self::DependencyMissing(_) => "DEPENDENCY_MISSING",
            Self::Refused { kind: Refusal::QuotaExceeded, .. } => "QUOTA_EXCEEDED",
            Self::Refused { kind: Refusal::Forbidden, .. } => "FORBIDDEN",
            Self::Refused { kind: Refusal::Rejected, .. } => "REJECTED",
            Self::Unsettled(_) => "UNSETTLED",
            Self::Unavailable(_) => "KUBERNETES_UNAVAILABLE",
            Self::RunUnreadable(_) => "RUN_UNREADABLE",
            Self::NamespaceMissing(_) => "EXECUTION_NAMESPACE_MISSING",
            Self::ExecutorForbidden(_) => "EXECUTOR_FORBIDDEN",
            Self::Lagged => "STREAM_LAGGED",
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::Invalid { field, .. } => one("field", field),
            Self::UnknownEngine { engine, available } => {
                HashMap::from([("engine".into(), engine.clone()), ("available".into(), available.clone())])
            }
            Self::EngineUnavailable { engine, .. } => one("engine", engine),
            Self::Busy { holder: OwnerName(owner), run } => HashMap::from([
                ("holder_namespace".into(), owner.namespace.clone()),
                ("holder_name".into(), owner.name.clone()),
                ("holder_uid".into(), owner.uid.clone()),
                ("run_name".into(), run.clone()),
            ]),
            Self::TokenMoved { current } => one("current_token", &current.to_string()),
            _ => HashMap::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(_) | Self::RunUnreadable(_) | Self::Unsettled(_) => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }
}

fn one(key: &str, value: &str) -> HashMap<String, String> {
    HashMap::from([(key.to_owned(), value.to_owned())])
}

/// An error of the API server that is no answer to what was asked.
impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => Self::ExecutorForbidden(status.message),
            kube::Error::Api(status) => Self::Unavailable(format!("{} {}", status.code, status.message)),
            other => {
                tracing::warn!("could not reach the Kubernetes API: {other}");
                Self::Unavailable("it cannot be reached".to_owned())
            }
        }
    }
}

/// An answer of the API server to the creation of a run: refused for good, or to be tried again.
pub(crate) fn of_create(error: kube::Error) -> Error {
    let kube::Error::Api(status) = error else { return error.into() };
    let kind = match status.code {
        // A quota that is new, of which nobody has counted yet what is used. That passes by itself.
        403 if status.message.contains("status unknown for quota") => {
            return Error::Unavailable(status.message.clone());
        }
        403 if status.message.contains("exceeded quota") => Refusal::QuotaExceeded,
        403 => Refusal::Forbidden,
        400 | 404 | 413 | 422 => Refusal::Rejected,
        _ => return kube::Error::Api(status).into(),
    };
    Error::Refused { kind, message: status.message.clone() }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_quota_that_nobody_has_counted_yet_refuses_nothing_for_good() {
        let answer = |code, message: &str| {
            let words = format!("pipelineruns.tekton.dev \"wfe-1\" is forbidden: {message}");
            of_create(kube::Error::Api(Status::failure(&words, "Forbidden").with_code(code).boxed()))
        };
        let counted =
            answer(403, "exceeded quota: small, requested: count/jobs.batch=1, used: 0, limited: 0");
        assert_eq!((counted.class(), counted.reason()), (Class::Precondition, "QUOTA_EXCEEDED"));
        let uncounted = answer(403, "status unknown for quota: small, resources: count/jobs.batch");
        assert_eq!((uncounted.class(), uncounted.reason()), (Class::Unavailable, "KUBERNETES_UNAVAILABLE"));
        assert!(uncounted.retry_after().is_some() && uncounted.to_string().contains("small"), "{uncounted}");
        assert_eq!(answer(403, "violates a policy").reason(), "FORBIDDEN");
        assert_eq!(answer(422, "is invalid").reason(), "REJECTED");
    }
}
