//! Where identity tokens come from, chosen as Google's own clients choose (application default credentials): the file that
//! `GOOGLE_APPLICATION_CREDENTIALS` names, or else the metadata server.
//!
//! The file is read anew for each fetch, so a rotated key is picked up without a restart. What carries a secret goes over `https`, or to
//! a loopback address, whatever the file says.

pub mod federation;
pub mod impersonate;
pub mod key_file;
pub mod metadata;
pub mod user;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hyper::Uri;
use hyper::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::fetch::{Endpoint, FetchError, FetchRequest};
use crate::tls::Trust;
use federation::Federation;
use key_file::Key;
use metadata::Metadata;

/// What an access token is asked for with: all that `generateIdToken` needs.
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Anything that gives an identity token for an audience: Google, or a test's script.
pub trait Source: Send + Sync + 'static {
    /// One attempt, bounded in time: the token as text.
    fn fetch(&self, audience: &str) -> impl Future<Output = Result<String, SourceError>> + Send;
    /// The value of the metric label `source`.
    fn label(&self) -> &'static str;
}

/// Why there is no token. Says what is to be done where it is known; never holds a token or a key.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A credential file that is none.
    #[error("{}: {wrong}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what is wanted.
        wrong: String,
    },
    /// A server that gave nothing.
    #[error("{step}: {error}")]
    Fetch {
        /// Which of the steps.
        step: &'static str,
        /// What it said.
        error: FetchError,
    },
    /// A server that gave something else.
    #[error("{step}: its answer has no {wanted}")]
    Answer {
        /// Which of the steps.
        step: &'static str,
        /// What was looked for.
        wanted: &'static str,
    },
    /// A key that does not sign.
    #[error("the service account's private key does not sign")]
    Signing,
    /// A source that does not answer in time, as a test's script does.
    #[error("no answer")]
    Silent,
}

/// Where the credentials are, from configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    File(PathBuf),
    /// The metadata server: `host` or `host:port`.
    Metadata(String),
}

/// The source that the process uses.
pub enum Credentials {
    /// A file.
    File(CredentialFile),
    /// The metadata server.
    Metadata(Metadata),
}

/// A credential file, of any type that can name an audience.
pub struct CredentialFile {
    path: PathBuf,
    trust: Trust,
    /// The type that it had when it was last read.
    kind: Mutex<&'static str>,
}

/// What a credential file says, checked.
enum Plan {
    /// A service account's key signs for itself.
    Key(Key),
    /// A service account, on behalf of whoever the file names.
    Impersonated(impersonate::Impersonated),
    /// A service account, for a token of another issuer.
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
    /// Reads what there is to read, so that a bad file is told before a port is bound. Nothing is fetched.
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

fn read_file(path: &Path) -> Result<Vec<u8>, SourceError> {
    std::fs::read(path).map_err(|error| SourceError::File { path: path.to_owned(), error })
}

/// The place that a credential file's `member` names.
fn endpoint(member: &str, url: &str, trust: &Trust) -> Result<Endpoint, String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("{member}: {error}"))?;
    Endpoint::at(uri, trust).map_err(|error| format!("{member}: found {url:?}, {error}"))
}

async fn ask(step: &'static str, endpoint: &Endpoint, request: FetchRequest) -> Result<Bytes, SourceError> {
    endpoint.ask(request).await.map_err(|error| SourceError::Fetch { step, error })
}

/// The member of an answer that is wanted.
fn member<T: DeserializeOwned>(step: &'static str, wanted: &'static str, answer: &[u8]) -> Result<T, SourceError> {
    let none = || SourceError::Answer { step, wanted };
    let mut answer: serde_json::Value = serde_json::from_slice(answer).map_err(|_| none())?;
    let member = answer.get_mut(wanted).map(serde_json::Value::take).ok_or_else(none)?;
    serde_json::from_value(member).map_err(|_| none())
}

#[cfg(test)]
mod tests;
