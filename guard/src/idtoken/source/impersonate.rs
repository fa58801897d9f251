//! Impersonation: exchanges an access token of an identity that may impersonate a service account for an identity token of that account.
//!
//! IAM Service Account Credentials API, `generateIdToken`. The identity needs the role Workload Identity User, or Token Creator, on
//! the account. `includeEmail` is set because Cloud Run's check of the invoker reads the address.

use serde::Deserialize;
use serde_json::json;

use super::key_file::Key;
use super::step::{SourceError, ask, endpoint, member};
use super::user::User;
use super::{key_file, user};
use crate::fetch::{Endpoint, FetchRequest};
use crate::tls::Trust;

const STEP: &str = "generateIdToken";

/// The members of a file that `gcloud auth application-default login --impersonate-service-account` writes.
#[derive(Deserialize)]
pub struct Document {
    service_account_impersonation_url: String,
    #[serde(default)]
    delegates: Vec<String>,
    source_credentials: Box<SourceDocument>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SourceDocument {
    AuthorizedUser(user::Document),
    ServiceAccount(key_file::Document),
    #[serde(other)]
    Other,
}

/// An identity that impersonates a service account.
pub struct Impersonated {
    source: Actor,
    impersonation: Impersonation,
}

enum Actor {
    User(Box<User>),
    Key(Box<Key>),
}

/// The service account that is impersonated.
pub struct Impersonation {
    endpoint: Endpoint,
    delegates: Vec<String>,
}

impl Document {
    pub(super) fn check(self, trust: &Trust) -> Result<Impersonated, String> {
        let impersonation = Impersonation::of(&self.service_account_impersonation_url, &self.delegates, trust)?;
        let source = match *self.source_credentials {
            SourceDocument::AuthorizedUser(document) => Actor::User(Box::new(document.check(trust)?)),
            SourceDocument::ServiceAccount(document) => Actor::Key(Box::new(document.check(trust)?)),
            SourceDocument::Other => return Err("source_credentials: wanted type authorized_user or service_account".to_owned()),
        };
        Ok(Impersonated { source, impersonation })
    }
}

impl Impersonated {
    /// An identity token for `audience`.
    pub async fn id_token(&self, audience: &str) -> Result<String, SourceError> {
        let access = match &self.source {
            Actor::User(user) => user.access_token().await?,
            Actor::Key(key) => key.access_token().await?,
        };
        self.impersonation.id_token(&access, audience).await
    }
}

impl Impersonation {
    /// The account in the URL of a credential file. That URL ends in `generateAccessToken`; `generateIdToken` has the same prefix.
    pub(super) fn of(url: &str, delegates: &[String], trust: &Trust) -> Result<Self, String> {
        const MEMBER: &str = "service_account_impersonation_url";
        let (account, _method) = url
            .rsplit_once(':')
            .filter(|(_, method)| matches!(*method, "generateAccessToken" | "generateIdToken"))
            .ok_or_else(|| format!("{MEMBER}: found {url:?}, wanted one that ends in :generateAccessToken"))?;
        let full = |name: &String| if name.contains('/') { name.clone() } else { format!("projects/-/serviceAccounts/{name}") };
        Ok(Self {
            endpoint: endpoint(MEMBER, &format!("{account}:generateIdToken"), trust)?,
            delegates: delegates.iter().map(full).collect(),
        })
    }

    /// Fetches an identity token of the account for `audience` with this access token.
    pub(super) async fn id_token(&self, access: &str, audience: &str) -> Result<String, SourceError> {
        let wish = json!({"audience": audience, "includeEmail": true, "delegates": self.delegates});
        member(STEP, "token", &ask(STEP, &self.endpoint, FetchRequest::json(&wish).bearing(access)).await?)
    }
}
