//! Who the services are: to each other by certificate, to the API server by the token of a
//! ServiceAccount that has the permissions of the files and no other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams, config::Kubeconfig};

/// As long as the API server gives: nothing renews it.
const LIFETIME_SECONDS: i64 = 365 * 24 * 3600;

/// A token of a ServiceAccount.
pub(crate) async fn token(client: &Client, namespace: &str, account: &str) -> anyhow::Result<String> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(LIFETIME_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = api.create_token_request(account, &PostParams::default(), &request).await;
    let answer = answer.with_context(|| format!("get a token for {namespace}/{account}"))?;
    answer.status.and_then(|status| status.token).context("the API server gave no token")
}

/// Writes a kubeconfig for the cluster of `admin` with a token as its only credential.
pub(crate) fn kubeconfig(admin: &Path, token: &str, to: &Path) -> anyhow::Result<PathBuf> {
    let config = Kubeconfig::read_from(admin).with_context(|| format!("read {}", admin.display()))?;
    let current = config.current_context.as_deref().unwrap_or_default();
    let context = config.contexts.iter().find(|context| context.name == current);
    let name =
        &context.and_then(|named| named.context.as_ref()).context("a kubeconfig has a context")?.cluster;
    let cluster = config.clusters.iter().find(|cluster| &cluster.name == name);
    let cluster = cluster.and_then(|named| named.cluster.as_ref()).context("a kubeconfig has a cluster")?;
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "service",
        "clusters": [{"name": "service", "cluster": cluster}],
        "contexts": [{"name": "service", "context": {"cluster": "service", "user": "service"}}],
        "users": [{"name": "service", "user": {"token": token}}],
    });
    private(to, &text.to_string())?;
    Ok(to.to_owned())
}

/// Writes a file that only its owner may read.
pub(crate) fn private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}
