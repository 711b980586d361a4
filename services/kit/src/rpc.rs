//! Errors on the wire: one closed set of classes, and exactly one `google.rpc.ErrorInfo` per
//! status (AIP-193), so that clients branch on the reason and never on text.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request itself is wrong; repeating it is useless.
    Invalid,
    /// The request is right but the state forbids it until something else changes.
    Precondition,
    /// What was asked for does not exist.
    NotFound,
    /// It exists already and differs.
    AlreadyExists,
    /// Something changed meanwhile; read again and decide again.
    Conflict,
    /// The caller is known but may not do this.
    Denied,
    /// The caller is not known.
    Unauthenticated,
    /// A limit is reached; wait.
    Exhausted,
    /// A dependency cannot be reached; wait.
    Unavailable,
    /// The deadline passed; the outcome is not known.
    Timeout,
    /// A defect.
    Internal,
}

impl Class {
    /// Every class, for tests over the whole table.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::Precondition,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::Denied,
        Self::Unauthenticated,
        Self::Exhausted,
        Self::Unavailable,
        Self::Timeout,
        Self::Internal,
    ];

    /// The gRPC code of the class.
    pub fn code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidArgument,
            Self::Precondition => Code::FailedPrecondition,
            Self::NotFound => Code::NotFound,
            Self::AlreadyExists => Code::AlreadyExists,
            Self::Conflict => Code::Aborted,
            Self::Denied => Code::PermissionDenied,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Exhausted => Code::ResourceExhausted,
            Self::Unavailable => Code::Unavailable,
            Self::Timeout => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
        }
    }

    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Conflict | Self::Exhausted | Self::Unavailable | Self::Timeout)
    }
}

/// An error that knows what its reader can do about it.
pub trait Coded: std::fmt::Display {
    /// What the caller can do.
    fn class(&self) -> Class;
    /// Machine-readable reason, `UPPER_SNAKE_CASE`, at most 63 characters.
    fn reason(&self) -> &'static str;
    /// Variables of the message.
    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
    }
    /// When to try again, for errors that pass.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// The status of an error. Internal errors show a fixed text and the trace id: their cause is for
/// the log, where the caller of this function writes it.
pub fn status(service: &str, error: &impl Coded) -> Status {
    let class = error.class();
    let mut metadata = error.metadata();
    let message = if class == Class::Internal {
        if let Some(trace) = crate::trace::current_trace_id() {
            metadata.insert("trace_id".to_owned(), trace);
        }
        "internal error; see the service log for this trace id".to_owned()
    } else {
        error.to_string()
    };
    let mut details = ErrorDetails::with_error_info(error.reason(), format!("{service}.evenkeel"), metadata);
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(class.code(), message, details)
}

/// The reason in a status; none when the other side is no Evenkeel service, or was not reached.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// The variables of the message of a status.
pub fn metadata(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().map(|info| info.metadata).unwrap_or_default()
}

/// How long the other side asked to wait.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// The class of a status. A failed connection is `Unavailable` whatever code the transport chose.
pub fn class(status: &Status) -> Class {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => Class::Invalid,
        Code::FailedPrecondition => Class::Precondition,
        Code::NotFound => Class::NotFound,
        Code::AlreadyExists => Class::AlreadyExists,
        Code::Aborted => Class::Conflict,
        Code::PermissionDenied => Class::Denied,
        Code::Unauthenticated => Class::Unauthenticated,
        Code::ResourceExhausted => Class::Exhausted,
        Code::Unavailable | Code::Cancelled => Class::Unavailable,
        Code::DeadlineExceeded => Class::Timeout,
        Code::Unknown | Code::Internal if reason(status).is_none() => Class::Unavailable,
        _ => Class::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample(Class);
    impl std::fmt::Display for Sample {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("text for people")
        }
    }
    impl Coded for Sample {
        fn class(&self) -> Class {
            self.0
        }
        fn reason(&self) -> &'static str {
            "SAMPLE"
        }
        fn metadata(&self) -> HashMap<String, String> {
            [("field".to_owned(), "target".to_owned())].into()
        }
    }

    #[test]
    fn every_class_survives_the_wire_with_its_reason_and_metadata() {
        for class_sent in Class::ALL {
            let sent = status("executor", &Sample(class_sent));
            let received = Status::with_details(sent.code(), sent.message(), sent.details().to_vec().into());
            assert_eq!(class(&received), class_sent);
            assert_eq!(reason(&received).as_deref(), Some("SAMPLE"));
            assert_eq!(metadata(&received)["field"], "target");
        }
    }

    #[test]
    fn an_internal_error_never_shows_its_text() {
        assert!(!status("audit", &Sample(Class::Internal)).message().contains("text for people"));
    }
}
