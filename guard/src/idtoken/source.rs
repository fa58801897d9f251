//! The sources of identity tokens, chosen like Google's own clients do (application default credentials): the file that
//! `GOOGLE_APPLICATION_CREDENTIALS` names, or the metadata server.
//!
//! The file is read again for each fetch, so that a rotated key is used without a restart. Secrets are sent over `https`, or to a loopback
//! address, whatever the file says.

pub mod federation;
pub mod impersonate;
pub mod key_file;
pub mod metadata;
mod step;
pub mod user;

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::tls::Trust;
use federation::Federation;
use key_file::Key;
use metadata::Metadata;
use step::read_file;
pub use step::{CLOUD_PLATFORM, SourceError};

/// A source of identity tokens: Google, or a script of a test.
pub trait Source: Send + Sync + 'static {
    /// Makes one attempt, with a time limit, and returns the token as text.
    fn fetch(&self, audience: &str) -> impl Future<Output = Result<String, SourceError>> + Send;
    /// The value of the metric label `source`.
    fn label(&self) -> &'static str;
}

/// The configured place of the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    File(PathBuf),
    /// The metadata server: `host` or `host:port`.
    Metadata(String),
}

/// The source that the process uses, ready to fetch from.
pub enum Credentials {
    /// A credential file.
    File(CredentialFile),
    /// The metadata server.
    Metadata(Metadata),
}

/// A credential file of any type that can request an audience.
pub struct CredentialFile {
    path: PathBuf,
    trust: Trust,
    /// The type that the file had when it was last read.
    kind: Mutex<&'static str>,
}

/// The checked content of a credential file.
enum Plan {
    /// A service account's key.
    Key(Key),
    /// Another identity of the file, which impersonates a service account.
    Impersonated(impersonate::Impersonated),
    /// A token of another issuer, which is exchanged for one of a service account.
    Federation(Federation),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Document {
    ServiceAccount(key_file::Document),
    ImpersonatedServiceAccount(impersonate::Document),
    ExternalAccount(federation::Document),
    AuthorizedUser,
    #[serde(other)]
    Other,
}

impl Credentials {
    /// Reads the configured file, so that a malformed one is reported before a port is bound. Nothing is fetched.
    pub fn at(place: &Place, trust: &Trust) -> Result<Self, SourceError> {
        match place {
            Place::File(path) => {
                let file = CredentialFile { path: path.clone(), trust: trust.clone(), kind: Mutex::new("") };
                file.read()?;
                Ok(Self::File(file))
            }
            Place::Metadata(host) => Metadata::at(host).map(Self::Metadata),
        }
    }
}

impl Source for Credentials {
    async fn fetch(&self, audience: &str) -> Result<String, SourceError> {
        match self {
            Self::Metadata(metadata) => metadata.id_token(audience).await,
            Self::File(file) => match file.read()? {
                Plan::Key(key) => key.id_token(audience).await,
                Plan::Impersonated(impersonated) => impersonated.id_token(audience).await,
                Plan::Federation(federation) => federation.id_token(audience).await,
            },
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Metadata(_) => "metadata",
            Self::File(file) => *file.kind.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl CredentialFile {
    fn read(&self) -> Result<Plan, SourceError> {
        let malformed = |wrong: String| SourceError::Malformed { path: self.path.clone(), wrong };
        let document = serde_json::from_slice(&read_file(&self.path)?)
            .map_err(|error| malformed(format!("not a credential file of Google: {error}")))?;
        let plan = match document {
            Document::ServiceAccount(document) => document.check(&self.trust).map(Plan::Key),
            Document::ImpersonatedServiceAccount(document) => document.check(&self.trust).map(Plan::Impersonated),
            Document::ExternalAccount(document) => document.check(&self.trust).map(Plan::Federation),
            Document::AuthorizedUser => Err(
                "type authorized_user (a gcloud login): the audience of its tokens cannot be chosen, so Cloud Run refuses them; wanted \
                 service_account, external_account or impersonated_service_account (gcloud auth application-default login \
                 --impersonate-service-account=ADDRESS writes the last)"
                    .to_owned(),
            ),
            Document::Other => {
                Err("its type is none of service_account, external_account and impersonated_service_account".to_owned())
            }
        }
        .map_err(malformed)?;
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = match plan {
            Plan::Key(_) => "key-file",
            Plan::Impersonated(_) => "impersonation",
            Plan::Federation(_) => "federation",
        };
        Ok(plan)
    }
}

#[cfg(test)]
mod tests;
