//! One object of the API server, known by its name and its uid: another object under the same name is
//! never touched.

use std::{fmt::Debug, time::Duration};

use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::Status,
    runtime::wait::{await_condition, conditions::is_deleted},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    engine::{Created, Removal, Removed},
    error::{self, Error, Result},
};

/// Whether an answer says that the object is not there. That its kind is not served is also a 404, but
/// one that names no object.
pub(crate) fn is_missing(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// What came of a creation.
pub(crate) fn created<K: Resource>(answer: kube::Result<K>) -> Result<Created> {
    match answer {
        Ok(object) => Ok(Created::New(object.uid().unwrap_or_default())),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Created::Exists),
        Err(error) => match error::of_create(error) {
            refusal @ Error::Refused { .. } => Ok(Created::Refused(refusal)),
            other => Err(other),
        },
    }
}

/// Has the API server check an object without creating it, and gives why it would be refused.
pub(crate) async fn try_out<K>(api: &Api<K>, object: &K) -> Result<Option<Error>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    Ok(match created(api.create(&dry_run, object).await)? {
        Created::Refused(refusal) => Some(refusal),
        Created::New(_) | Created::Exists => None,
    })
}

/// Patches this very object and gives it as it is then; none when it is gone or another has its name.
/// The patch must carry the uid. The API server answers 409 and 422 to a wrong one, and to much else;
/// what is there now tells them apart.
pub(crate) async fn patch<K>(
    api: &Api<K>,
    run: &str,
    uid: &str,
    patch: &Patch<serde_json::Value>,
) -> kube::Result<Option<K>>
where
    K: Clone + Debug + DeserializeOwned,
{
    match api.patch(run, &PatchParams::default(), patch).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if is_missing(&status) => Ok(None),
        Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) => {
            let is_there = match api.get_metadata(run).await {
                Ok(now) => now.metadata.uid.as_deref() == Some(uid),
                Err(kube::Error::Api(status)) if is_missing(&status) => false,
                Err(error) => return Err(error),
            };
            if is_there { Err(kube::Error::Api(status)) } else { Ok(None) }
        }
        Err(error) => Err(error),
    }
}

/// Removes this very object, with what belongs to it.
pub(crate) async fn remove<K>(
    api: &Api<K>,
    run: &str,
    removal: &Removal<'_>,
    propagation: PropagationPolicy,
) -> Result<Removed>
where
    K: Clone + Debug + DeserializeOwned,
{
    let resource_version = removal.unchanged_since.map(str::to_owned);
    let parameters = DeleteParams {
        propagation_policy: Some(propagation),
        preconditions: Some(Preconditions { uid: Some(removal.uid.to_owned()), resource_version }),
        ..DeleteParams::default()
    };
    match api.delete(run, &parameters).await {
        // While finalizers hold it the object comes back, and else a status.
        Ok(answer) => Ok(if answer.is_left() { Removed::Going } else { Removed::Gone }),
        Err(kube::Error::Api(status)) if is_missing(&status) => Ok(Removed::Gone),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Removed::Changed),
        Err(error) => Err(error.into()),
    }
}

/// Waits until this very object is gone. False when it is still there after the limit.
pub(crate) async fn await_gone<K>(api: &Api<K>, run: &str, uid: &str, limit: Duration) -> Result<bool>
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let gone = await_condition(api.clone(), run, is_deleted(uid));
    match tokio::time::timeout(limit, gone).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
        Err(_) => Ok(false),
    }
}

/// Waits until the object of this name is as it should be, or gone.
pub(crate) async fn until<K>(api: &Api<K>, run: &str, is_so: impl Fn(&K) -> bool) -> Result<()>
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let is_so = |now: Option<&K>| now.is_none_or(&is_so);
    let reached = await_condition(api.clone(), run, is_so).await;
    reached.map(drop).map_err(|error| Error::Unavailable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;

    use super::*;

    fn status(code: u16, reason: &str, name: &str) -> Box<Status> {
        let mut status = Status::failure("words", reason).with_code(code);
        if !name.is_empty() {
            let details = serde_json::json!({"name": name});
            status.details = serde_json::from_value(details).unwrap();
        }
        status.boxed()
    }

    #[test]
    fn a_name_that_is_taken_is_told_as_such_and_is_no_refusal() {
        let answer = |code, reason| created::<Job>(Err(kube::Error::Api(status(code, reason, "wfe-1"))));
        assert!(matches!(answer(409, "AlreadyExists"), Ok(Created::Exists)));
        assert!(matches!(answer(400, "BadRequest"), Ok(Created::Refused(_))));
        assert!(matches!(answer(409, "Conflict"), Err(Error::Unavailable(_))));
    }

    #[test]
    fn that_a_kind_is_not_served_does_not_say_that_an_object_is_missing() {
        assert!(is_missing(&status(404, "NotFound", "wfe-1")));
        assert!(!is_missing(&status(404, "NotFound", "")));
        assert!(!is_missing(&status(403, "Forbidden", "wfe-1")));
    }
}
