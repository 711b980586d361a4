//! Secrets and ConfigMaps that a workflow needs.

use evenkeel_api::{Dependencies, NameRef};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::support::{FAILED, LIMIT, SELECTED, SHARED, check_record, failure, log, on_a_node, said};

fn needs(secrets: &[&str], config_maps: &[&str]) -> Option<Dependencies> {
    let refs = |names: &[&str]| names.iter().map(|name| NameRef { name: (*name).to_owned() }).collect();
    Some(Dependencies { secrets: refs(secrets), config_maps: refs(config_maps) })
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
        let mut execution = environment.execution("needy", "shop/Deployment/needy", &[]);
        execution.spec.workflow_ref.dependencies =
            needs(&["tls.example.com", "tls-example-com"], &["settings"]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.phase("needy", "Completed", LIMIT).await.unwrap();
        let printed = log(&environment, &ended).await;
        for path in
            ["secrets/tls.example.com/token", "secrets/tls-example-com/token", "configmaps/settings/mode"]
        {
            assert!(printed.contains(&format!("mounted /run/kubernaut/{path}\n")), "{printed}");
        }
        let ended = environment.settled("needy", LIMIT).await.unwrap();
        let events = format!("{:?}", environment.audit_events("needy").await.unwrap());
        let status = serde_json::to_string(&ended).unwrap();
        assert!(!events.contains("do-not-tell") && !status.contains("do-not-tell"));
    });
}

#[test]
fn a_missing_secret_fails_before_anything_ran_and_is_named() {
    on_a_node(async {
        let environment = SHARED.get().await.unwrap();
        let mut execution = environment.execution("no-secret", "shop/Deployment/no-secret", &[]);
        execution.spec.workflow_ref.dependencies = needs(&["absent-secret"], &["absent-map"]);
        environment.apply(&execution).await.unwrap();
        let ended = environment.settled("no-secret", LIMIT).await.unwrap();
        let details = failure(&ended);
        assert_eq!(details.reason, "ConfigurationError", "{details:?}");
        assert!(!details.was_execution_failure);
        assert!(details.message.contains("absent-secret"), "secrets are told first: {details:?}");
        assert!(["True", "False"].contains(&said(&ended, "ExecutionCreated").0));
        let events = environment.audit_events("no-secret").await.unwrap();
        assert_eq!(events.last().unwrap().kind(), FAILED);
        if said(&ended, "ExecutionCreated").0 == "False" {
            check_record(&environment, &ended, &[SELECTED, FAILED]).await;
        }
    });
}
