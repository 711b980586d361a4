//! Whether the API server serves PipelineRuns. Tekton may be installed, changed and removed at any time.

use k8s_openapi::{
    Resource as _,
    apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList},
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
};

use super::types::{GROUP, PipelineRun, VERSION};
use crate::object;

/// How PipelineRuns are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As they are used here.
    Served,
    /// In this other version only.
    Elsewhere(String),
    /// Not at all.
    Absent,
}

impl Kind {
    /// Why no pipeline can run, and what to do; none when it can.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Served => None,
            Self::Elsewhere(version) => Some(format!(
                "Tekton serves PipelineRuns as {GROUP}/{version} here, and not as {GROUP}/{VERSION}; upgrade \
                 Tekton Pipelines to a release that does"
            )),
            Self::Absent => Some(format!(
                "the cluster serves no PipelineRuns ({GROUP}/{VERSION}); install Tekton Pipelines, or use a \
                 workflow of another engine"
            )),
        }
    }
}

/// Asks the API server, uncached. Only an answer that lists what is served, and leaves PipelineRuns out,
/// says that they are not: an error never does, not even one that says "not found", since a proxy or an
/// API server that is just starting says that, too.
pub(super) async fn discover(client: &Client) -> kube::Result<Kind> {
    let groups = client.list_api_groups().await?.groups;
    let mut found = Vec::new();
    for version in versions(&groups) {
        let resources = client.list_api_group_resources(&format!("{GROUP}/{version}")).await?;
        if has_pipeline_runs(&resources) {
            found.push(version);
            if version == VERSION {
                break;
            }
        }
    }
    Ok(of_versions(&found))
}

/// Whether a run of this name exists in another version, in which it cannot be read here.
pub(super) async fn exists_in(
    client: &Client,
    namespace: &str,
    version: &str,
    run: &str,
) -> kube::Result<bool> {
    let resource = ApiResource {
        group: GROUP.to_owned(),
        version: version.to_owned(),
        api_version: format!("{GROUP}/{version}"),
        kind: PipelineRun::KIND.to_owned(),
        plural: PipelineRun::URL_PATH_SEGMENT.to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    match api.get_metadata(run).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if object::is_missing(&status) => Ok(false),
        Err(error) => Err(error),
    }
}

fn versions(groups: &[APIGroup]) -> impl Iterator<Item = &str> {
    let versions = groups.iter().filter(|group| group.name == GROUP).flat_map(|group| &group.versions);
    versions.map(|version| version.version.as_str())
}

fn has_pipeline_runs(resources: &APIResourceList) -> bool {
    resources.resources.iter().any(|resource| resource.name == PipelineRun::URL_PATH_SEGMENT)
}

fn of_versions(versions: &[&str]) -> Kind {
    match versions {
        [] => Kind::Absent,
        versions if versions.contains(&VERSION) => Kind::Served,
        [other, ..] => Kind::Elsewhere((*other).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{groups, read, resources},
        *,
    };

    #[test]
    fn pipelines_can_run_only_where_their_version_is_served() {
        assert_eq!(of_versions(&["v1"]), Kind::Served);
        assert_eq!(of_versions(&["v1beta1", "v1"]), Kind::Served);
        assert_eq!(of_versions(&["v1beta1"]), Kind::Elsewhere("v1beta1".to_owned()));
        assert_eq!(of_versions(&[]), Kind::Absent);
    }

    #[test]
    fn the_groups_of_others_and_other_kinds_of_tekton_do_not_count() {
        let groups: Vec<APIGroup> = read(groups(&["v1", "v1beta1"])["groups"].take());
        assert_eq!(versions(&groups).collect::<Vec<_>>(), ["v1", "v1beta1"]);
        assert_eq!(versions(&groups[..1]).count(), 0);
        let list = |names: &[&str]| -> APIResourceList { read(resources("v1", names)) };
        assert!(has_pipeline_runs(&list(&["tasks", "pipelineruns", "pipelineruns/status"])));
        assert!(!has_pipeline_runs(&list(&["tasks", "pipelineruns/status"])));
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        assert_eq!(Kind::Served.problem(), None);
        assert!(Kind::Absent.problem().unwrap().contains("install Tekton Pipelines"));
        let old = Kind::Elsewhere("v1beta1".to_owned()).problem().unwrap();
        assert!(old.contains("tekton.dev/v1beta1") && old.contains("upgrade"), "{old}");
    }
}
