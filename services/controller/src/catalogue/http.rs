//! Data Storage, asked over HTTP for one workflow by its id. Everything but the workflow itself, and
//! that there is none, is an outage: an answer that nobody can read says nothing about the workflow.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use evenkeel_core::workflow::{Source, Workflow, title};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use kube::{Client, client::Body, config::AuthInfo};
use parking_lot::Mutex;
use serde_json::Value;
use uuid::Uuid;

use super::content;

/// Where a pod finds its token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// How long an answer is used again. What an id stands for does not change.
const REMEMBER: Duration = Duration::from_secs(300);
/// How many answers are kept.
const CAPACITY: usize = 1000;
/// How long nobody asks again after an outage; what waits meanwhile must not hold others up.
const PAUSE: Duration = Duration::from_secs(1);
/// Largest answer.
const LARGEST: usize = 4 * 1024 * 1024;
/// What every answer has.
const KEYS: [&str; 11] = [
    "workflowName",
    "version",
    "schemaVersion",
    "name",
    "description",
    "content",
    "contentHash",
    "labels",
    "executionEngine",
    "status",
    "actionType",
];
/// What a workflow's status may be. Whatever it is, who names a workflow by its id runs it.
const STATUSES: [&str; 5] = ["Active", "Disabled", "Deprecated", "Archived", "Superseded"];

/// What Data Storage says of a workflow.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Here it is.
    Found(Box<Workflow>),
    /// There is none.
    NotFound,
    /// There is one, and it cannot be used.
    Unusable {
        /// Which.
        workflow: String,
        /// Why.
        why: String,
    },
    /// No usable answer; says why in words that stay the same while the cause does.
    Unavailable(String),
}

/// The Data Storage service.
pub struct DataStorage {
    url: Uri,
    timeout: Duration,
    authority: Option<PathBuf>,
    token: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    client: Option<Connected>,
    found: HashMap<Uuid, (Instant, Box<Workflow>)>,
    outage: Option<Outage>,
}

#[derive(Clone)]
struct Connected {
    client: Client,
    has_token: bool,
}

struct Outage {
    why: String,
    /// When somebody may ask again.
    until: Instant,
}

impl DataStorage {
    /// The service at `url`, whose certificate is checked against the authority if one is given. Both
    /// the authority and the token are read again from time to time.
    pub fn new(url: Uri, timeout: Duration, authority: Option<PathBuf>) -> Self {
        Self { url, timeout, authority, token: PathBuf::from(TOKEN), state: Mutex::default() }
    }

    /// Asks for a workflow.
    pub(super) async fn get(&self, id: Uuid) -> Answer {
        if let Some(answer) = self.remembered(id) {
            return answer;
        }
        let answer = match tokio::time::timeout(self.timeout, self.ask(id)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Unavailable(format!("Data Storage does not answer within {:?}", self.timeout)),
        };
        self.remember(id, &answer);
        answer
    }

    /// What needs no question: a workflow that was found lately, or an outage that somebody else has
    /// just met. While there is one, one question at a time finds out whether it is over.
    fn remembered(&self, id: Uuid) -> Option<Answer> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Some((_, workflow)) = state.found.get(&id).filter(|(since, _)| now - *since < REMEMBER) {
            return Some(Answer::Found(workflow.clone()));
        }
        let outage = state.outage.as_mut()?;
        if now < outage.until {
            return Some(Answer::Unavailable(outage.why.clone()));
        }
        outage.until = now + self.timeout + PAUSE;
        None
    }

    fn remember(&self, id: Uuid, answer: &Answer) {
        let now = Instant::now();
        let mut state = self.state.lock();
        match answer {
            Answer::Unavailable(why) => {
                if state.outage.as_ref().is_none_or(|outage| outage.why != *why) {
                    tracing::warn!("could not look a workflow up, trying on: {why}");
                }
                state.outage = Some(Outage { why: why.clone(), until: now + PAUSE });
            }
            answer => {
                state.outage = None;
                if let Answer::Found(workflow) = answer {
                    if state.found.len() >= CAPACITY {
                        state.found.retain(|_, (since, _)| now - *since < REMEMBER);
                    }
                    if state.found.len() < CAPACITY {
                        state.found.insert(id, (now, workflow.clone()));
                    }
                }
            }
        }
    }

    async fn ask(&self, id: Uuid) -> Answer {
        let unreachable = || Answer::Unavailable("Data Storage cannot be reached".to_owned());
        let request = Request::get(format!("/api/v1/workflows/{id}")).header("accept", "application/json");
        let (Ok(client), Ok(request)) = (self.client(), request.body(Body::empty())) else {
            return unreachable();
        };
        let response = match client.send(request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!("data storage: {error}");
                return unreachable();
            }
        };
        let status = response.status();
        if status != StatusCode::OK {
            return refused(status);
        }
        match Limited::new(response.into_body(), LARGEST).collect().await {
            Ok(body) => workflow(id, &body.to_bytes()),
            Err(_) => Answer::Unavailable("the answer of Data Storage cannot be read".to_owned()),
        }
    }

    /// A client that sends the token, once there is one.
    fn client(&self) -> kube::Result<Client> {
        let has_token = self.token.exists();
        let mut state = self.state.lock();
        if let Some(connected) = state.client.as_ref().filter(|connected| connected.has_token == has_token) {
            return Ok(connected.client.clone());
        }
        let mut config = kube::Config::new(self.url.clone());
        config.root_cert_file.clone_from(&self.authority);
        config.connect_timeout = Some(self.timeout);
        config.default_retry = false;
        let token = has_token.then(|| self.token.display().to_string());
        config.auth_info = AuthInfo { token_file: token, ..AuthInfo::default() };
        let client = Client::try_from(config)?;
        state.client = Some(Connected { client: client.clone(), has_token });
        Ok(client)
    }
}

fn refused(status: StatusCode) -> Answer {
    match status {
        StatusCode::NOT_FOUND => Answer::NotFound,
        StatusCode::INTERNAL_SERVER_ERROR => {
            Answer::Unavailable("Data Storage answered 500, an internal server error".to_owned())
        }
        status => Answer::Unavailable(format!("Data Storage answered {}", status.as_u16())),
    }
}

fn workflow(id: Uuid, body: &[u8]) -> Answer {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Err(why) = check(&answer) {
        return Answer::Unavailable(why);
    }
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    match content::read(&text("content")) {
        Ok(content) => Answer::Found(Box::new(Workflow {
            source: Source::DataStorage,
            name: text("workflowName"),
            version: text("version"),
            engine: text("executionEngine"),
            bundle: text("executionBundle"),
            digest: text("executionBundleDigest"),
            service_account: text("serviceAccountName"),
            engine_config: content.engine_config,
            dependencies: content.dependencies,
            parameters: content.parameters,
        })),
        Err(why) => Answer::Unusable { workflow: title(&text("workflowName"), &id.to_string()), why },
    }
}

/// Whether an answer is a workflow at all, and not what somebody else answers.
fn check(answer: &Value) -> Result<(), String> {
    if let Some(missing) = KEYS.into_iter().find(|key| answer.get(key).is_none_or(Value::is_null)) {
        return Err(format!("the answer of Data Storage is no workflow: it has no {missing}"));
    }
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    if text("contentHash").chars().count() != 64 || !STATUSES.contains(&text("status")) {
        return Err("the answer of Data Storage is no workflow: its contentHash or status is none".to_owned());
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
