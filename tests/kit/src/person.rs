//! People: users of the API server who have the rights of the files and no other.

use anyhow::Context as _;
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::{
    environment::{self, Environment},
    install,
};

const ROLE: &str = "evenkeel-operator";

impl Environment {
    /// A client that the API server takes for this user, who may do what `deploy/rbac/operator.yaml`
    /// says where the executions are, and nothing else.
    pub async fn operator(&self, user: &str) -> anyhow::Result<Client> {
        let group = "rbac.authorization.k8s.io";
        let binding = RoleBinding {
            metadata: ObjectMeta { name: Some(format!("operator-{user}")), ..ObjectMeta::default() },
            role_ref: RoleRef {
                api_group: Some(group.to_owned()),
                kind: "ClusterRole".to_owned(),
                name: self.record().spaces().own(ROLE),
            },
            subjects: Some(vec![Subject {
                api_group: Some(group.to_owned()),
                kind: "User".to_owned(),
                name: user.to_owned(),
                namespace: None,
            }]),
        };
        let api: Api<RoleBinding> = Api::namespaced(self.client(), self.namespace());
        api.create(&PostParams::default(), &binding)
            .await
            .with_context(|| format!("bind {ROLE} to {user}"))?;
        install::may_patch_status(&self.client(), user, self.namespace()).await?;
        environment::client_as(self.kubeconfig(), user).await
    }
}
