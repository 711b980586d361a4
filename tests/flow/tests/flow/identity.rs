//! Who may call. Whoever is refused is told why, and nothing is made of what they asked for.

use std::fs;

use evenkeel_kit::{
    channel,
    config::Security,
    rpc::{self, Class},
    tls::{Authority, Pair},
};
use evenkeel_proto::{
    audit::v1::{GetCheckpointRequest, audit_service_client::AuditServiceClient},
    execution::v1::{ListEnginesRequest, execution_service_client::ExecutionServiceClient},
};
use evenkeel_test_kit::{Environment, InUse, Options, Service, run};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams};
use tonic::{Code, Status};

use crate::support::{EXECUTOR, check_error, check_nothing_exists, owner, spec, start};

/// Starts an execution as somebody who must not; why it was refused.
async fn refused(environment: &Environment, who: &Security) -> Status {
    let connection = channel::connect(&environment.executor_address(), who).unwrap();
    let mut executor = ExecutionServiceClient::new(connection);
    let request = start(spec(owner("stranger"), "shop/Deployment/stranger", &[]), 0);
    executor.start_execution(request).await.unwrap_err()
}

/// Only the authority, and a token if there is one.
fn with_token(environment: &Environment, token: Option<&str>) -> Security {
    let ca = Some(environment.authority().cert_path());
    Security { ca, token: token.map(|token| token.to_owned().into()), ..Security::default() }
}

/// Somebody with this certificate.
fn with_pair(environment: &Environment, name: &str, pair: &Pair) -> Security {
    let (cert, key) = (
        environment.directory().join(format!("{name}.crt")),
        environment.directory().join(format!("{name}.key")),
    );
    fs::write(&cert, &pair.cert).unwrap();
    fs::write(&key, &pair.key).unwrap();
    Security { cert: Some(cert), key: Some(key), ..with_token(environment, None) }
}

async fn environment() -> InUse {
    EXECUTOR.get().await.unwrap()
}

#[test]
fn who_brings_nothing_is_told_what_to_bring() {
    run(async {
        let environment = environment().await;
        let status = refused(&environment, &with_token(&environment, None)).await;
        check_error(&status, Code::Unauthenticated, "NO_CREDENTIALS");
        assert!(status.message().contains("token") && status.message().contains("certificate"), "{status:?}");
        check_nothing_exists(&environment).await;
    });
}

#[test]
fn a_wrong_token_is_refused_and_one_without_the_permission_names_it() {
    run(async {
        let environment = environment().await;
        let status = refused(&environment, &with_token(&environment, Some("wrong"))).await;
        check_error(&status, Code::Unauthenticated, "INVALID_TOKEN");
        let accounts: Api<ServiceAccount> = Api::namespaced(environment.client(), environment.namespace());
        let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
        let account = "default";
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        let token = answer.status.unwrap().token.unwrap();
        let status = refused(&environment, &with_token(&environment, Some(&token))).await;
        let metadata = check_error(&status, Code::PermissionDenied, "NOT_ALLOWED");
        assert!(metadata["user"].ends_with(":default"), "{metadata:?}");
        assert_eq!(metadata["path"], "/evenkeel.execution.v1.ExecutionService/StartExecution");
        check_nothing_exists(&environment).await;
    });
}

#[test]
fn a_token_with_the_permission_is_let_in() {
    run(async {
        let environment = environment().await;
        let who = with_token(&environment, Some(&environment.token().await.unwrap()));
        let connection = channel::connect(&environment.executor_address(), &who).unwrap();
        let mut executor = ExecutionServiceClient::new(connection);
        let engines = executor.list_engines(ListEnginesRequest {}).await.unwrap().into_inner().engines;
        assert_eq!(engines.iter().map(|engine| engine.name.as_str()).collect::<Vec<_>>(), ["job", "tekton"]);
    });
}

#[test]
fn a_certificate_of_an_unknown_name_is_refused_by_name() {
    run(async {
        let environment = environment().await;
        let pair = environment.authority().issue("stranger").unwrap();
        let status = refused(&environment, &with_pair(&environment, "stranger", &pair)).await;
        let metadata = check_error(&status, Code::PermissionDenied, "UNKNOWN_CLIENT");
        assert_eq!(metadata["client"], "stranger");
        check_nothing_exists(&environment).await;
    });
}

/// TLS itself refuses these, so there is no answer that could carry a reason.
#[test]
fn expired_and_foreign_certificates_and_plaintext_never_reach_the_service() {
    run(async {
        let environment = environment().await;
        let past = |params: &mut rcgen::CertificateParams| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        };
        let expired = environment.authority().issue_with("evenkeel-controller", past).unwrap();
        let elsewhere = Authority::open(&environment.directory().join("elsewhere")).unwrap();
        let foreign = elsewhere.issue("evenkeel-controller").unwrap();
        let plaintext = Security { plaintext: true, ..Security::default() };
        let unknown_server = Security { ca: Some(elsewhere.cert_path()), ..Security::default() };
        for who in [
            with_pair(&environment, "expired", &expired),
            with_pair(&environment, "foreign", &foreign),
            unknown_server,
            plaintext,
        ] {
            let status = refused(&environment, &who).await;
            assert_eq!((rpc::class(&status), rpc::reason(&status)), (Class::Unavailable, None), "{status:?}");
        }
        check_nothing_exists(&environment).await;
    });
}

#[test]
fn the_log_lets_in_nobody_without_a_certificate_it_knows() {
    run(async {
        let options = Options::default().without(Service::Controller).without(Service::Executor);
        let environment = Environment::start(options).await.unwrap();
        let stranger = environment.authority().issue("stranger").unwrap();
        for (who, code, reason) in [
            (with_token(&environment, None), Code::Unauthenticated, "NO_CREDENTIALS"),
            (with_token(&environment, Some("wrong")), Code::Unauthenticated, "TOKENS_NOT_ACCEPTED"),
            (with_pair(&environment, "stranger", &stranger), Code::PermissionDenied, "UNKNOWN_CLIENT"),
        ] {
            let connection = channel::connect(&environment.audit_address(), &who).unwrap();
            let status = AuditServiceClient::new(connection).get_checkpoint(GetCheckpointRequest {}).await;
            check_error(&status.unwrap_err(), code, reason);
        }
    });
}
