//! The metadata server of a machine on Google Cloud: returns a token for an audience as plain text.
//!
//! "Verifying VM identity", Compute Engine docs: `format=full` puts the service account's e-mail into the token, which Cloud Run's check
//! of the invoker reads. The header prevents a browser, or a server that was made to send a request, from getting a token.

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};

use super::step::{SourceError, ask};
use crate::fetch::{Endpoint, FetchRequest};
use crate::percent;

/// Its host where `GCE_METADATA_HOST` is not set.
pub const DEFAULT_HOST: &str = "metadata.google.internal";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const STEP: &str = "the metadata server (not on Google Cloud? set GOOGLE_APPLICATION_CREDENTIALS)";

/// The metadata server.
pub struct Metadata {
    host: String,
}

impl Metadata {
    /// The server at `host` or `host:port`, always by plain HTTP: no secret is sent, and the network is the machine's own.
    pub fn at(host: &str) -> Result<Self, SourceError> {
        let metadata = Self { host: host.to_owned() };
        metadata.endpoint("").map(|_| metadata)
    }

    /// A token for `audience`.
    pub async fn id_token(&self, audience: &str) -> Result<String, SourceError> {
        let request = FetchRequest::get().with(FLAVOR, HeaderValue::from_static("Google"));
        let text = ask(STEP, &self.endpoint(audience)?, request).await?;
        let text = std::str::from_utf8(&text).unwrap_or_default().trim();
        if text.is_empty() { Err(SourceError::Answer { step: STEP, wanted: "token" }) } else { Ok(text.to_owned()) }
    }

    fn endpoint(&self, audience: &str) -> Result<Endpoint, SourceError> {
        let path = "computeMetadata/v1/instance/service-accounts/default/identity";
        let uri = format!("http://{}/{path}?audience={}&format=full", self.host, percent::encode(audience)).parse::<Uri>().ok();
        let wanted = "host (GCE_METADATA_HOST)";
        uri.and_then(|uri| Endpoint::in_the_clear(uri).ok()).ok_or(SourceError::Answer { step: STEP, wanted })
    }
}
