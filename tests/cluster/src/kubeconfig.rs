//! Kubeconfig files that need nothing beside themselves.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    certificates::{self, Pair},
    error::Result,
};

/// Writes a kubeconfig for `user` of the cluster `name` at `url`.
pub(crate) fn write(path: &Path, name: &str, url: &str, ca: &str, user: &str, pair: &Pair) -> Result<()> {
    let [ca, certificate, key] = [ca, &pair.certificate, &pair.key].map(|pem| STANDARD.encode(pem));
    // JSON strings are YAML strings, whatever a user's name holds.
    let user = serde_json::Value::from(user);
    let content = format!(
        "apiVersion: v1
kind: Config
current-context: {name}
clusters:
- name: {name}
  cluster:
    server: {url}
    certificate-authority-data: {ca}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {user}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
    );
    certificates::write(path, &content)
}
