use evenkeel_kit::rpc::Coded as _;

use super::*;

const DEFAULT: Duration = Duration::from_secs(1800);

fn good() -> proto::ExecutionSpec {
    proto::ExecutionSpec {
        owner: Some(proto::Owner { namespace: "ops".into(), name: "fix".into(), uid: "u-1".into() }),
        target: "default/Deployment/web".into(),
        engine: "job".into(),
        bundle: "registry/fix:1".into(),
        ..proto::ExecutionSpec::default()
    }
}

fn digest(of: char) -> String {
    format!("sha256:{}", String::from(of).repeat(64))
}

#[test]
fn a_minimal_request_is_understood() {
    let attempt = attempt(Some(good()), DEFAULT).unwrap();
    assert_eq!(attempt.owner.path(), "ops/fix");
    assert_eq!(attempt.bundle, "registry/fix:1");
    assert_eq!(attempt.timeout, DEFAULT);
}

#[test]
fn every_wrong_field_is_named_with_its_own_reason() {
    type Change = fn(&mut proto::ExecutionSpec);
    let cases: [(Change, &str, &str); 18] = [
        (|s| s.owner = None, "INVALID_OWNER", "owner"),
        (|s| s.owner.as_mut().unwrap().namespace = "Ops".into(), "INVALID_OWNER", "owner.namespace"),
        (|s| s.owner.as_mut().unwrap().name = String::new(), "INVALID_OWNER", "owner.name"),
        (|s| s.owner.as_mut().unwrap().uid = "a b".into(), "INVALID_OWNER", "owner.uid"),
        (|s| s.owner.as_mut().unwrap().uid = "u".repeat(129), "INVALID_OWNER", "owner.uid"),
        (|s| s.target = String::new(), "INVALID_TARGET", "target"),
        (|s| s.target = "default".into(), "INVALID_TARGET", "target"),
        (|s| s.target = "a//b".into(), "INVALID_TARGET", "target"),
        (|s| s.target = format!("Kind/{}", "x".repeat(1020)), "INVALID_TARGET", "target"),
        (
            |s| {
                s.engine_config =
                    Some(proto::execution_spec::EngineConfig::Tekton(proto::TektonConfig::default()));
            },
            "INVALID_ENGINE_CONFIG",
            "engine_config",
        ),
        (|s| s.bundle = String::new(), "EMPTY_BUNDLE", "bundle"),
        (|s| s.bundle = "two words".into(), "INVALID_BUNDLE", "bundle"),
        (|s| s.bundle_digest = "sha256:12".into(), "INVALID_DIGEST", "bundle_digest"),
        (
            |s| {
                s.bundle = format!("registry/fix@{}", digest('a'));
                s.bundle_digest = digest('b');
            },
            "DIGEST_MISMATCH",
            "bundle_digest",
        ),
        (
            |s| _ = s.parameters.insert("NOT-A-NAME".into(), String::new()),
            "INVALID_PARAMETER_NAME",
            "parameters[\"NOT-A-NAME\"]",
        ),
        (
            |s| _ = s.parameters.insert("BIG".into(), "x".repeat(LARGEST_PARAMETERS)),
            "PARAMETERS_TOO_LARGE",
            "parameters",
        ),
        (|s| s.timeout = Some(prost_types::Duration { seconds: -5, nanos: 0 }), "INVALID_TIMEOUT", "timeout"),
        (
            |s| {
                s.dependencies = Some(proto::Dependencies {
                    secrets: vec!["ok".into(), "Not Ok".into()],
                    config_maps: vec![],
                });
            },
            "INVALID_DEPENDENCY",
            "dependencies.secrets[1]",
        ),
    ];
    for (change, reason, field) in cases {
        let mut spec = good();
        change(&mut spec);
        let error = attempt(Some(spec), DEFAULT).unwrap_err();
        assert_eq!((error.reason(), error.metadata()["field"].as_str()), (reason, field), "{error}");
    }
}

#[test]
fn a_digest_pins_the_bundle() {
    let pinned = |bundle: &str| super::bundle(bundle, &digest('a')).unwrap();
    assert_eq!(pinned("registry/fix:1"), format!("registry/fix:1@{}", digest('a')));
    let already = format!("registry/fix@{}", digest('a'));
    assert_eq!(pinned(&already), already);
}

#[test]
fn a_dependency_given_twice_counts_once() {
    let names = object_names(vec!["db".into(), "app".into(), "db".into()], "x").unwrap();
    assert_eq!(names, ["db", "app"]);
}

#[test]
fn a_pipeline_can_be_named() {
    let named = |pipeline: &str| {
        let config = proto::TektonConfig { pipeline: pipeline.into() };
        let engine_config = Some(proto::execution_spec::EngineConfig::Tekton(config));
        attempt(Some(proto::ExecutionSpec { engine: "tekton".into(), engine_config, ..good() }), DEFAULT)
    };
    assert_eq!(named("rollback").unwrap().pipeline.as_deref(), Some("rollback"));
    assert_eq!(named("").unwrap().pipeline, None);
    assert_eq!(named("Not a name").unwrap_err().reason(), "INVALID_ENGINE_CONFIG");
}
