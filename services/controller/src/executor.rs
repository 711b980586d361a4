//! The executor, asked. Whatever it answers, and that it does not answer, is an observation for
//! the plan; the errors are told apart by the reason they carry and never by their text.

use std::collections::BTreeSet;

use evenkeel_core::{
    facts::{Facts, Lock, Refusal, RefusalKind},
    plan::{CancelAnswer, Reading, ReleaseAnswer, StartAnswer},
};
use evenkeel_kit::{
    channel::Connection,
    failpoint,
    rpc::{self, Class},
};
use evenkeel_proto::execution::v1::{
    CancelExecutionRequest, ExecutionSpec, GetExecutionRequest, GetTargetRequest, ListEnginesRequest, Owner,
    ReleaseExecutionRequest, ReleaseState, StartExecutionRequest, WatchExecutionsRequest,
    WatchExecutionsResponse, execution_service_client::ExecutionServiceClient,
};
use tonic::{Status, Streaming};

use crate::facts;

/// Largest message that is accepted from an executor.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Longest reason that the protocol takes for a cancel.
const REASON_MAX: usize = 1024;

/// A connection to the executor.
#[derive(Clone)]
pub struct Executor {
    client: ExecutionServiceClient<Connection>,
}

impl Executor {
    /// Speaks over this connection.
    pub fn new(connection: Connection) -> Self {
        Self { client: ExecutionServiceClient::new(connection).max_decoding_message_size(LARGEST_ANSWER) }
    }

    /// The engines that it offers.
    pub(crate) async fn engines(&self) -> Result<BTreeSet<String>, String> {
        let answer = self.client.clone().list_engines(ListEnginesRequest {}).await;
        let engines = answer.map_err(|status| why(&status))?.into_inner().engines;
        Ok(engines.into_iter().filter(|engine| engine.available).map(|engine| engine.name).collect())
    }

    /// Reads the lock of a target.
    pub(crate) async fn lock(&self, target: &str) -> Reading<Lock> {
        let request = GetTargetRequest { target: target.to_owned() };
        match self.client.clone().get_target(request).await {
            Ok(response) => match response.into_inner().target {
                Some(target) => Reading::Found(facts::lock(target)),
                None => Reading::Unavailable("EMPTY_ANSWER".to_owned()),
            },
            Err(status) => Reading::Unavailable(why(&status)),
        }
    }

    /// Reads the facts of a run.
    pub(crate) async fn run(&self, owner: Owner, target: &str) -> Reading<Facts> {
        let request = GetExecutionRequest { owner: Some(owner), target: target.to_owned() };
        match self.client.clone().get_execution(request).await {
            Ok(response) => match response.into_inner().execution {
                Some(execution) => facts::run(execution).map_or(Reading::Absent, Reading::Found),
                None => Reading::Unavailable("EMPTY_ANSWER".to_owned()),
            },
            Err(status) if rpc::reason(&status).as_deref() == Some("EXECUTION_NOT_FOUND") => Reading::Absent,
            Err(status) => Reading::Unavailable(why(&status)),
        }
    }

    /// Starts a run.
    pub(crate) async fn start(&self, spec: ExecutionSpec, expected_token: i64) -> StartAnswer {
        let request = StartExecutionRequest { spec: Some(spec), expected_token };
        failpoint::hit("controller.start.before");
        let answer = self.client.clone().start_execution(request).await;
        failpoint::hit("controller.start.after");
        match answer {
            Ok(response) => {
                let response = response.into_inner();
                match response.execution.and_then(facts::run) {
                    Some(facts) => StartAnswer::Started { facts: Box::new(facts), adopted: response.adopted },
                    None => StartAnswer::Unavailable("EMPTY_ANSWER".to_owned()),
                }
            }
            Err(status) => refused(&status),
        }
    }

    /// Asks a run to stop.
    pub(crate) async fn cancel(&self, owner: Owner, target: &str, reason: &str) -> CancelAnswer {
        let reason = reason.chars().take(REASON_MAX).collect();
        let request = CancelExecutionRequest { owner: Some(owner), target: target.to_owned(), reason };
        match self.client.clone().cancel_execution(request).await {
            Ok(_) => CancelAnswer::Done,
            Err(status) => CancelAnswer::Unavailable(why(&status)),
        }
    }

    /// Gives the lock up and removes the run.
    pub(crate) async fn release(&self, owner: Owner, target: &str) -> ReleaseAnswer {
        let request = ReleaseExecutionRequest { owner: Some(owner), target: target.to_owned() };
        failpoint::hit("controller.release.before");
        let answer = self.client.clone().release_execution(request).await;
        failpoint::hit("controller.release.after");
        match answer {
            Ok(response) => match response.into_inner().state() {
                ReleaseState::Released => ReleaseAnswer::Released,
                ReleaseState::Removing | ReleaseState::Unspecified => ReleaseAnswer::Removing,
            },
            // What the executor cannot even understand it cannot have started either.
            Err(status) if rpc::class(&status) == Class::Invalid => ReleaseAnswer::Released,
            Err(status) => ReleaseAnswer::Unavailable(why(&status)),
        }
    }

