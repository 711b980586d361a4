use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use evenkeel_core::target::run_name;
use http::{Request as HttpRequest, Response as HttpResponse};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::*;
use crate::{
    engine::{Engine, Engines},
    lease::Leases,
    marks::{LIVE, OWNER_UID},
    tekton::TektonEngine,
};

const TARGET: &str = "shop/Deployment/web";

/// What an API server says that has one PipelineRun, and serves it as `tekton.dev/v1` or as something older.
fn answer(path: &str, is_served: bool) -> (u16, Value) {
    let served = if is_served { "v1" } else { "v1beta1" };
    let version = format!("tekton.dev/{served}");
    let run = json!({
        "metadata": {"name": run_name(TARGET), "uid": "p-1", "annotations": {OWNER_UID: "u-1", LIVE: "true"}},
    });
    if path == "/apis" {
        let versions = json!([{"groupVersion": version, "version": served}]);
        (200, json!({"kind": "APIGroupList", "groups": [{"name": "tekton.dev", "versions": versions}]}))
    } else if path == format!("/apis/{version}") {
        let runs = json!({"name": "pipelineruns", "singularName": "", "namespaced": true, "kind": "PipelineRun", "verbs": []});
        (200, json!({"groupVersion": version, "resources": [runs]}))
    } else if path.starts_with(&format!("/apis/{version}/")) {
        (200, run)
    } else {
        (404, json!("404 page not found"))
    }
}

/// A service with the engine `tekton`, before an API server that serves its kinds or does not.
fn service(is_served: &Arc<AtomicBool>) -> (Service, Arc<TektonEngine>) {
    let is_served = is_served.clone();
    let api = tower::service_fn(move |request: HttpRequest<Body>| {
        let (code, body) = answer(request.uri().path(), is_served.load(Ordering::Relaxed));
        let mut answer = HttpResponse::new(Body::from(body.to_string().into_bytes()));
        *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let client = Client::new(api, "runs");
    let engine = Arc::new(TektonEngine::new(client.clone(), "runs", true));
    let runs = Runs::new("i".to_owned(), []);
    let starter = Starter {
        leases: Leases::new(client, "runs"),
        engines: Engines::new(vec![engine.clone() as Arc<dyn Engine>]),
        start_timeout: Duration::from_secs(30),
    };
    let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default(), runs.clone());
    let service = Service {
        starter,
        runs,
        default_timeout: Duration::from_secs(60),
        metrics,
        ending: CancellationToken::new(),
    };
    (service, engine)
}

fn seen(target: &Target, state: proto::ExecutionState) -> proto::Execution {
    proto::Execution {
        owner: Some(proto::Owner { uid: "u-1".into(), ..proto::Owner::default() }),
        engine: "tekton".into(),
        run_name: target.run_name(),
        run_uid: "p-1".into(),
        state: state.into(),
        message: "as seen".into(),
        ..proto::Execution::default()
    }
}

#[tokio::test]
async fn a_run_whose_engine_went_away_is_not_told_to_go_on() {
    use proto::ExecutionState::{Failed, Running};
    let is_served = Arc::new(AtomicBool::new(true));
    let (service, engine) = service(&is_served);
    let target = Target::parse(TARGET).unwrap();
    let owner = Owner { namespace: "ops".into(), name: "fix".into(), uid: "u-1".into() };
    service.runs.publish(seen(&target, Running));
    assert_eq!(service.get(&owner, &target).await.unwrap().message, "as seen");
    is_served.store(false, Ordering::Relaxed);
    assert!(engine.look(&target.run_name()).await.is_err());
    let error = service.get(&owner, &target).await.unwrap_err();
    assert_eq!((error.class(), error.reason()), (rpc::Class::Unavailable, "RUN_UNREADABLE"));
    let told = error.to_string();
    assert!(told.contains("tekton.dev/v1beta1") && told.contains("upgrade Tekton"), "{told}");
    is_served.store(true, Ordering::Relaxed);
    assert_eq!(service.get(&owner, &target).await.unwrap().state(), Running, "it is back");
    is_served.store(false, Ordering::Relaxed);
    service.runs.publish(seen(&target, Failed));
    assert_eq!(service.get(&owner, &target).await.unwrap().state(), Failed, "an end is an end");
}
