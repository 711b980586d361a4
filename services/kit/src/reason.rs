//! Requests that the transport refuses before any service sees them: no message, too large, no such
//! method. Its refusals have no `ErrorInfo`; here they get one, as every error of ours has.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::HeaderMap;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::{
    rpc::{self, Class, Coded},
    trace::is_plumbing,
};

/// Why the transport refused a request.
#[derive(Clone, Debug, thiserror::Error)]
enum Refusal {
    /// The bytes are no message of the method.
    #[error("the request is no message of this method: {0}")]
    Malformed(String),
    /// The message is larger than the service takes.
    #[error("the request is too large: {0}")]
    TooLarge(String),
    /// Neither the service nor the method is known here.
    #[error("there is no such method here; reflection lists those that there are")]
    UnknownMethod,
}

impl Refusal {
    fn of(status: &Status) -> Option<Self> {
        let said = status.message().to_owned();
        match status.code() {
            Code::Unimplemented if said.is_empty() => Some(Self::UnknownMethod),
            Code::OutOfRange | Code::ResourceExhausted => Some(Self::TooLarge(said)),
            // What tonic says when it cannot read a request, in whichever of its layers.
            Code::Internal | Code::InvalidArgument | Code::Unimplemented => Some(Self::Malformed(said)),
            _ => None,
        }
    }
}

impl Coded for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::Malformed(_) | Self::TooLarge(_) => Class::Invalid,
            Self::UnknownMethod => Class::NotFound,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MALFORMED_REQUEST",
            Self::TooLarge(_) => "REQUEST_TOO_LARGE",
            Self::UnknownMethod => "UNKNOWN_METHOD",
        }
    }
}

/// Gives a reason to a refusal that has none.
fn complete(service: &str, headers: &mut HeaderMap) {
    let Some(bare) = Status::from_header_map(headers) else { return };
    if bare.code() == Code::Ok || !bare.details().is_empty() {
        return;
    }
    let Some(refusal) = Refusal::of(&bare) else { return };
    let full = rpc::status(service, &refusal);
    // Clients tell by this code that a method is younger than the server.
    let code = if bare.code() == Code::Unimplemented { bare.code() } else { full.code() };
    let full = Status::with_details(code, full.message(), full.details().to_vec().into());
    if let Err(error) = full.add_header(headers) {
        tracing::warn!("could not give a refusal its reason: {error}");
    }
}

/// Gives every refusal of the transport its reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReasonLayer {
    service: &'static str,
}

impl ReasonLayer {
    /// Reasons name `service` as their domain.
    pub(crate) fn new(service: &'static str) -> Self {
        Self { service }
    }
}

impl<S> Layer<S> for ReasonLayer {
    type Service = ReasonService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        ReasonService { inner, service: self.service }
    }
}

/// See [`ReasonLayer`].
#[derive(Clone)]
pub(crate) struct ReasonService<S> {
    inner: S,
    service: &'static str,
}

impl<S, B, R> Service<http::Request<B>> for ReasonService<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = (!is_plumbing(request.uri().path())).then_some(self.service);
        let call = self.inner.call(request);
        Box::pin(async move {
            let mut response = call.await?;
            if let Some(service) = service {
                complete(service, response.headers_mut());
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(code: Code) -> Status {
        let mut headers = HeaderMap::new();
        let said = if code == Code::Unimplemented { "" } else { "said by the transport" };
        Status::new(code, said).add_header(&mut headers).unwrap();
        complete("executor", &mut headers);
        Status::from_header_map(&headers).unwrap()
    }

    #[test]
    fn a_refusal_of_the_transport_gets_its_reason() {
        for (code, expected, reason) in [
            (Code::Internal, Code::InvalidArgument, "MALFORMED_REQUEST"),
            (Code::OutOfRange, Code::InvalidArgument, "REQUEST_TOO_LARGE"),
            (Code::Unimplemented, Code::Unimplemented, "UNKNOWN_METHOD"),
        ] {
            let status = completed(code);
            assert_eq!((status.code(), rpc::reason(&status).as_deref()), (expected, Some(reason)));
        }
    }

    #[test]
    fn a_reason_that_is_there_stays_and_success_needs_none() {
        let mut headers = HeaderMap::new();
        rpc::status("executor", &Refusal::UnknownMethod).add_header(&mut headers).unwrap();
        let before = headers.clone();
        complete("audit", &mut headers);
        assert_eq!(headers, before);
        let mut success = HeaderMap::new();
        complete("audit", &mut success);
        assert!(success.is_empty());
    }
}
