use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;

/// An API server with one Lease.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    is_away: Arc<std::sync::atomic::AtomicBool>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                if server.is_away.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (code, answer) = server.answer(&parts.method, &body);
                let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
                *response.status_mut() = code;
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "ops")
    }

    fn answer(&self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        let mut stored = self.lease.lock();
        let failure = |code: StatusCode| {
            let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Conflict" };
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "", "reason": reason,
                "code": code.as_u16(),
            });
            (code, status)
        };
        let version = stored.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        let written = match (method, &version) {
            (&Method::GET, Some(_)) => return (StatusCode::OK, stored.clone().unwrap()),
            (&Method::GET | &Method::PUT, None) => return failure(StatusCode::NOT_FOUND),
            (&Method::POST, Some(_)) => return failure(StatusCode::CONFLICT),
            _ => serde_json::from_slice::<Value>(body).unwrap(),
        };
        if let Some(version) = &version
            && written["metadata"]["resourceVersion"] != *version
        {
            return failure(StatusCode::CONFLICT);
        }
        let next = version.and_then(|version| version.as_str()?.parse::<u64>().ok()).unwrap_or(0) + 1;
        let mut lease = written;
        lease["metadata"]["resourceVersion"] = json!(next.to_string());
        *stored = Some(lease.clone());
        (StatusCode::OK, lease)
    }

    fn holder(&self) -> String {
        let lease = self.lease.lock();
        let holder = lease.as_ref().map(|lease| lease["spec"]["holderIdentity"].clone());
        holder.and_then(|holder| Some(holder.as_str()?.to_owned())).unwrap_or_default()
    }

    fn elector(&self, name: &str) -> Elector {
        let timing = Timing {
            lease: Duration::from_millis(1_000),
            deadline: Duration::from_millis(600),
            renew: Duration::from_millis(50),
            look: Duration::from_millis(20),
        };
        Elector::new(self.client(), "ops", "lead", Identity::new(name), Readiness::new(&[])).timing(timing)
    }
}

const MOMENT: Duration = Duration::from_millis(300);

async fn wins(elector: &mut Elector) -> bool {
    timeout(MOMENT, elector.win()).await.is_ok()
}

fn lease(holder: &str, process: &str, version: &str) -> Lease {
    let metadata = ObjectMeta {
        annotations: Some([(identity::PROCESS.to_owned(), process.to_owned())].into()),
        resource_version: Some(version.to_owned()),
        ..ObjectMeta::default()
    };
    let spec = k8s_openapi::api::coordination::v1::LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(12),
        ..Default::default()
    };
    Lease { metadata, spec: Some(spec) }
}

#[test]
fn a_lease_is_left_alone_until_it_was_not_renewed_for_as_long_as_its_holder_said() {
    let (me, start, short) = (Identity::new("me"), Instant::now(), Duration::from_secs(1));
    let seen = Seen::of(&lease("other", "p", "1"), None, start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(!seen.may_be_taken(&me, true, short, at(11)));
    assert!(seen.may_be_taken(&me, true, short, at(12)));
    let unchanged = Seen::of(&lease("other", "p", "1"), Some(seen.clone()), at(11));
    assert!(unchanged.may_be_taken(&me, false, short, at(12)), "looking again changes nothing");
    let renewed = Seen::of(&lease("other", "p", "2"), Some(seen), at(11));
    assert!(!renewed.may_be_taken(&me, false, short, at(22)), "it counts from when the renewal was seen");
}

#[test]
fn what_a_process_left_in_its_place_is_taken_back_at_once_but_only_when_it_begins() {
    let (me, now, lasts) = (Identity::new("me"), Instant::now(), Duration::from_secs(12));
    let left = Seen::of(&lease("me", "the one before", "1"), None, now);
    assert!(left.may_be_taken(&me, true, lasts, now));
    assert!(!left.may_be_taken(&me, false, lasts, now), "somebody uses the name as well");
    let own = Seen::of(&lease("me", me.process(), "1"), None, now);
    assert!(own.may_be_taken(&me, false, lasts, now), "the answer to our own write was lost");
    assert!(Seen::of(&lease("", "p", "1"), None, now).may_be_taken(&me, false, lasts, now), "it is free");
}

#[tokio::test]
async fn one_replica_leads_at_once_and_the_other_stands_by() {
    let server = Server::default();
    let (mut one, mut two) = (server.elector("one"), server.elector("two"));
    let begun = Instant::now();
    let leadership = one.win().await;
    assert!(leadership.holds() && begun.elapsed() < MOMENT);
    assert!(!wins(&mut two).await);
    assert_eq!(server.holder(), "one");
}

#[tokio::test]
async fn a_leader_that_gives_up_is_followed_at_once() {
    let server = Server::default();
    let (mut one, mut two) = (server.elector("one"), server.elector("two"));
    let leadership = one.win().await;
    assert!(!wins(&mut two).await);
    one.release().await;
    assert!(!leadership.holds());
    assert!(wins(&mut two).await);
    assert_eq!(server.holder(), "two");
}

#[tokio::test]
async fn a_leader_that_keeps_renewing_keeps_leading() {
    let server = Server::default();
    let (mut one, mut two) = (server.elector("one"), server.elector("two"));
    let leadership = one.win().await;
    let kept = tokio::spawn(async move { one.keep().await });
    assert!(timeout(Duration::from_millis(1_500), two.win()).await.is_err());
    assert!(leadership.holds() && !kept.is_finished());
    // Somebody who labels the Lease takes nothing away.
    server.lease.lock().as_mut().unwrap()["metadata"]["resourceVersion"] = json!("100");
    assert!(timeout(Duration::from_millis(700), two.win()).await.is_err());
    assert!(leadership.holds());
    kept.abort();
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_before_another_may_begin() {
    let server = Server::default();
    let (mut one, mut two) = (server.elector("one"), server.elector("two"));
    let leadership = one.win().await;
    let stopped = tokio::spawn({
        let leadership = leadership.clone();
        async move {
            one.keep().await;
            assert!(!leadership.holds());
            Instant::now()
        }
    });
    // One is cut off from the server, two is not.
    let of_two = Server { lease: server.lease.clone(), ..Server::default() };
    two.api = Api::namespaced(of_two.client(), "ops");
    server.is_away.store(true, Ordering::Relaxed);
    two.win().await;
    let (began, stopped) = (Instant::now(), stopped.await.unwrap());
    assert!(stopped < began, "the one before stopped {:?} late", stopped.duration_since(began));
}

#[tokio::test]
async fn a_lease_that_somebody_else_took_ends_the_leadership() {
    let server = Server::default();
    let mut one = server.elector("one");
    let leadership = one.win().await;
    let mut lease = server.lease.lock().clone().unwrap();
    lease["spec"]["holderIdentity"] = json!("two");
    lease["metadata"]["resourceVersion"] = json!("100");
    *server.lease.lock() = Some(lease);
    timeout(MOMENT, one.keep()).await.unwrap();
    assert!(!leadership.holds());
    one.release().await;
    assert_eq!(server.holder(), "two", "what is not ours is not given up");
}

#[test]
fn a_place_has_one_name_and_another_port_is_another_place() {
    let (here, there) = ("127.0.0.1:7411".parse().unwrap(), "127.0.0.1:7412".parse().unwrap());
    let name = |address| Identity::listening_on(address).name().to_owned();
    assert_eq!(name(here), name(here));
    assert_ne!(name(here), name(there));
}
