//! The workflow is not in the spec: a catalogue has to say which it is.

use super::*;
use crate::{
    facts::Refusal,
    record::Selection,
    workflow::{Entry, Parameter, Problem, Workflow},
};

fn workflow() -> Workflow {
    Workflow {
        name: "restart".to_owned(),
        engine: "job".to_owned(),
        bundle: "catalogue-image".to_owned(),
        service_account: "runner".to_owned(),
        parameters: Some(vec![Parameter { name: "A".to_owned(), ..Parameter::default() }]),
        ..Workflow::default()
    }
}

fn found(workflow: Workflow) -> Reading<Entry> {
    Reading::Found(Ok(Box::new(workflow)))
}

fn absent() -> Reading<Entry> {
    let looked = "no RemediationWorkflow has it".to_owned();
    Reading::Found(Err(Problem::NotFound { id: "restart".to_owned(), looked }))
}

/// An execution whose spec names no engine.
fn case(catalogue: Reading<Entry>) -> Case {
    let mut case = Case { workflow: catalogue, ..Case::pending() };
    case.record.spec.engine = None;
    case.record.spec.parameters = [("A", "1"), ("B", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    case
}

fn released(mut case: Case) -> Case {
    assert_eq!(case.plan(), Decision::Act(Effect::Release), "a start may be under way");
    case.answers.release = Some(ReleaseAnswer::Released);
    case
}

#[test]
fn a_workflow_that_was_found_starts_and_is_noted_with_what_is_passed_on() {
    let mut case = case(found(workflow()));
    assert_eq!(case.plan(), Decision::Act(Effect::Start { expected_token: 7 }));
    let started = StartAnswer::Started { facts: Box::new(facts(RunState::Running)), adopted: false };
    case.answers.start = Some(started);
    let write = case.write();
    assert_eq!(
        (write.status.engine.as_deref(), write.status.service_account.as_deref()),
        (Some("job"), Some("runner"))
    );
    let selected = write.status.workflow.clone().unwrap();
    assert_eq!(
        (selected.source.as_str(), selected.bundle.as_str()),
        ("RemediationWorkflow", "catalogue-image")
    );
    assert_eq!(selected.parameters, Some(vec!["A".to_owned()]));
    let told = write.notices.iter().find(|notice| notice.reason == "WorkflowValidated").unwrap();
    assert!(told.note.contains("does not declare: B"), "{}", told.note);
}

#[test]
fn an_outage_of_the_catalogue_is_waited_for_longer_each_time_and_told() {
    let mut case = case(Reading::Unavailable("Data Storage answered 500".to_owned()));
    let waits: Vec<_> = (0..3)
        .map(|failures| {
            case.failures = failures;
            case.wait()
        })
        .collect();
    assert_eq!(waits, [100, 200, 400]);
    case.failures = 3;
    let write = case.write();
    assert_eq!(condition(&write, kind::BLOCKED), ("True", "CatalogueUnavailable"));
    let blocked = get(&write.status.conditions, kind::BLOCKED).unwrap();
    assert!(blocked.message.contains("500") && !blocked.message.contains("not found"), "{}", blocked.message);
    assert_eq!((write.transition, write.status.engine), (None, None));
    case.record.status.conditions = write.status.conditions;
    case.failures = 30;
    assert_eq!(case.wait(), 15_000, "and told once");
    case.workflow = found(workflow());
    assert_eq!(case.plan(), Decision::Act(Effect::Start { expected_token: 7 }));
}

#[test]
fn a_definite_answer_fails_the_execution_once_nothing_can_start_any_more() {
    let mut unfit = workflow();
    unfit.parameters = Some(vec![Parameter { name: "C".to_owned(), required: true, ..Parameter::default() }]);
    for (catalogue, word) in [(absent(), "was not found"), (found(unfit), "C is required")] {
        let write = released(case(catalogue)).write();
        let failure = write.status.failure.clone().unwrap();
        assert_eq!((failure.reason, failure.was_execution_failure), (Reason::ConfigurationError, false));
        assert!(failure.message.contains(word), "{}", failure.message);
        assert_eq!(condition(&write, kind::EXECUTION_CREATED), ("False", "ExecutionCreationFailed"));
        assert_eq!(reasons(&write)[..2], ["WorkflowValidationFailed", "WorkflowFailed"]);
        assert_eq!(write.status.workflow, None);
    }
}

#[test]
fn a_launch_is_carried_on_whatever_the_catalogue_says_by_now() {
    for catalogue in [absent(), Reading::Unavailable("DOWN".to_owned()), Reading::Unread] {
        let mut case = case(catalogue);
        let run = Facts { engine: "job".to_owned(), ..facts(RunState::Running) };
        case.lock = Reading::Found(Lock { token: 7, run: Some(run), ..Lock::default() });
        let write = case.write();
        assert_eq!(write.transition.unwrap().to, Phase::Running);
        assert_eq!(write.status.engine.as_deref(), Some("job"));
        case.record.deleting = true;
        assert_eq!(case.write().transition.unwrap().to, Phase::Running, "also when it is being deleted");
    }
}

#[test]
fn a_launch_that_vanished_is_told_even_when_its_engine_is_not_known() {
    let mut case = case(absent());
    case.answers.start = Some(StartAnswer::Vanished);
    let write = case.write();
    assert_eq!((write.transition.unwrap().to, write.status.engine), (Phase::Failed, None));
}

#[test]
fn what_was_selected_stays_on_record_when_it_changes_or_is_refused() {
    let mut case = case(found(workflow()));
    case.record.status.engine = Some("job".to_owned());
    case.record.status.service_account = Some("runner".to_owned());
    let selected = Selection { bundle: "an-older-image".to_owned(), ..Selection::default() };
    case.record.status.workflow = Some(selected.clone());
    let write = released(case).write();
    assert!(write.status.failure.unwrap().message.contains("changed"));
    assert_eq!(write.status.workflow, Some(selected));
    let mut refused = self::case(found(workflow()));
    let refusal =
        Refusal { kind: RefusalKind::DependencyMissing, message: "Secret \"db\" not found".to_owned() };
    refused.answers.start = Some(StartAnswer::Refused(refusal));
    let write = released(refused).write();
    assert_eq!(write.status.workflow.unwrap().bundle, "catalogue-image");
}
