//! What the steps of every source share: reading a file, sending one request, taking one member of the response, and the error of a step.

use std::path::{Path, PathBuf};

use hyper::Uri;
use hyper::body::Bytes;
use serde::de::DeserializeOwned;

use crate::fetch::{Endpoint, FetchError, FetchRequest};
use crate::tls::Trust;

/// The scope of access tokens: `generateIdToken` needs no other.
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Why there is no token. The text says what to do where that is known. It never holds a token or a key.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// The file is not a credential file.
    #[error("{}: {wrong}", path.display())]
    Malformed {
        /// The path of the file.
        path: PathBuf,
        /// The fault, and what is wanted.
        wrong: String,
    },
    /// A server did not return a document.
    #[error("{step}: {error}")]
    Fetch {
        /// The step that failed.
        step: &'static str,
        /// The error of the fetch.
        error: FetchError,
    },
    /// A server returned a document without the wanted member.
    #[error("{step}: the response has no {wanted}")]
    Answer {
        /// The step that failed.
        step: &'static str,
        /// The wanted member.
        wanted: &'static str,
    },
    /// The key cannot sign.
    #[error("the private key of the service account cannot sign")]
    Signing,
    /// The source does not respond in time (a script of a test).
    #[error("no response")]
    Silent,
}

/// Reads a file that the credentials name.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, SourceError> {
    std::fs::read(path).map_err(|error| SourceError::File { path: path.to_owned(), error })
}

/// The endpoint that a `member` of a credential file names.
pub(super) fn endpoint(member: &str, url: &str, trust: &Trust) -> Result<Endpoint, String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("{member}: {error}"))?;
    Endpoint::at(uri, trust).map_err(|error| format!("{member}: found {url:?}, {error}"))
}

/// Sends the request of one step and returns the body of its 200.
pub(super) async fn ask(step: &'static str, endpoint: &Endpoint, request: FetchRequest) -> Result<Bytes, SourceError> {
    endpoint.ask(request).await.map_err(|error| SourceError::Fetch { step, error })
}

/// The wanted member of a response.
pub(super) fn member<T: DeserializeOwned>(step: &'static str, wanted: &'static str, answer: &[u8]) -> Result<T, SourceError> {
    let none = || SourceError::Answer { step, wanted };
    let mut answer: serde_json::Value = serde_json::from_slice(answer).map_err(|_| none())?;
    let member = answer.get_mut(wanted).map(serde_json::Value::take).ok_or_else(none)?;
    serde_json::from_value(member).map_err(|_| none())
}
