//! A person's gcloud login: exchanges a refresh token for an access token. It serves for impersonation only, because the audience of its identity
//! tokens cannot be chosen. RFC 6749, section 6.

use serde::Deserialize;

use super::key_file::TOKEN_AUDIENCE;
use super::step::{SourceError, ask, endpoint, member};
use crate::fetch::{Endpoint, FetchRequest};
use crate::tls::Trust;

const STEP: &str = "the token endpoint (gcloud login)";

/// The members of a credential file of type `authorized_user`.
#[derive(Deserialize)]
pub struct Document {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
}

/// A gcloud login.
pub struct User {
    document: Document,
    endpoint: Endpoint,
}

impl Document {
    pub(super) fn check(self, trust: &Trust) -> Result<User, String> {
        let endpoint = endpoint("source_credentials.token_uri", self.token_uri.as_deref().unwrap_or(TOKEN_AUDIENCE), trust)?;
        Ok(User { document: self, endpoint })
    }
}

impl User {
    /// An access token.
    pub async fn access_token(&self) -> Result<String, SourceError> {
        let Document { client_id, client_secret, refresh_token, .. } = &self.document;
        let form = FetchRequest::form(&[
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("client_secret", client_secret),
            ("refresh_token", refresh_token),
        ]);
        member(STEP, "access_token", &ask(STEP, &self.endpoint, form).await?)
    }
}
