//! Ready-made observations for tests.

use std::time::Duration;

use super::{Answers, Audit, Decision, Observed, Reading, Settings, Write, plan};
use crate::{
    conditions::{self, Millis, kind},
    facts::{Facts, FailedTask, Lock, Owner, RunState},
    gate::History,
    phase::Phase,
    record::{Record, Spec, Status, StoredPhase},
    workflow::Entry,
};

pub(super) const NOW: Millis = 1_000_000;
pub(super) const MINUTE: Millis = 60_000;

/// Everything that a plan looks at, owned.
pub(super) struct Case {
    pub(super) record: Record,
    pub(super) lock: Reading<Lock>,
    pub(super) workflow: Reading<Entry>,
    pub(super) run: Reading<Facts>,
    pub(super) history: Option<History>,
    pub(super) audit: Audit,
    pub(super) answers: Answers,
    pub(super) failures: u32,
    pub(super) settings: Settings,
}

impl Case {
    pub(super) fn new(phase: Option<Phase>) -> Self {
        let started = phase == Some(Phase::Running) || phase.is_some_and(Phase::is_terminal);
        let case = Self {
            record: Record {
                namespace: "ops".to_owned(),
                name: "we-1".to_owned(),
                uid: "uid-1".to_owned(),
                generation: 1,
                created: NOW - MINUTE,
                has_finalizer: true,
                spec: spec(),
                status: Status {
                    phase: phase.map_or(StoredPhase::Unset, StoredPhase::Known),
                    start: started.then_some(NOW - 30_000),
                    completion: phase.is_some_and(Phase::is_terminal).then_some(NOW - 10_000),
                    run_name: started.then(|| "wfe-1".to_owned()),
                    engine: started.then(|| "job".to_owned()),
                    ..Status::default()
                },
                ..Record::default()
            },
            lock: Reading::Unread,
            workflow: Reading::Unread,
            run: Reading::Unread,
            history: Some(History::default()),
            audit: Audit::Pending,
            answers: Answers::default(),
            failures: 0,
            settings: settings(),
        };
        match phase {
            Some(Phase::Completed) => case.with(kind::EXECUTION_COMPLETE, true),
            Some(Phase::Failed) => case.with(kind::EXECUTION_COMPLETE, false),
            Some(Phase::Pending | Phase::Running) | None => case,
        }
    }

    pub(super) fn pending() -> Self {
        Self { lock: Reading::Found(Lock { token: 7, ..Lock::default() }), ..Self::new(None) }
    }

    pub(super) fn running(facts: Facts) -> Self {
        Self { run: Reading::Found(facts), ..Self::new(Some(Phase::Running)) }
    }

    pub(super) fn with(mut self, kind: &str, holds: bool) -> Self {
        conditions::set(&mut self.record.status.conditions, kind, holds, ("Set", String::new()), 1, 0);
        self
    }

    pub(super) fn released(self) -> Self {
        self.with(kind::RELEASED, true)
    }

    pub(super) fn plan(&self) -> Decision {
        self.plan_at(NOW)
    }

    pub(super) fn plan_at(&self, now: Millis) -> Decision {
        let observed = Observed {
            record: &self.record,
            lock: self.lock.clone(),
            workflow: self.workflow.clone(),
            run: self.run.clone(),
            history: self.history.as_ref(),
            audit: self.audit,
            answers: self.answers.clone(),
            failures: self.failures,
            settings: &self.settings,
        };
        plan(&observed, now)
    }

    pub(super) fn write(&self) -> Write {
        match self.plan() {
            Decision::Write(write) => *write,
            other => panic!("expected a write, got {other:?}"),
        }
    }

    pub(super) fn wait(&self) -> Millis {
        match self.plan() {
            Decision::Wait(wait) => wait.millis,
            other => panic!("expected a wait, got {other:?}"),
        }
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        cooldown: Duration::from_secs(300),
        backoff: Duration::from_secs(60),
        backoff_max: Duration::from_secs(600),
        block: true,
        poll: Duration::from_secs(10),
        start_timeout: Duration::from_secs(30),
        stuck_grace: Duration::from_secs(120),
    }
}

pub(super) fn spec() -> Spec {
    Spec {
        remediation_request: "rr-1".to_owned(),
        workflow_id: "restart".to_owned(),
        workflow_version: "1".to_owned(),
        bundle: "image".to_owned(),
        target: "ns/Deployment/api".to_owned(),
        engine: Some("job".to_owned()),
        ..Spec::default()
    }
}

pub(super) fn owner(uid: &str) -> Owner {
    Owner { namespace: "ops".to_owned(), name: format!("name-of-{uid}"), uid: uid.to_owned() }
}

pub(super) fn facts(state: RunState) -> Facts {
    Facts {
        owner: owner("uid-1"),
        run_name: "wfe-1".to_owned(),
        run_namespace: "runs".to_owned(),
        state,
        start: Some(NOW - 90_000),
        completion: state.is_finished().then_some(NOW),
        total_tasks: 1,
        completed_tasks: i64::from(state == RunState::Succeeded),
        workflow_started: true,
        ..Facts::default()
    }
}

pub(super) fn stuck(cause: &str) -> Facts {
    let task = FailedTask { cause: cause.to_owned(), message: "detail".to_owned(), ..FailedTask::default() };
    Facts { failed_task: Some(task), workflow_started: false, ..facts(RunState::Running) }
}

pub(super) fn condition<'a>(write: &'a Write, kind: &str) -> (&'a str, &'a str) {
    conditions::get(&write.status.conditions, kind)
        .map_or(("absent", ""), |condition| (condition.status.as_str(), condition.reason.as_str()))
}

pub(super) fn reasons(write: &Write) -> Vec<&'static str> {
    write.notices.iter().map(|notice| notice.reason).collect()
}