    /// Follows all runs.
    pub(crate) async fn watch(
        &self,
        resume_token: String,
    ) -> Result<Streaming<WatchExecutionsResponse>, Status> {
        let request = WatchExecutionsRequest { resume_token, owner: None };
        Ok(self.client.clone().watch_executions(request).await?.into_inner())
    }
}

/// What an error to a start means.
fn refused(status: &Status) -> StartAnswer {
    let reason = rpc::reason(status);
    let refuse = |kind| StartAnswer::Refused(Refusal { kind, message: status.message().to_owned() });
    match reason.as_deref() {
        Some("TARGET_BUSY") => StartAnswer::Busy { holder: holder(status) },
        Some("RUN_VANISHED") => StartAnswer::Vanished,
        Some("UNKNOWN_ENGINE") => refuse(RefusalKind::UnknownEngine),
        Some("DEPENDENCY_MISSING") => refuse(RefusalKind::DependencyMissing),
        Some("QUOTA_EXCEEDED") => refuse(RefusalKind::QuotaExceeded),
        Some("FORBIDDEN") => refuse(RefusalKind::Forbidden),
        Some("REJECTED") => refuse(RefusalKind::Invalid),
        _ if rpc::class(status) == Class::Invalid => refuse(RefusalKind::Invalid),
        // The lock moved, or what was left behind is still going: read again and decide again.
        _ if rpc::class(status) == Class::Conflict => StartAnswer::Moved,
        _ => StartAnswer::Unavailable(why(status)),
    }
}

fn holder(status: &Status) -> String {
    let metadata = rpc::metadata(status);
    let part = |key: &str| metadata.get(key).filter(|value| !value.is_empty()).cloned();
    part("holder")
        .or_else(|| Some(format!("{}/{}", part("holder_namespace")?, part("holder_name")?)))
        .or_else(|| part("holder_uid"))
        .unwrap_or_else(|| "another run".to_owned())
}

/// Why there is no usable answer, in words that stay the same while the cause does.
fn why(status: &Status) -> String {
    let reason = rpc::reason(status);
    if reason.as_deref() == Some("RUN_UNREADABLE") {
        return status.message().to_owned();
    }
    reason.unwrap_or_else(|| format!("{:?}", rpc::class(status)).to_uppercase())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use evenkeel_kit::rpc::Coded;

    use super::*;

    #[derive(Debug)]
    struct Sample(Class, &'static str);
    impl std::fmt::Display for Sample {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("words that nobody may branch on: TARGET_BUSY")
        }
    }
    impl Coded for Sample {
        fn class(&self) -> Class {
            self.0
        }
        fn reason(&self) -> &'static str {
            self.1
        }
        fn metadata(&self) -> HashMap<String, String> {
            [("holder".to_owned(), "ops/we-2".to_owned())].into()
        }
    }

    fn answer(class: Class, reason: &'static str) -> StartAnswer {
        refused(&rpc::status("executor", &Sample(class, reason)))
    }

    #[test]
    fn errors_are_told_apart_by_their_reason() {
        let holder = "ops/we-2".to_owned();
        assert_eq!(answer(Class::Precondition, "TARGET_BUSY"), StartAnswer::Busy { holder });
        assert_eq!(answer(Class::Precondition, "RUN_VANISHED"), StartAnswer::Vanished);
        assert_eq!(answer(Class::Conflict, "TOKEN_MOVED"), StartAnswer::Moved);
        assert_eq!(answer(Class::Conflict, "UNSETTLED"), StartAnswer::Moved);
        for (class, reason, kind) in [
            (Class::Invalid, "UNKNOWN_ENGINE", RefusalKind::UnknownEngine),
            (Class::Invalid, "INVALID_PARAMETERS", RefusalKind::Invalid),
            (Class::Invalid, "SOMETHING_NEW", RefusalKind::Invalid),
            (Class::Precondition, "REJECTED", RefusalKind::Invalid),
            (Class::Precondition, "DEPENDENCY_MISSING", RefusalKind::DependencyMissing),
            (Class::Exhausted, "QUOTA_EXCEEDED", RefusalKind::QuotaExceeded),
            (Class::Denied, "FORBIDDEN", RefusalKind::Forbidden),
        ] {
            let StartAnswer::Refused(refusal) = answer(class, reason) else { panic!("{reason}") };
            assert_eq!(refusal.kind, kind, "{reason}");
        }
    }

    #[test]
    fn what_may_pass_is_waited_for() {
        for (class, reason) in [
            (Class::Unavailable, "BACKEND_UNAVAILABLE"),
            (Class::Timeout, "DEADLINE"),
            (Class::Denied, "UNKNOWN_CLIENT"),
            (Class::Internal, "INTERNAL"),
        ] {
            assert_eq!(answer(class, reason), StartAnswer::Unavailable(reason.to_owned()));
        }
        assert_eq!(refused(&Status::unavailable("gone")), StartAnswer::Unavailable("UNAVAILABLE".to_owned()));
    }

    #[test]
    fn what_an_engine_lacks_is_told_in_the_words_of_the_executor() {
        let told = answer(Class::Unavailable, "RUN_UNREADABLE");
        assert!(matches!(told, StartAnswer::Unavailable(words) if words.starts_with("words that")));
    }
}
