//! What a run needs in the execution namespace, and whether it is there.

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::{Api, Client};

use crate::{
    attempt::Attempt,
    error::{Error, Result},
};

/// Checks, without effect, that what the run needs is there: Secrets first, then ConfigMaps, in the
/// order given; the first problem is reported.
#[tracing::instrument(name = "k8s.dependencies.check", skip_all, fields(otel.kind = "client"))]
pub(crate) async fn check(client: &Client, namespace: &str, attempt: &Attempt) -> Result<()> {
    let missing = |kind: &str, name: &str, what: &str| {
        Error::DependencyMissing(format!("{kind} {name:?} {what} in namespace {namespace:?}"))
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for name in &attempt.secrets {
        let secret = secrets.get_opt(name).await?.ok_or_else(|| missing("Secret", name, "not found"))?;
        if secret.data.is_none_or(|data| data.is_empty()) {
            return Err(missing("Secret", name, "is empty"));
        }
    }
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for name in &attempt.config_maps {
        let map = maps.get_opt(name).await?.ok_or_else(|| missing("ConfigMap", name, "not found"))?;
        let is_empty =
            map.data.is_none_or(|data| data.is_empty()) && map.binary_data.is_none_or(|data| data.is_empty());
        if is_empty {
            return Err(missing("ConfigMap", name, "is empty"));
        }
    }
    let account = &attempt.service_account;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    if !account.is_empty() && accounts.get_opt(account).await?.is_none() {
        return Err(missing("ServiceAccount", account, "not found"));
    }
    Ok(())
}
