use super::*;

fn spec(declared: Option<&[(&str, bool)]>) -> Spec {
    Spec {
        parameters: [("A", "1"), ("B", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        declared_parameters: declared
            .map(|names| names.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect()),
        ..Spec::default()
    }
}

fn names(spec: &Spec) -> Vec<String> {
    spec.effective_parameters().into_keys().collect()
}

#[test]
fn undeclared_parameters_pass_only_when_nothing_is_declared() {
    assert_eq!(names(&spec(None)), ["A", "B"]);
    assert_eq!(names(&spec(Some(&[]))), [""; 0]);
    assert_eq!(names(&spec(Some(&[("A", true), ("C", true)]))), ["A"]);
    assert_eq!(names(&spec(Some(&[("A", false), ("B", true)]))), ["B"]);
}

#[test]
fn what_is_at_rest_is_settled_and_is_not_being_deleted() {
    let mut record = Record::default();
    record.status.phase = StoredPhase::Known(Phase::Completed);
    let say = |record: &mut Record, kind, holds| {
        crate::conditions::set(&mut record.status.conditions, kind, holds, ("R", String::new()), 1, 0);
    };
    say(&mut record, kind::RELEASED, true);
    assert!(!record.is_at_rest(true) && !record.is_at_rest(false), "nothing is said of its record");
    say(&mut record, kind::AUDIT_RECORDED, false);
    assert!(!record.is_at_rest(true) && record.is_at_rest(false));
    say(&mut record, kind::AUDIT_RECORDED, true);
    assert!(record.is_at_rest(true) && record.is_at_rest(false));
    record.deleting = true;
    assert!(!record.is_at_rest(true));
}

#[test]
fn an_execution_is_settled_when_released_and_recorded() {
    let mut record = Record::default();
    record.status.phase = StoredPhase::Known(Phase::Completed);
    assert!(!record.is_settled());
    for kind in [kind::RELEASED, kind::AUDIT_RECORDED] {
        crate::conditions::set(&mut record.status.conditions, kind, true, ("R", String::new()), 1, 0);
    }
    assert!(record.is_settled());
}

#[test]
fn only_a_failure_while_it_ran_can_be_cleared() {
    let failure = failed;
    let clearance = Clearance { by: "mary".to_owned(), ..Clearance::default() };
    for (phase, failure, by, cleared) in [
        (Phase::Failed, Some(failure(true)), "mary", true),
        (Phase::Failed, Some(failure(false)), "mary", false),
        (Phase::Failed, Some(failure(true)), "", false),
        (Phase::Failed, None, "mary", false),
        (Phase::Running, Some(failure(true)), "mary", false),
        (Phase::Completed, None, "mary", false),
    ] {
        let mut record = Record::default();
        record.status.phase = StoredPhase::Known(phase);
        if phase.is_terminal() {
            end(&mut record, phase);
        }
        record.status.failure = failure;
        record.status.clearance = Some(Clearance { by: by.to_owned(), ..clearance.clone() });
        assert_eq!(record.clearance().is_some(), cleared, "{phase} {record:?}");
    }
}

#[test]
fn a_clearance_is_one_thing_more_to_settle() {
    let mut record = Record::default();
    end(&mut record, Phase::Failed);
    record.status.failure = Some(failed(true));
    for kind in [kind::RELEASED, kind::AUDIT_RECORDED] {
        crate::conditions::set(&mut record.status.conditions, kind, true, ("R", String::new()), 1, 0);
    }
    assert!(record.is_settled());
    record.status.clearance = Some(Clearance { by: "mary".to_owned(), ..Clearance::default() });
    assert!(!record.is_settled());
    crate::conditions::set(&mut record.status.conditions, kind::CLEARED, true, ("R", String::new()), 1, 0);
    assert!(record.is_settled());
}

/// Ends it, with all that comes with an end.
fn end(record: &mut Record, phase: Phase) {
    record.status.phase = StoredPhase::Known(phase);
    record.status.completion = Some(0);
    let why = ("R", String::new());
    let succeeded = phase == Phase::Completed;
    crate::conditions::set(&mut record.status.conditions, kind::EXECUTION_COMPLETE, succeeded, why, 1, 0);
}

pub(crate) fn failed(ran: bool) -> Failure {
    Failure {
        reason: Reason::TaskFailed,
        message: String::new(),
        task_index: 0,
        task_name: String::new(),
        step_name: None,
        exit_code: None,
        at: 0,
        ran_for: None,
        summary: String::new(),
        was_execution_failure: ran,
    }
}

/// A record with this phase and these conditions, which true ones begin with a plus.
fn stored(phase: Phase, completion: Option<Millis>, conditions: &[&str]) -> Record {
    let mut record = Record::default();
    record.status.phase = StoredPhase::Known(phase);
    record.status.completion = completion;
    for text in conditions {
        let (kind, holds) = (text.trim_start_matches(['+', '-']), text.starts_with('+'));
        let why = ("R", String::new());
        crate::conditions::set(&mut record.status.conditions, kind, holds, why, 1, 0);
    }
    record
}

#[test]
fn an_end_counts_only_with_its_time_and_its_condition() {
    use Phase::{Completed, Failed, Pending};
    for (phase, completion, conditions, expected) in [
        (Completed, Some(5), &["+ExecutionCreated", "+ExecutionComplete"][..], Completed),
        (Failed, Some(5), &["+ExecutionCreated", "-ExecutionComplete"], Failed),
        (Failed, Some(5), &["-ExecutionCreated"], Failed),
        (Completed, None, &[], Pending),
        (Failed, None, &[], Pending),
        (Completed, Some(5), &["+ExecutionCreated"], Pending),
        (Failed, Some(5), &["-Ready"], Pending),
        (Completed, None, &["+ExecutionComplete"], Pending),
        (Failed, None, &["-ExecutionCreated"], Pending),
        // A release comes after the end only.
        (Completed, None, &["+Released"], Completed),
    ] {
        let mut record = stored(phase, completion, conditions);
        assert_eq!(record.phase(), Some(expected), "{phase} {completion:?} {conditions:?}");
        assert_eq!(record.is_misplaced(), phase != expected);
        record.status.start = Some(1);
        let started = if expected == Pending { Phase::Running } else { expected };
        assert_eq!(record.phase(), Some(started), "{phase} {completion:?} {conditions:?}, started");
    }
}

#[test]
fn what_ended_stays_ended_whatever_is_written_over_its_phase() {
    for (condition, end) in [("+ExecutionComplete", Phase::Completed), ("-ExecutionComplete", Phase::Failed)]
    {
        for phase in Phase::ALL {
            let mut record = stored(phase, Some(5), &[condition]);
            assert_eq!((record.phase(), record.is_misplaced()), (Some(end), phase != end));
            record.status.phase = StoredPhase::Unset;
            assert_eq!((record.phase(), record.is_misplaced()), (Some(end), true));
        }
    }
}

#[test]
fn what_is_at_rest_is_where_it_says() {
    let mut record = Record::default();
    end(&mut record, Phase::Completed);
    for kind in [kind::RELEASED, kind::AUDIT_RECORDED] {
        crate::conditions::set(&mut record.status.conditions, kind, true, ("R", String::new()), 1, 0);
    }
    assert!(record.is_at_rest(true) && record.is_at_rest(false));
    for written in
        [StoredPhase::Known(Phase::Pending), StoredPhase::Known(Phase::Running), StoredPhase::Unset]
    {
        record.status.phase = written;
        assert!(!record.is_at_rest(true), "somebody wrote another phase, which is put back");
    }
}
