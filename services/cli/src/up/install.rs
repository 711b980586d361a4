//! What the cluster needs before the services can work: the definitions, the policy of who may clear a
//! block, and two namespaces.

use std::time::Duration;

use evenkeel_api::definitions;
use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    runtime::wait::{await_condition, conditions::is_crd_established},
};
use serde_json::json;

use crate::{
    cluster::Cluster,
    error::{Error, Result},
    output,
};

const MANAGER: &str = "evenkeel-up";
const POLICY: &str = include_str!("../../../../deploy/admission/block-clearance.yaml");
const ESTABLISHED_LIMIT: Duration = Duration::from_secs(30);

/// Installs what is missing. What somebody else installed is left as it is, and named.
pub(super) async fn install(cluster: &Cluster, namespaces: &[&str]) -> Result<()> {
    for definition in definitions::all() {
        define(cluster, definition).await?;
    }
    policy(cluster).await?;
    for name in namespaces {
        let api: Api<Namespace> = Api::all(cluster.client.clone());
        if api.get_opt(name).await.map_err(|error| cluster.explain(error))?.is_none() {
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            let params = PatchParams::apply(MANAGER);
            api.patch(name, &params, &Patch::Apply(namespace))
                .await
                .map_err(|error| cluster.explain(error))?;
            output::note(&format!("created namespace {name}"));
        }
    }
    Ok(())
}

/// The policy and its binding. What is there is made as it should be: without it, anybody who may write
/// a status could clear a block in another's name.
async fn policy(cluster: &Cluster) -> Result<()> {
    let objects: Vec<DynamicObject> = serde_saphyr::from_multiple(POLICY)
        .map_err(|error| Error::Up(format!("cannot read the admission policy: {error}")))?;
    for object in objects {
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types)
            .map_err(|error| Error::Up(format!("cannot read the admission policy: {error}")))?;
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &ApiResource::from_gvk(&kind));
        let params = PatchParams::apply(MANAGER).force();
        api.patch(&object.name_any(), &params, &Patch::Apply(&object))
            .await
            .map_err(|error| cluster.explain(error))?;
    }
    Ok(())
}

async fn define(cluster: &Cluster, definition: CustomResourceDefinition) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let name = definition.name_any();
    let existing = api.get_opt(&name).await.map_err(|error| cluster.explain(error))?;
    let ours = existing
        .as_ref()
        .is_none_or(|it| it.managed_fields().iter().any(|field| field.manager.as_deref() == Some(MANAGER)));
    if !ours {
        output::note(&format!(
            "kept the definition {name} that was there: it was installed by something else"
        ));
        return Ok(());
    }
    let params = PatchParams::apply(MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&definition)).await.map_err(|error| cluster.explain(error))?;
    let established = await_condition(api, &name, is_crd_established());
    match tokio::time::timeout(ESTABLISHED_LIMIT, established).await {
        Ok(Ok(_)) if existing.is_none() => output::note(&format!("installed the definition {name}")),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            return Err(Error::Up(format!(
                "cannot see the definition {name}: {}",
                crate::error::root(&error)
            )));
        }
        Err(_) => return Err(Error::Up(format!("the cluster does not accept the definition {name}"))),
    }
    Ok(())
}
