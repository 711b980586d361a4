use std::{collections::VecDeque, sync::Arc};

use evenkeel_kit::tls::{self, Authority};
use futures::future::BoxFuture;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::*;

const ID: Uuid = Uuid::from_u128(0x5f0c_1c70_0f0e_4e0c_9d2a_3c6a_4f1b_7d10);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a server makes of a connection; none when the client does not want it.
type Accept = Box<dyn Fn(TcpStream) -> BoxFuture<'static, Option<Box<dyn Stream>>> + Send>;

/// A server with scripted answers. What is not scripted is not answered at all.
pub(in crate::catalogue) struct Server {
    pub(in crate::catalogue) url: Uri,
    pub(in crate::catalogue) answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    /// The heads of the requests.
    pub(in crate::catalogue) asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(in crate::catalogue) async fn start(answers: &[(u16, &str)]) -> Self {
        let accept: Accept = Box::new(|stream| Box::pin(async { Some(Box::new(stream) as Box<dyn Stream>) }));
        Self::serve("http", accept, answers).await
    }

    /// The same with TLS, and a certificate of this authority.
    async fn secured(authority: &Authority, answers: &[(u16, &str)]) -> Self {
        tls::install_provider();
        let pair = authority.issue("datastorage").unwrap();
        let cert = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accept: Accept = Box::new(move |stream| {
            let accepted = acceptor.accept(stream);
            Box::pin(async move { Some(Box::new(accepted.await.ok()?) as Box<dyn Stream>) })
        });
        Self::serve("https", accept, answers).await
    }

    async fn serve(scheme: &str, accept: Accept, answers: &[(u16, &str)]) -> Self {
        tls::install_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap()).parse().unwrap();
        let answers = answers.iter().map(|(code, body)| (*code, (*body).to_owned())).collect();
        let server = Self { url, answers: Arc::new(Mutex::new(answers)), asked: Arc::default() };
        let (answers, asked) = (server.answers.clone(), server.asked.clone());
        tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Some(mut stream) = accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                asked.lock().push(String::from_utf8(head).unwrap());
                let Some((code, body)) = answers.lock().pop_front() else {
                    silent.push(stream);
                    continue;
                };
                let answer = format!(
                    "HTTP/1.1 {code} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        server
    }

    pub(in crate::catalogue) fn storage(&self) -> DataStorage {
        let token = PathBuf::from("/nowhere/token");
        DataStorage { token, ..DataStorage::new(self.url.clone(), Duration::from_millis(500), None) }
    }
}

/// A complete answer.
pub(in crate::catalogue) fn body(change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({
        "workflowId": ID.to_string(), "workflowName": "restart", "actionType": "RestartPod", "version": "1.0.0",
        "schemaVersion": "1.0", "name": "Restart", "description": {"what": "w", "whenToUse": "u"},
        "content": "", "contentHash": "0".repeat(64), "labels": {}, "executionEngine": "job",
        "executionBundle": "image", "executionBundleDigest": "f".repeat(64), "serviceAccountName": "runner",
        "status": "Disabled", "isLatestVersion": false,
    });
    change(&mut body);
    body.to_string()
}

async fn answer(code: u16, body: &str) -> Answer {
    Server::start(&[(code, body)]).await.storage().get(ID).await
}

