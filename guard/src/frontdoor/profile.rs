//! The profiles of the signers, as data: the header, the rules of the tokens, and the cookies of each.

use hyper::header::HeaderName;
use jsonwebtoken::Algorithm;

use crate::assertion::{Audience, LEEWAY_SECONDS, Naming, Rules};
use crate::config::door::{SignedConfig, Signer};

/// The form of one signer's assertions.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The header that holds the assertion.
    pub header: HeaderName,
    /// The rules that the assertion must satisfy.
    pub rules: Rules,
    /// The front door's cookies: whole names, or a prefix and `*`.
    pub cookies: Vec<String>,
}

/// Cloudflare One docs, "Authorization cookie".
const CLOUDFLARE_COOKIES: &[&str] = &["CF_Authorization", "CF_AppSession", "CF_Session", "CF_Device", "CF_Binding"];
const IAP_COOKIES: &[&str] = &["GCP_IAAP_AUTH_TOKEN_*", "__Host-GCP_IAP_AUTH_TOKEN_*", "GCP_IAP_UID", "GCP_IAP_XSRF_NONCE_*"];
const POMERIUM_COOKIES: &[&str] = &["_pomerium", "_pomerium_*"];
const ALB_COOKIES: &[&str] = &["AWSELBAuthSessionCookie-*"];
const AUTHENTIK_COOKIES: &[&str] = &["authentik_proxy_*"];

/// The cookies of every signer, by name or by a prefix and `*`.
pub(super) const COOKIES: [&[&str]; 5] = [CLOUDFLARE_COOKIES, IAP_COOKIES, POMERIUM_COOKIES, ALB_COOKIES, AUTHENTIK_COOKIES];

impl Profile {
    /// Returns the profile of a configured signer.
    pub fn of(config: &SignedConfig) -> Self {
        use Algorithm::{ES256, HS256, RS256};
        let SignedConfig { signer, issuers, audiences, unverified_email, .. } = config;
        let subject = |email: &str| Naming::Subject { email: email.to_owned() };
        let rules = |algorithms: Vec<Algorithm>, naming: Naming| Rules {
            algorithms,
            issuers: issuers.clone(),
            audience: Audience::Claim(audiences.clone()),
            names_key: true,
            naming,
            unverified_email: unverified_email.clone(),
            max_life: None,
        };
        let (header, rules, cookies): (_, _, &[&str]) = match signer {
            // The header, never the cookie, "since the cookie is not guaranteed to be passed" (Cloudflare One docs, "Validate JWTs"); a
            // cookie would also let another site's page send it (CSRF). The cookies: Cloudflare One docs, "Authorization cookie".
            Signer::CloudflareAccess => (
                HeaderName::from_static("cf-access-jwt-assertion"),
                rules(vec![RS256], Naming::CloudflareAccess),
                CLOUDFLARE_COOKIES,
            ),
            // Google Cloud, "Securing your app with signed headers": `exp` is ten minutes and twice the skew after `iat` at most.
            Signer::GoogleIap => (
                HeaderName::from_static("x-goog-iap-jwt-assertion"),
                Rules { max_life: Some(600 + 2 * 30 + LEEWAY_SECONDS), ..rules(vec![ES256], subject("email")) },
                IAP_COOKIES,
            ),
            // Pomerium, "JWT verification".
            Signer::Pomerium => {
                (HeaderName::from_static("x-pomerium-jwt-assertion"), rules(vec![ES256], subject("email")), POMERIUM_COOKIES)
            }
            Signer::AwsAlb { arn, client } => (
                HeaderName::from_static("x-amzn-oidc-data"),
                Rules {
                    audience: Audience::LoadBalancer { arn: arn.clone(), client: client.clone() },
                    ..rules(vec![ES256], subject("email"))
                },
                ALB_COOKIES,
            ),
            // Authentik strips the signing key of every proxy provider, so its key set is empty and the client secret signs
            // (goauthentik/authentik #3909, #6008).
            Signer::AuthentikProxy => (
                HeaderName::from_static("x-authentik-jwt"),
                Rules { names_key: false, ..rules(vec![HS256], subject("email")) },
                AUTHENTIK_COOKIES,
            ),
            Signer::Other { header, algorithms, email } => (header.clone(), rules(algorithms.clone(), subject(email)), &[]),
        };
        Self { header, rules, cookies: cookies.iter().map(|name| (*name).to_owned()).collect() }
    }
}
