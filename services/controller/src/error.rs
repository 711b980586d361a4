//! Why a pass over an execution ended without a decision. What the executor or the audit service
//! answers is never an error here: it is an observation that the plan decides on.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do is the same for all of these: try again later, a little later each time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server could not be asked, or did not do as asked.
    #[error("could not {doing}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// Another replica may lead by now, so nothing may be done.
    #[error("this replica no longer leads")]
    NotLeading,
    /// The API server holds an object without a name or version, or answered with one.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
}

impl Error {
    /// Machine-readable reason, for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { source, .. } if is_denied(source) => "API_DENIED",
            Self::Api { .. } => "API_UNAVAILABLE",
            Self::NotLeading => "NOT_LEADING",
            Self::Incomplete(_) => "OBJECT_INCOMPLETE",
        }
    }
}

fn is_denied(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

/// How an attempt to change the object ended.
#[derive(Debug)]
pub enum Change<T> {
    /// It is done; the object as it is now.
    Done(T),
    /// The object changed since it was read.
    Conflict,
    /// The object is gone.
    Gone,
}

/// Sorts the outcome of a call to the API server.
pub fn sort<T>(doing: &'static str, result: kube::Result<T>) -> Result<Change<T>> {
    match result {
        Ok(object) => Ok(Change::Done(object)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Change::Conflict),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Change::Gone),
        Err(source) => Err(Error::Api { doing, source: Box::new(source) }),
    }
}