fn unavailable(answer: Answer) -> String {
    match answer {
        Answer::Unavailable(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_workflow_is_asked_for_by_its_id_and_runs_whatever_its_status() {
    let server = Server::start(&[(200, &body(|_| {}))]).await;
    let Answer::Found(workflow) = server.storage().get(ID).await else { panic!() };
    assert_eq!((workflow.source, workflow.name.as_str()), (Source::DataStorage, "restart"));
    assert_eq!((workflow.engine.as_str(), workflow.bundle.as_str()), ("job", "image"));
    assert_eq!((workflow.digest.len(), workflow.service_account.as_str()), (64, "runner"));
    assert_eq!((workflow.parameters, workflow.engine_config), (None, None), "empty content says nothing");
    let asked = server.asked.lock().concat().to_lowercase();
    assert!(asked.starts_with(&format!("get /api/v1/workflows/{ID} http/1.1\r\n")), "{asked}");
    assert!(!asked.contains("authorization"), "{asked}");
}

#[tokio::test]
async fn the_token_is_sent_as_soon_as_there_is_one() {
    let absent = body(|_| {});
    let server = Server::start(&[(404, ""), (200, &absent)]).await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    let storage = DataStorage { token: token.clone(), ..server.storage() };
    assert_eq!(storage.get(ID).await, Answer::NotFound);
    std::fs::write(&token, "secret-token").unwrap();
    assert!(matches!(storage.get(ID).await, Answer::Found(_)));
    let asked = server.asked.lock().clone();
    assert!(!asked[0].to_lowercase().contains("authorization"), "{asked:?}");
    assert!(asked[1].contains("Bearer secret-token"), "{asked:?}");
}

#[tokio::test]
async fn only_404_says_that_there_is_no_such_workflow() {
    assert_eq!(answer(404, "{}").await, Answer::NotFound);
    let told = unavailable(answer(500, "{}").await);
    assert!(told.contains("internal server error") && !told.contains("not found"), "{told}");
    for code in [301, 400, 401, 403, 429, 502, 503] {
        assert!(unavailable(answer(code, "").await).contains(&code.to_string()));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_workflow_is_an_outage_and_no_missing_workflow() {
    let told =
        unavailable(answer(200, &body(|it| _ = it.as_object_mut().unwrap().remove("contentHash"))).await);
    assert!(told.contains("contentHash"), "{told}");
    for wrong in [body(|it| it["contentHash"] = json!("short")), body(|it| it["status"] = json!("Odd"))] {
        assert!(unavailable(answer(200, &wrong).await).contains("no workflow"));
    }
    for wrong in ["", "<html>", "[]", "null"] {
        unavailable(answer(200, wrong).await);
    }
}

#[tokio::test]
async fn content_that_cannot_be_used_is_a_definite_answer() {
    let answer = answer(200, &body(|it| it["content"] = json!("kind: Recipe"))).await;
    let Answer::Unusable { workflow, why } = answer else { panic!("{answer:?}") };
    assert_eq!(workflow, format!("restart - {ID}"));
    assert!(why.contains("Recipe"), "{why}");
}

#[tokio::test]
async fn a_silent_server_is_an_outage_and_is_not_asked_by_everybody() {
    let server = Server::start(&[]).await;
    let storage = server.storage();
    assert!(unavailable(storage.get(ID).await).contains("500ms"));
    for _ in 0..10 {
        assert!(unavailable(storage.get(ID).await).contains("500ms"));
    }
    assert_eq!(server.asked.lock().len(), 1, "the others are told what the first has met");
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    tls::install_provider();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}").parse().unwrap();
    let storage = DataStorage::new(url, Duration::from_secs(5), None);
    assert_eq!(unavailable(storage.get(ID).await), "Data Storage cannot be reached");
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_is_named_and_by_no_other() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (named, another) = [&directory, &elsewhere].map(|it| Authority::open(it.path()).unwrap()).into();
    let server = Server::secured(&named, &[(200, &body(|_| {}))]).await;
    let storage = |authority| DataStorage::new(server.url.clone(), Duration::from_secs(5), authority);
    for wrong in [None, Some(another.cert_path()), Some(directory.path().join("absent"))] {
        unavailable(storage(wrong).get(ID).await);
    }
    assert!(server.asked.lock().is_empty(), "nothing is said to a server that is not trusted");
    assert!(matches!(storage(Some(named.cert_path())).get(ID).await, Answer::Found(_)));
}

#[tokio::test]
async fn what_was_found_is_not_asked_for_again_and_an_outage_ends() {
    let server = Server::start(&[(503, ""), (200, &body(|_| {}))]).await;
    let storage = server.storage();
    unavailable(storage.get(ID).await);
    tokio::time::sleep(PAUSE + Duration::from_millis(50)).await;
    for _ in 0..3 {
        assert!(matches!(storage.get(ID).await, Answer::Found(_)));
    }
    assert_eq!(server.asked.lock().len(), 2);
}
