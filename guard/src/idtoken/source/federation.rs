//! Workload identity federation: exchanges a token of another issuer (Kubernetes projects one into the pod) for an identity token of a service
//! account, without a key.
//!
//! RFC 8693 (token exchange) at Google's Security Token Service, then `generateIdToken` with the federated access token directly.
//! "Configure Workload Identity Federation with Kubernetes", Google Cloud docs: the cluster need not be reachable from the internet.

use std::path::PathBuf;

use serde::Deserialize;

use super::impersonate::Impersonation;
use super::step::{CLOUD_PLATFORM, SourceError, ask, endpoint, member, read_file};
use crate::fetch::{Endpoint, FetchRequest};
use crate::tls::Trust;

/// The grant type of RFC 8693.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The type of the requested token.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const STEP: &str = "the Security Token Service";

/// The members of a file that `gcloud iam workload-identity-pools create-cred-config` writes.
#[derive(Deserialize)]
pub struct Document {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: CredentialSource,
}

#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// A provider of a workload identity pool, and the service account that its subjects may impersonate.
pub struct Federation {
    provider: String,
    subject_token_type: String,
    subject_file: PathBuf,
    /// The member of a JSON file that holds the token; none: the file is the token.
    subject_member: Option<String>,
    sts: Endpoint,
    impersonation: Impersonation,
}

impl Document {
    pub(super) fn check(self, trust: &Trust) -> Result<Federation, String> {
        let url = self.service_account_impersonation_url.ok_or(
            "service_account_impersonation_url is absent: a federated identity has no identity tokens of its own; wanted that of a service \
             account with the role Cloud Run Invoker (gcloud ... create-cred-config --service-account=ADDRESS)",
        )?;
        let subject_file = self
            .credential_source
            .file
            .ok_or("credential_source: wanted a file with the subject's token (programs, URLs and AWS are not asked)")?;
        let subject_member = match self.credential_source.format {
            Some(Format { kind, subject_token_field_name }) if kind == "json" => {
                Some(subject_token_field_name.ok_or("credential_source.format: json wants a subject_token_field_name")?)
            }
            _ => None,
        };
        Ok(Federation {
            provider: self.audience,
            subject_token_type: self.subject_token_type,
            subject_file,
            subject_member,
            sts: endpoint("token_url", &self.token_url, trust)?,
            impersonation: Impersonation::of(&url, &[], trust)?,
        })
    }
}

impl Federation {
    /// An identity token for `audience`.
    pub async fn id_token(&self, audience: &str) -> Result<String, SourceError> {
        let subject = self.subject()?;
        let form = FetchRequest::form(&[
            ("grant_type", TOKEN_EXCHANGE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", &self.subject_token_type),
            ("subject_token", &subject),
            ("audience", &self.provider),
            ("scope", CLOUD_PLATFORM),
        ]);
        let access: String = member(STEP, "access_token", &ask(STEP, &self.sts, form).await?)?;
        self.impersonation.id_token(&access, audience).await
    }

    /// Reads the current token from the file: the kubelet writes a new one before the old one expires.
    fn subject(&self) -> Result<String, SourceError> {
        let malformed = |wrong: &str| SourceError::Malformed { path: self.subject_file.clone(), wrong: wrong.to_owned() };
        let bytes = read_file(&self.subject_file)?;
        let text = match &self.subject_member {
            None => String::from_utf8(bytes).map_err(|_| malformed("not text, wanted the subject's token"))?,
            Some(name) => serde_json::from_slice::<serde_json::Value>(&bytes)
                .ok()
                .and_then(|document| Some(document.get(name)?.as_str()?.to_owned()))
                .ok_or_else(|| malformed("not JSON with the member that subject_token_field_name names"))?,
        };
        let text = text.trim();
        if text.is_empty() { Err(malformed("empty, wanted the subject's token")) } else { Ok(text.to_owned()) }
    }
}
