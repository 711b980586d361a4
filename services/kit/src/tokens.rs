//! Kubernetes ServiceAccount tokens as identity: TokenReview says who, SubjectAccessReview
//! whether. The permission is that of a `nonResourceURL` equal to the gRPC path, verb `post`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;

use crate::auth::Refusal;

/// How long an answer is used again. A revoked token works this much longer at most.
const REMEMBER: Duration = Duration::from_secs(10);
/// How many answers are kept, so that junk tokens cannot fill the memory.
const CAPACITY: usize = 1024;

/// Token and path that were asked about.
type Question = (String, String);

/// Asks the API server about tokens and remembers its answers for a short time.
#[derive(Clone)]
pub struct TokenReviewer {
    client: Client,
    audiences: Option<Vec<String>>,
    allowed: Arc<Mutex<HashMap<Question, (Instant, String)>>>,
}

impl TokenReviewer {
    /// Reviews through `client`, whose identity needs `create` on tokenreviews and
    /// subjectaccessreviews.
    pub fn new(client: Client) -> Self {
        Self { client, audiences: None, allowed: Arc::default() }
    }

    /// The user whose token this is, if it may post to `path`. Only permissions are remembered;
    /// a refusal is looked up again, so that a grant works at once.
    pub(crate) async fn review(&self, token: &str, path: &str) -> Result<String, Refusal> {
        let key = (token.to_owned(), path.to_owned());
        if let Some((since, user)) = self.allowed.lock().get(&key)
            && since.elapsed() < REMEMBER
        {
            return Ok(user.clone());
        }
        let user = self.identify(token).await?;
        let name = user.username.clone().unwrap_or_default();
        if !self.may_post(user, path).await? {
            return Err(Refusal::NotAllowed { user: name, path: path.to_owned() });
        }
        let mut allowed = self.allowed.lock();
        if allowed.len() >= CAPACITY {
            allowed.retain(|_, (since, _)| since.elapsed() < REMEMBER);
        }
        if allowed.len() < CAPACITY {
            allowed.insert(key, (Instant::now(), name.clone()));
        }
        Ok(name)
    }

    async fn identify(&self, token: &str) -> Result<UserInfo, Refusal> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: self.audiences.clone() },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await.map_err(unavailable)?;
        let status = answer.status.unwrap_or_default();
        match (status.authenticated, status.user) {
            (Some(true), Some(user)) => Ok(user),
            _ => Err(Refusal::InvalidToken),
        }
    }

    async fn may_post(&self, user: UserInfo, path: &str) -> Result<bool, Refusal> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username,
                uid: user.uid,
                groups: user.groups,
                extra: user.extra,
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some("post".to_owned()),
                }),
                resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await.map_err(unavailable)?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn unavailable(error: kube::Error) -> Refusal {
    tracing::warn!("could not review a token: {error}");
    Refusal::ReviewUnavailable
}
