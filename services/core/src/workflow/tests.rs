use std::collections::BTreeMap;

use serde_json::json;

use super::*;

const ID: &str = "5f0c1c70-0f0e-4e0c-9d2a-3c6a4f1b7d10";

/// An execution that leaves the workflow to a catalogue.
fn record() -> Record {
    let parameters = [("A", "1"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let spec = Spec {
        workflow_id: ID.to_owned(),
        bundle: "spec-image".to_owned(),
        parameters: parameters.into(),
        ..Spec::default()
    };
    Record { spec, ..Record::default() }
}

fn workflow() -> Workflow {
    let needed = Dependencies { secrets: vec!["db".to_owned()], config_maps: vec!["app".to_owned()] };
    Workflow {
        name: "restart".to_owned(),
        version: "1.0.0".to_owned(),
        engine: "job".to_owned(),
        bundle: "image".to_owned(),
        service_account: "runner".to_owned(),
        engine_config: Some(json!({ "from": "catalogue" })),
        dependencies: needed,
        ..Workflow::default()
    }
}

fn found(workflow: Workflow) -> Reading<Entry> {
    Reading::Found(Ok(Box::new(workflow)))
}

fn ready(record: &Record, workflow: Workflow) -> Resolved {
    resolve(record, &found(workflow)).unwrap()
}

fn problem(record: &Record, workflow: Workflow) -> String {
    match resolve(record, &found(workflow)) {
        Err(Unresolved::Never(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The record after the first write that a resolution went into.
fn noted(mut record: Record, resolved: &Resolved) -> Record {
    record.status.engine = Some(resolved.engine.clone());
    record.status.service_account.clone_from(&resolved.service_account);
    record.status.workflow.clone_from(&resolved.selection);
    record
}

#[test]
fn a_spec_that_names_an_engine_has_it_all_and_no_catalogue_is_asked() {
    let mut record = record();
    record.spec.engine = Some("job".into());
    record.spec.declared_parameters = Some([("A".to_owned(), true)].into());
    record.spec.dependencies =
        Some(Dependencies { secrets: vec!["own".to_owned()], ..Dependencies::default() });
    assert!(!is_looked_up(&record.spec));
    for catalogue in [Reading::Unread, Reading::Unavailable("DOWN".to_owned()), found(workflow())] {
        let resolved = resolve(&record, &catalogue).unwrap();
        assert_eq!((resolved.bundle.as_str(), resolved.service_account), ("spec-image", None));
        assert_eq!(resolved.parameters.keys().collect::<Vec<_>>(), ["A"]);
        assert_eq!(resolved.dependencies.secrets, ["own"]);
        assert_eq!(resolved.selection, None);
    }
}

#[test]
fn an_engine_is_never_guessed() {
    for engine in [None, Some(String::new())] {
        let mut record = record();
        record.spec.engine = engine;
        assert!(is_looked_up(&record.spec));
        let nameless = Workflow { engine: String::new(), ..workflow() };
        let told = problem(&record, nameless);
        assert!(told.contains(&format!("restart - {ID}")), "{told}");
        let Err(Unresolved::Never(absent)) = resolve(&record, &Reading::Absent) else { panic!() };
        let told = absent.to_string();
        assert!(told.contains(ID) && told.contains("executionEngine"), "{told}");
        record.spec.workflow_id = String::new();
        assert_eq!(resolve(&record, &Reading::Unread), Err(Unresolved::Never(Problem::NoId)));
    }
}

#[test]
fn a_catalogue_that_cannot_be_asked_settles_nothing() {
    let down = resolve(&record(), &Reading::Unavailable("DOWN".to_owned()));
    assert_eq!(down, Err(Unresolved::Waiting("DOWN".to_owned())));
    assert!(matches!(resolve(&record(), &Reading::Unread), Err(Unresolved::Waiting(_))));
}

#[test]
fn the_bundle_of_the_catalogue_runs_and_the_spec_stays_as_it_is() {
    let record = record();
    let resolved = ready(&record, workflow());
    assert_eq!((resolved.bundle.as_str(), resolved.service_account.as_deref()), ("image", Some("runner")));
    assert_eq!(record.bundle(), "spec-image");
    assert_eq!(noted(record.clone(), &resolved).bundle(), "image", "and is what goes on record");
    let bundleless = Workflow { bundle: String::new(), ..workflow() };
    assert_eq!(ready(&record, bundleless.clone()).bundle, "spec-image");
    let mut bare = record;
    bare.spec.bundle = String::new();
    assert!(problem(&bare, bundleless).contains("no bundle"));
}

#[test]
fn the_engine_configuration_of_the_spec_wins() {
    let mut record = record();
    assert_eq!(ready(&record, workflow()).engine_config, Some(json!({ "from": "catalogue" })));
    record.spec.engine_config = Some(json!({ "from": "spec" }));
    assert_eq!(ready(&record, workflow()).engine_config, Some(json!({ "from": "spec" })));
}

#[test]
fn what_a_catalogue_says_nothing_about_is_the_specs() {
    let mut record = record();
    let own = Dependencies { secrets: vec!["own".to_owned()], ..Dependencies::default() };
    record.spec.dependencies = Some(own.clone());
    record.spec.service_account = Some("own".into());
    assert_eq!(ready(&record, workflow()).dependencies, workflow().dependencies);
    let silent = Workflow {
        dependencies: Dependencies::default(),
        service_account: String::new(),
        engine_config: None,
        ..workflow()
    };
    let resolved = ready(&record, silent);
    assert_eq!(
        (resolved.dependencies, resolved.service_account, resolved.engine_config),
        (own, Some("own".into()), None)
    );
}

#[test]
fn a_digest_that_is_not_that_of_the_bundle_is_told() {
    let pinned = |digit: &str| format!("image@sha256:{}", digit.repeat(64));
    let mut record = record();
    record.spec.digest = Some(format!("sha256:{}", "b".repeat(64)));
    let told = problem(&record, Workflow { bundle: pinned("a"), ..workflow() });
    assert!(told.contains(&"a".repeat(64)) && told.contains(&"b".repeat(64)), "{told}");
    let resolved = ready(&record, Workflow { bundle: pinned("b"), ..workflow() });
    assert_eq!(resolved.digest, record.spec.digest);
    record.spec.engine = Some("job".into());
    record.spec.bundle = pinned("a");
    assert!(matches!(
        resolve(&record, &Reading::Unread),
        Err(Unresolved::Never(Problem::DigestMismatch { .. }))
    ));
}

#[test]
fn parameters_must_fit_and_what_is_passed_on_is_what_goes_on_record() {
    let record = record();
    let declared = |name: &str, default: Option<&str>| Parameter {
        name: name.to_owned(),
        required: true,
        default: default.map(str::to_owned),
        ..Parameter::default()
    };
    let fits =
        Workflow { parameters: Some(vec![declared("A", None), declared("C", Some("3"))]), ..workflow() };
    let resolved = ready(&record, fits);
    let expected: BTreeMap<_, _> = [("A", "1"), ("C", "3")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    assert_eq!(resolved.parameters, expected);
    assert_eq!(noted(record.clone(), &resolved).effective_parameters(), expected);
    let told = problem(&record, Workflow { parameters: Some(vec![declared("D", None)]), ..workflow() });
    assert!(told.contains("restart") && told.contains("D is required"), "{told}");
    let silent = ready(&record, Workflow { parameters: None, ..workflow() });
    assert_eq!(silent.parameters, record.spec.parameters, "who declares nothing gets everything");
    let none = ready(&record, Workflow { parameters: Some(Vec::new()), ..workflow() });
    assert!(none.parameters.is_empty(), "and who declares that there are none gets none");
    let huge = declared("A2", Some(&"x".repeat(LARGEST_PARAMETERS)));
    assert!(problem(&record, Workflow { parameters: Some(vec![huge]), ..workflow() }).contains("bytes"));
}

#[test]
fn a_wait_loses_nothing_of_what_was_resolved() {
    let record = record();
    let first = ready(&record, workflow());
    let waited = noted(record, &first);
    assert_eq!(ready(&waited, workflow()), first);
}

#[test]
fn what_was_selected_runs_or_nothing_does() {
    let record = record();
    let waited = noted(record.clone(), &ready(&record, workflow()));
    for changed in [
        Workflow { bundle: "other".to_owned(), ..workflow() },
        Workflow { engine: "tekton".to_owned(), ..workflow() },
        Workflow { service_account: "admin".to_owned(), ..workflow() },
        Workflow { version: "1.0.1".to_owned(), ..workflow() },
        Workflow { parameters: Some(Vec::new()), ..workflow() },
    ] {
        assert!(problem(&waited, changed.clone()).contains("changed"), "{changed:?}");
        assert!(resolve(&record, &found(changed)).is_ok(), "it was not selected before");
    }
}

#[test]
fn a_run_that_was_launched_keeps_what_is_known_of_it() {
    let mut record = record();
    assert_eq!(Resolved::of_run(&record, "job").engine, "job");
    record.spec.engine = Some("tekton".into());
    assert_eq!(Resolved::of_run(&record, "").engine, "tekton");
    let waited = noted(
        record,
        &Resolved { selection: Some(Selection::default()), ..ready(&self::record(), workflow()) },
    );
    let known = Resolved::of_run(&waited, "");
    assert_eq!((known.engine.as_str(), known.selection), ("job", Some(Selection::default())));
}
