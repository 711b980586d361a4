//! The executor protocol as a client sees it: one live run per target, one launch per attempt.

use evenkeel_proto::execution::v1::{
    CancelExecutionRequest, Execution, ExecutionState, GetExecutionRequest, Owner, ReleaseExecutionRequest,
    ReleaseState, WatchExecutionsRequest, watch_executions_response::Event,
};
use evenkeel_test_kit::{Environment, Options, Service, run};
use futures::future::join_all;
use tonic::{Code, Status};

use crate::support::{LIMIT, Stage, check_error, owner, spec, start, target};

/// Nothing but an executor.
async fn stage() -> Stage {
    Stage::start(Options::default().without(Service::Controller).without(Service::Audit)).await
}

async fn begin(
    environment: &Environment,
    me: &Owner,
    at: &str,
    token: i64,
) -> Result<(Execution, bool), Status> {
    let request = start(spec(me.clone(), at, &[("SLEEP_SECONDS", "600")]), token);
    let answer = environment.executor().unwrap().start_execution(request).await?.into_inner();
    Ok((answer.execution.unwrap(), answer.adopted))
}

async fn release(environment: &Environment, me: &Owner, at: &str) {
    let request = ReleaseExecutionRequest { owner: Some(me.clone()), target: at.to_owned() };
    let released = tokio::time::timeout(LIMIT, async {
        let mut executor = environment.executor().unwrap();
        while executor.release_execution(request.clone()).await.unwrap().into_inner().state()
            != ReleaseState::Released
        {}
    });
    released.await.unwrap();
}

#[test]
fn an_attempt_goes_live_once_however_often_it_is_started() {
    run(async {
        let stage = stage().await;
        let launches = stage.launches().await.unwrap();
        let (me, at) = (owner("repeated"), "shop/Deployment/repeated");
        let answers = join_all((0..8).map(|_| begin(&stage, &me, at, 0))).await;
        let runs: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert!(!runs.is_empty(), "{answers:?}");
        assert!(runs.iter().all(|(run, _)| run.run_uid == runs[0].0.run_uid), "{runs:?}");
        assert!(runs.iter().filter(|(_, adopted)| !adopted).count() <= 1, "{runs:?}");
        // Those that lost against themselves are told to look again, and nothing else.
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(refused.code(), Code::Aborted, "{refused:?}");
        }
        let (again, adopted) = begin(&stage, &me, at, target(&stage, at).await.token).await.unwrap();
        assert_eq!((again.run_uid.as_str(), adopted), (runs[0].0.run_uid.as_str(), true));
        launches.reach(&me.uid, 1, LIMIT).await.unwrap();
        release(&stage, &me, at).await;
        assert_eq!(launches.of(&me.uid).unwrap(), 1);
    });
}

#[test]
fn of_many_attempts_at_once_one_goes_live_and_the_others_hear_of_it() {
    run(async {
        let stage = stage().await;
        let launches = stage.launches().await.unwrap();
        let at = "shop/Deployment/contested";
        let racers: Vec<Owner> = (0..8).map(|number| owner(&format!("racer-{number}"))).collect();
        let answers = join_all(racers.iter().map(|me| begin(&stage, me, at, 0))).await;
        let winners: Vec<&Owner> =
            racers.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(me, _)| me).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        let winner = winners[0];
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert!([Code::Aborted, Code::FailedPrecondition].contains(&refused.code()), "{refused:?}");
        }
        let token = target(&stage, at).await.token;
        for me in racers.iter().filter(|me| *me != winner) {
            let refused = begin(&stage, me, at, token).await.unwrap_err();
            let metadata = check_error(&refused, Code::FailedPrecondition, "TARGET_BUSY");
            assert_eq!(metadata["holder_uid"], winner.uid);
            assert_eq!(metadata["holder_name"], winner.name);
            assert!(refused.message().contains(&winner.name), "{refused:?}");
            assert_eq!(launches.of(&me.uid).unwrap(), 0);
        }
        assert_eq!(launches.of(&winner.uid).unwrap(), 1);
        release(&stage, winner, at).await;
    });
}

#[test]
fn a_start_that_was_decided_on_an_old_reading_is_refused() {
    run(async {
        let stage = stage().await;
        let launches = stage.launches().await.unwrap();
        let (me, at) = (owner("late"), "shop/Deployment/late");
        assert_eq!(target(&stage, at).await.token, 0);
        begin(&stage, &me, at, 0).await.unwrap();
        release(&stage, &me, at).await;
        let lock = target(&stage, at).await;
        assert_eq!((lock.holder, lock.released_uid.as_str(), lock.execution), (None, me.uid.as_str(), None));
        let refused = begin(&stage, &me, at, 0).await.unwrap_err();
        let metadata = check_error(&refused, Code::Aborted, "TOKEN_MOVED");
        assert_eq!(metadata["current_token"], lock.token.to_string());
        assert_eq!(launches.of(&me.uid).unwrap(), 1, "what was released must not run again");
    });
}

