//! What a workflow needs in its namespace: Secrets, ConfigMaps and a ServiceAccount.

use evenkeel_api::{Dependencies, NameRef};
use evenkeel_core::target::run_name;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt as _, api::PostParams};
use serde_json::json;

use evenkeel_test_kit::evidence::{FAILED, SELECTED};

use crate::support::{LIMIT, SHARED, check_record, failure, log, on_a_node, said};

pub(crate) fn needs(secrets: &[&str], config_maps: &[&str]) -> Dependencies {
    let refs = |names: &[&str]| names.iter().map(|name| NameRef { name: (*name).to_owned() }).collect();
    Dependencies { secrets: refs(secrets), config_maps: refs(config_maps) }
}

#[test]
fn dependencies_are_mounted_whatever_their_names_and_never_shown() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let secrets: Api<Secret> = Api::namespaced(environment.client(), environment.execution_namespace());
        let maps: Api<ConfigMap> = Api::namespaced(environment.client(), environment.execution_namespace());
        for name in ["tls.example.com", "tls-example-com"] {
            let secret = json!({"metadata": {"name": name}, "stringData": {"token": "do-not-tell"}});
            secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        }
        let map = json!({"metadata": {"name": "settings"}, "data": {"mode": "gentle"}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
        let map = json!({"metadata": {"name": "blobs"}, "binaryData": {"blob": "AAEC"}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
        let mut execution = environment.execution("needy", "shop/Deployment/needy", &[]);
        execution.spec.workflow_ref.dependencies =
            Some(needs(&["tls.example.com", "tls-example-com"], &["settings", "blobs"]));
        environment.apply(&execution).await.unwrap();
        let ended = environment.phase("needy", "Completed", LIMIT).await.unwrap();
        let printed = log(&environment, &ended).await;
        for path in [
            "secrets/tls.example.com/token",
            "secrets/tls-example-com/token",
            "configmaps/settings/mode",
            "configmaps/blobs/blob",
        ] {
            assert!(printed.contains(&format!("mounted /run/kubernaut/{path}\n")), "{printed}");
        }
        let ended = environment.settled("needy", LIMIT).await.unwrap();
        let events = format!("{:?}", environment.audit_events("needy").await.unwrap());
        let status = serde_json::to_string(&ended).unwrap();
        assert!(!events.contains("do-not-tell") && !status.contains("do-not-tell"));
    });
}

#[test]
fn what_a_workflow_prints_of_its_secrets_is_hidden() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let secrets: Api<Secret> = Api::namespaced(environment.client(), environment.execution_namespace());
        let secret = json!({"metadata": {"name": "printed"}, "stringData": {"token": "never-to-be-seen"}});
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        let path = "/run/kubernaut/secrets/printed/token";
        let target = "shop/Deployment/talks";
        let mut execution =
            environment.execution("talks", target, &[("PRINT_FILE", path), ("EXIT_CODE", "7")]);
        execution.spec.workflow_ref.dependencies = Some(needs(&["printed"], &[]));
        environment.apply(&execution).await.unwrap();
        let ended = environment.phase("talks", "Failed", LIMIT).await.unwrap();
        let printed = log(&environment, &ended).await;
        assert!(printed.contains("never-to-be-seen"), "it must be there to be hidden: {printed}");
        let told = &failure(&ended).natural_language_summary;
        assert!(told.contains(&format!("\n  | read {path}: *** (<nil>)\n")), "{told}");
        let ended = environment.settled("talks", LIMIT).await.unwrap();
        let events = format!("{:?}", environment.audit_events("talks").await.unwrap());
        let status = serde_json::to_string(&ended).unwrap();
        assert!(!events.contains("never-to-be-seen") && !status.contains("never-to-be-seen"));
    });
}

#[test]
fn what_a_workflow_needs_and_is_not_there_is_named_before_anything_is_made() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let mut no_secret = environment.execution("no-secret", "shop/Deployment/no-secret", &[]);
        no_secret.spec.workflow_ref.dependencies = Some(needs(&["absent-secret"], &["absent-map"]));
        let mut no_map = environment.execution("no-map", "shop/Deployment/no-map", &[]);
        no_map.spec.workflow_ref.dependencies = Some(needs(&[], &["absent-map"]));
        let mut no_account = environment.execution("no-account", "shop/Deployment/no-account", &[]);
        no_account.spec.workflow_ref.service_account_name = Some("absent-account".to_owned());
        for (execution, absent) in
            [(no_secret, "absent-secret"), (no_map, "absent-map"), (no_account, "absent-account")]
        {
            environment.apply(&execution).await.unwrap();
            let ended = environment.settled(&execution.name_any(), LIMIT).await.unwrap();
            let details = failure(&ended);
            assert_eq!(
                (details.reason.as_str(), details.was_execution_failure),
                ("ConfigurationError", false)
            );
            assert!(details.message.contains(absent), "{details:?}");
            let is_first = absent != "absent-secret" || !details.message.contains("absent-map");
            assert!(is_first, "Secrets are told first: {details:?}");
            assert!(details.message.contains(environment.execution_namespace()), "{details:?}");
            assert_eq!(said(&ended, "ExecutionCreated"), ("False", "ExecutionCreationFailed"));
            assert_eq!(said(&ended, "ExecutionComplete"), ("absent", ""));
            check_record(&environment, &ended, &[SELECTED, FAILED]).await;
            let run = run_name(&execution.spec.target_resource);
            assert!(environment.jobs().get_opt(&run).await.unwrap().is_none());
            environment.told(&ended, &["WorkflowValidationFailed"], LIMIT).await.unwrap();
        }
    });
}
