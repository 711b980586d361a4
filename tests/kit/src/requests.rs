//! What the services asked of the API server, as that recorded it.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;

/// One request of a service to the API server, answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the ServiceAccount.
    pub account: String,
    /// Such as `create` or `watch`.
    pub verb: String,
    /// Such as `jobs` or `workflowexecutions/status`; the path of what is no resource.
    pub resource: String,
    /// Name of the object, if it has one.
    pub name: String,
    /// Status code of the answer.
    pub code: u16,
    /// When it was answered; a watch is answered when it begins.
    pub at: Timestamp,
}

impl Request {
    /// Whether it was meant to change something.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// The record of one environment's requests.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    path: PathBuf,
    /// Where the record stood when the environment began.
    start: u64,
    /// Begin of the user names of the environment's services.
    users: String,
}

impl Requests {
    pub(crate) fn since_now(path: &Path, namespace: &str) -> Self {
        let start = path.metadata().map_or(0, |file| file.len());
        Self { path: path.to_owned(), start, users: format!("system:serviceaccount:{namespace}:") }
    }

    pub(crate) fn all(&self) -> anyhow::Result<Vec<Request>> {
        let mut file = File::open(&self.path).with_context(|| format!("read {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.start))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be half written.
        let events = text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok());
        Ok(events.filter_map(|event| event.request(&self.users)).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    stage_timestamp: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Answer>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Deserialize)]
struct Answer {
    code: u16,
}

impl Event {
    fn request(self, users: &str) -> Option<Request> {
        let account = self.user.username.strip_prefix(users)?.to_owned();
        // A watch is recorded when it begins and when it ends; it counts once.
        let counts = match self.verb.as_str() {
            "watch" => {
                self.stage == "ResponseStarted" || self.response_status.as_ref().is_none_or(|a| a.code >= 300)
            }
            _ => self.stage == "ResponseComplete",
        };
        let code = self.response_status?.code;
        let at = self.stage_timestamp.parse().ok()?;
        let object = self.object_ref.unwrap_or_default();
        let resource = match (object.resource, object.subresource) {
            (resource, _) if resource.is_empty() => self.uri,
            (resource, sub) if sub.is_empty() => resource,
            (resource, sub) => format!("{resource}/{sub}"),
        };
        counts.then_some(Request { account, verb: self.verb, resource, name: object.name, code, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_other_environments_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests.log");
        let line = |user: &str, stage: &str, verb: &str, code: u16| {
            format!(
                r#"{{"stage":"{stage}","stageTimestamp":"2026-01-01T00:00:07.500000Z","verb":"{verb}","requestURI":"/x","user":{{"username":"{user}"}},"objectRef":{{"resource":"jobs","subresource":"status","name":"n"}},"responseStatus":{{"code":{code}}}}}"#
            )
        };
        let lines = [
            line("system:serviceaccount:mine:executor", "ResponseComplete", "patch", 200),
            line("system:serviceaccount:mine:executor", "ResponseComplete", "get", 403),
            line("system:serviceaccount:mine:executor", "ResponseStarted", "watch", 200),
            line("system:serviceaccount:mine:executor", "ResponseComplete", "watch", 200),
            line("system:serviceaccount:other:executor", "ResponseComplete", "get", 403),
            "{\"half".to_owned(),
        ];
        std::fs::write(&path, "").unwrap();
        let requests = Requests::since_now(&path, "mine");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let all = requests.all().unwrap();
        assert_eq!(all.iter().map(|r| r.verb.as_str()).collect::<Vec<_>>(), ["patch", "get", "watch"]);
        assert_eq!(all.iter().filter(|r| r.code == 403).count(), 1);
        assert_eq!((all[0].resource.as_str(), all[0].account.as_str()), ("jobs/status", "executor"));
        assert!(all.iter().all(|r| r.at == "2026-01-01T00:00:07.5Z".parse().unwrap()));
        assert!(all[0].is_write() && !all[1].is_write());
    }
}