#[test]
fn a_release_fences_an_attempt_that_never_held_the_target() {
    run(async {
        let stage = stage().await;
        let (me, at) = (owner("never"), "shop/Deployment/never");
        let before = target(&stage, at).await.token;
        release(&stage, &me, at).await;
        assert!(target(&stage, at).await.token > before, "its requests under way must be refused");
        check_error(&begin(&stage, &me, at, before).await.unwrap_err(), Code::Aborted, "TOKEN_MOVED");
    });
}

#[test]
fn an_attempt_that_was_released_never_starts_again() {
    run(async {
        let stage = stage().await;
        let (me, at) = (owner("again"), "shop/Deployment/again");
        begin(&stage, &me, at, 0).await.unwrap();
        release(&stage, &me, at).await;
        let token = target(&stage, at).await.token;
        let refused = begin(&stage, &me, at, token).await.unwrap_err();
        check_error(&refused, Code::FailedPrecondition, "RUN_VANISHED");
    });
}

#[test]
fn a_cancelled_run_fails_as_cancelled_and_stays_until_it_is_released() {
    run(async {
        let stage = stage().await;
        let (me, at) = (owner("cancelled"), "shop/Deployment/cancelled");
        begin(&stage, &me, at, 0).await.unwrap();
        let mut executor = stage.executor().unwrap();
        let request = WatchExecutionsRequest { owner: Some(me.clone()), ..WatchExecutionsRequest::default() };
        let mut watch = executor.watch_executions(request).await.unwrap().into_inner();
        let cancel = CancelExecutionRequest {
            owner: Some(me.clone()),
            target: at.to_owned(),
            reason: "no longer wanted".to_owned(),
        };
        executor.cancel_execution(cancel.clone()).await.unwrap();
        let ended = tokio::time::timeout(LIMIT, async {
            loop {
                let message = watch.message().await.unwrap().unwrap();
                if let Some(Event::Execution(run)) = message.event
                    && run.state() == ExecutionState::Failed
                {
                    return run;
                }
            }
        });
        assert_eq!(ended.await.unwrap().reason, "Cancelled");
        let again = executor.cancel_execution(cancel.clone()).await.unwrap().into_inner().execution.unwrap();
        assert_eq!(again.reason, "Cancelled", "cancelling what has ended is a success");
        let get = GetExecutionRequest { owner: Some(me.clone()), target: at.to_owned() };
        let kept = executor.get_execution(get).await.unwrap().into_inner().execution.unwrap();
        assert_eq!(kept.state(), ExecutionState::Failed);
        release(&stage, &me, at).await;
        let gone = executor.cancel_execution(cancel).await.unwrap().into_inner();
        assert_eq!(gone.execution, None, "cancelling what is gone is a success");
    });
}

#[test]
fn a_watch_that_is_resumed_misses_nothing_and_repeats_nothing() {
    run(async {
        let stage = stage().await;
        let mut executor = stage.executor().unwrap();
        let (first, second) = (owner("first"), owner("second"));
        begin(&stage, &first, "shop/Deployment/first", 0).await.unwrap();
        let mut watch =
            executor.watch_executions(WatchExecutionsRequest::default()).await.unwrap().into_inner();
        let mut token = String::new();
        let synced = tokio::time::timeout(LIMIT, async {
            let mut names = Vec::new();
            loop {
                let message = watch.message().await.unwrap().unwrap();
                token = message.resume_token;
                match message.event.unwrap() {
                    Event::Execution(run) => names.push(run.owner.unwrap().name),
                    Event::Synced(_) => return names,
                }
            }
        });
        assert_eq!(synced.await.unwrap(), ["first"]);
        drop(watch);
        begin(&stage, &second, "shop/Deployment/second", 0).await.unwrap();
        let request = WatchExecutionsRequest { resume_token: token, ..WatchExecutionsRequest::default() };
        let mut watch = executor.watch_executions(request).await.unwrap().into_inner();
        let seen = tokio::time::timeout(LIMIT, async {
            loop {
                let message = watch.message().await.unwrap().unwrap();
                if let Some(Event::Execution(run)) = message.event
                    && run.owner.as_ref().unwrap().name == "second"
                {
                    return run;
                }
            }
        });
        assert_eq!(seen.await.unwrap().target, "shop/Deployment/second");
        release(&stage, &first, "shop/Deployment/first").await;
        release(&stage, &second, "shop/Deployment/second").await;
    });
}
