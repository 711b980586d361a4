//! What a request is about.

use http::{Method, request::Parts};

/// A request, in the words of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Such as `patch`, `list` or `watch`.
    pub verb: &'static str,
    /// Such as `jobs` or `workflowexecutions/status`.
    pub resource: String,
    /// Name of the object, if it has one.
    pub name: String,
}

impl Asked {
    pub(super) fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        // `/api/v1/...` or `/apis/<group>/<version>/...`, with or without a namespace.
        let skipped = if path.starts_with("/apis/") { 3 } else { 2 };
        let mut parts = path.split('/').filter(|part| !part.is_empty()).skip(skipped).peekable();
        if parts.next_if_eq(&"namespaces").is_some() {
            parts.next();
        }
        let [resource, name, sub] = [(); 3].map(|()| parts.next().unwrap_or_default());
        let watches = head.uri.query().is_some_and(|query| query.contains("watch=true"));
        let verb = match head.method {
            Method::GET if watches => "watch",
            Method::GET if name.is_empty() => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        let resource = if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
        Self { verb, resource, name: name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_as_permissions_do() {
        for (method, uri, verb, resource, name) in [
            ("GET", "/api/v1/namespaces/ops/pods?watch=true", "watch", "pods", ""),
            ("GET", "/apis/batch/v1/namespaces/ops/jobs", "list", "jobs", ""),
            ("GET", "/apis/batch/v1/namespaces/ops/jobs/run", "get", "jobs", "run"),
            ("POST", "/api/v1/namespaces/ops/events?", "create", "events", ""),
            ("PATCH", "/apis/k/v1/namespaces/ops/things/one/status", "patch", "things/status", "one"),
            ("DELETE", "/apis/k/v1/things/one", "delete", "things", "one"),
        ] {
            let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
            let asked = Asked::of(&request.into_parts().0);
            let wanted = Asked { verb, resource: resource.to_owned(), name: name.to_owned() };
            assert_eq!(asked, wanted, "{method} {uri}");
        }
    }
}
