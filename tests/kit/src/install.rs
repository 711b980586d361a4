//! What an environment needs in its cluster: definitions, policies, namespaces and permissions, taken
//! from the files that a person would apply.

use std::{fs, time::Duration};

use anyhow::Context as _;
use futures::future::try_join_all;
use k8s_openapi::{
    api::{
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        core::v1::{Namespace, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{place::Repository, wait};

/// The namespaces that the files speak of.
const NAMESPACE: &str = "kubernaut-system";
const EXECUTION_NAMESPACE: &str = "kubernaut-workflows";
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Where an environment is in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spaces {
    /// Where executions are, and the ServiceAccounts of the services.
    pub(crate) namespace: String,
    /// Where runs appear.
    pub(crate) execution_namespace: String,
}

impl Spaces {
    /// Those that a person would use, and that the files name.
    pub(crate) fn usual() -> Self {
        Self { namespace: NAMESPACE.into(), execution_namespace: EXECUTION_NAMESPACE.into() }
    }

    /// Those of one test.
    pub(crate) fn named(name: &str) -> Self {
        Self { namespace: name.into(), execution_namespace: format!("{name}-runs") }
    }

    fn both(&self) -> [&str; 2] {
        [&self.namespace, &self.execution_namespace]
    }

    /// What something without a namespace is called here.
    pub(crate) fn own(&self, name: &str) -> String {
        if *self == Self::usual() { name.to_owned() } else { format!("{name}-{}", self.namespace) }
    }

    /// Moves an object of the files here: its namespace, the accounts it speaks of and, so that
    /// environments do not share it, the name of what has no namespace.
    fn adopt(&self, object: &mut Value) {
        let moved = |name: &str| match name {
            NAMESPACE => Some(self.namespace.clone()),
            EXECUTION_NAMESPACE => Some(self.execution_namespace.clone()),
            _ => None,
        };
        rewrite(object.pointer_mut("/metadata/namespace"), moved);
        for subject in object.pointer_mut("/subjects").and_then(Value::as_array_mut).into_iter().flatten() {
            rewrite(subject.get_mut("namespace"), moved);
        }
        if *self == Self::usual() {
            return;
        }
        let own = |name: &str| Some(self.own(name));
        if kind(object).starts_with("Cluster") {
            rewrite(object.pointer_mut("/metadata/name"), own);
        }
        if object.pointer("/roleRef/kind").is_some_and(|kind| kind == "ClusterRole") {
            rewrite(object.pointer_mut("/roleRef/name"), own);
        }
    }
}

fn rewrite(field: Option<&mut Value>, change: impl Fn(&str) -> Option<String>) {
    if let Some(field) = field
        && let Some(changed) = field.as_str().and_then(change)
    {
        *field = changed.into();
    }
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// Applies everything and waits until it is in force.
pub(crate) async fn install(client: &Client, repository: &Repository, spaces: &Spaces) -> anyhow::Result<()> {
    let definitions = async {
        let objects = read(repository, "deploy/crds")?;
        try_join_all(objects.iter().map(|object| apply(client, object))).await?;
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let established = kube::runtime::conditions::is_crd_established();
        try_join_all(objects.iter().filter_map(|object| object["metadata"]["name"].as_str()).map(|name| {
            let met = |definition: &CustomResourceDefinition| {
                kube::runtime::wait::Condition::matches_object(&established, Some(definition))
            };
            wait::until(&api, name, "being served", LIMIT, met)
        }))
        .await
    };
    // They are the same for all environments of a cluster, and stay there.
    let policies = async {
        let objects = read(repository, "deploy/admission")?;
        try_join_all(objects.iter().map(|object| apply(client, object))).await
    };
    let permissions = async {
        let api: Api<Namespace> = Api::all(client.clone());
        try_join_all(spaces.both().map(|name| {
            let namespace = Namespace {
                metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
                ..Namespace::default()
            };
            let api = &api;
            async move {
                let created = api.create(&PostParams::default(), &namespace).await;
                created.map(drop).or_else(|error| code_is_fine(409, error))
            }
        }))
        .await?;
        let objects = permissions(repository, spaces)?;
        try_join_all(objects.iter().map(|object| apply(client, object))).await?;
        try_join_all(grants(&objects).into_iter().map(|grant| in_force(client, grant))).await
    };
    let accounts = async {
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &spaces.execution_namespace);
        // Pods are refused until it is there.
        wait::until(&api, "default", "its creation", LIMIT, |_| true).await
    };
    tokio::try_join!(definitions, policies, permissions, accounts).map(drop)
}

/// Removes what is in the cluster of one environment, whatever still runs there.
pub(crate) async fn remove(client: &Client, repository: &Repository, spaces: &Spaces) -> anyhow::Result<()> {
    let executions: Api<evenkeel_api::WorkflowExecution> = Api::namespaced(client.clone(), &spaces.namespace);
    // Nobody is left to finalize them.
    let all = executions.list(&ListParams::default()).await.map(|list| list.items);
    for execution in all.or_else(|error| code_is_fine(404, error).map(|()| Vec::new()))? {
        let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let released =
            executions.patch_metadata(&execution.name_any(), &PatchParams::default(), &release).await;
        released.map(drop).or_else(missing_is_fine)?;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in spaces.both() {
        namespaces.delete(name, &DeleteParams::background()).await.map(drop).or_else(missing_is_fine)?;
    }
    for object in permissions(repository, spaces)?.iter().filter(|object| kind(object).starts_with("Cluster"))
    {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let deleted = api_of(client, &object)?.delete(&object.name_any(), &DeleteParams::background()).await;
        deleted.map(drop).or_else(missing_is_fine)?;
    }
    Ok(())
}

fn missing_is_fine(error: kube::Error) -> kube::Result<()> {
    code_is_fine(404, error)
}

fn code_is_fine(code: u16, error: kube::Error) -> kube::Result<()> {
    match error {
        kube::Error::Api(status) if status.code == code => Ok(()),
        error => Err(error),
    }
}

fn permissions(repository: &Repository, spaces: &Spaces) -> anyhow::Result<Vec<Value>> {
    let mut objects = read(repository, "deploy/rbac")?;
    for object in &mut objects {
        spaces.adopt(object);
    }
    Ok(objects)
}

fn read(repository: &Repository, directory: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for path in repository.files(directory, "yaml")? {
        let text = fs::read_to_string(&path)?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("read {}", path.display()))?;
        objects.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    Ok(objects)
}

async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let api = api_of(client, &object)?;
    let parameters = PatchParams::apply("evenkeel-test-kit").force();
    let applied = api.patch(&object.name_any(), &parameters, &Patch::Apply(&object)).await;
    let kind = object.types.as_ref().map_or("", |types| &types.kind);
    applied.map(drop).with_context(|| format!("apply {kind} {}", object.name_any()))
}

fn api_of(client: &Client, object: &DynamicObject) -> anyhow::Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("an object has a kind")?;
    let resource = ApiResource::from_gvk(&types.try_into()?);
    Ok(match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

/// One permission that one account has once the bindings are in force.
struct Grant {
    user: String,
    attributes: ResourceAttributes,
}

/// One permission of every binding whose role is among the objects.
fn grants(objects: &[Value]) -> Vec<Grant> {
    let bindings = objects.iter().filter(|object| kind(object).ends_with("RoleBinding"));
    bindings.filter_map(|binding| grant(objects, binding)).collect()
}

fn grant(objects: &[Value], binding: &Value) -> Option<Grant> {
    let role = objects.iter().find(|role| {
        kind(role) == binding["roleRef"]["kind"]
            && role["metadata"]["name"] == binding["roleRef"]["name"]
            && (kind(role) == "ClusterRole"
                || role["metadata"]["namespace"] == binding["metadata"]["namespace"])
    })?;
    let rule = role["rules"].as_array()?.iter().find(|rule| rule.get("resources").is_some())?;
    let subject = &binding["subjects"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let resource = rule["resources"][0].as_str()?;
    let (resource, subresource) =
        resource.split_once('/').map_or((resource, None), |(r, s)| (r, Some(s.to_owned())));
    Some(Grant {
        user: format!(
            "system:serviceaccount:{}:{}",
            subject["namespace"].as_str()?,
            subject["name"].as_str()?
        ),
        attributes: ResourceAttributes {
            namespace: text(&binding["metadata"]["namespace"]),
            group: text(&rule["apiGroups"][0]),
            resource: Some(resource.to_owned()),
            subresource,
            name: text(&rule["resourceNames"][0]),
            verb: text(&rule["verbs"][0]),
            ..ResourceAttributes::default()
        },
    })
}

/// Waits until a user may write the statuses of executions.
pub(crate) async fn may_patch_status(client: &Client, user: &str, namespace: &str) -> anyhow::Result<()> {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        group: Some(evenkeel_api::GROUP.to_owned()),
        resource: Some("workflowexecutions".to_owned()),
        subresource: Some("status".to_owned()),
        verb: Some("patch".to_owned()),
        ..ResourceAttributes::default()
    };
    in_force(client, Grant { user: user.to_owned(), attributes }).await
}

/// Waits until the API server acts on a permission: it learns of bindings a moment later.
async fn in_force(client: &Client, grant: Grant) -> anyhow::Result<()> {
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(grant.user.clone()),
            resource_attributes: Some(grant.attributes.clone()),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let asked = async {
        while !api.create(&PostParams::default(), &review).await?.status.is_some_and(|status| status.allowed)
        {
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    let allowed = tokio::time::timeout(LIMIT, asked).await;
    allowed.with_context(|| format!("{} is still not allowed {:?}", grant.user, grant.attributes))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_move_with_the_accounts_they_speak_of() {
        let mut binding = json!({
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "evenkeel-controller"},
            "roleRef": {"kind": "ClusterRole", "name": "evenkeel-controller"},
            "subjects": [{"kind": "ServiceAccount", "name": "controller", "namespace": "kubernaut-system"}],
        });
        let kept = binding.clone();
        Spaces::usual().adopt(&mut binding);
        assert_eq!(binding, kept);
        Spaces::named("t1").adopt(&mut binding);
        assert_eq!(binding["metadata"]["name"], "evenkeel-controller-t1");
        assert_eq!(binding["roleRef"]["name"], "evenkeel-controller-t1");
        assert_eq!(binding["subjects"][0]["namespace"], "t1");
        let mut role =
            json!({"kind": "Role", "metadata": {"name": "runs", "namespace": "kubernaut-workflows"}});
        Spaces::named("t1").adopt(&mut role);
        assert_eq!(role["metadata"], json!({"name": "runs", "namespace": "t1-runs"}));
    }
}
