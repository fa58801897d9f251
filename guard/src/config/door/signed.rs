//! The variables of front doors that sign a header: the signer, the issuers, the audiences, and the source of the keys.

use std::fmt;

use clap::Args;
use hyper::Uri;
use hyper::header::HeaderName;
use jsonwebtoken::Algorithm;

use crate::config::problems::{Reader, given};
use crate::config::read;

/// The URL of Google's keys for IAP (Google Cloud, "Securing your app with signed headers").
const IAP_KEYS: &str = "https://www.gstatic.com/iap/verify/public_key-jwk";
/// The minimum size of a secret for HS256, in bytes (RFC 7518, 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// The flags and variables of signed headers, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct AssertionArgs {
    /// The accepted audiences of an assertion, comma-separated
    #[arg(long, env = "GUARD_ASSERTION_AUDIENCE", value_name = "LIST", hide_env_values = true)]
    pub assertion_audience: Option<String>,
    /// The accepted issuers of an assertion, comma-separated
    #[arg(long, env = "GUARD_ASSERTION_ISSUER", value_name = "LIST", hide_env_values = true)]
    pub assertion_issuer: Option<String>,
    /// The name of the header, for signed-header and unsigned-header
    #[arg(long, env = "GUARD_ASSERTION_HEADER", value_name = "NAME", hide_env_values = true)]
    pub assertion_header: Option<String>,
    /// The algorithms of signed-header, comma-separated: RS, PS or ES with 256 to 512, or `EdDSA`
    #[arg(long, env = "GUARD_ASSERTION_ALGORITHMS", value_name = "LIST", hide_env_values = true)]
    pub assertion_algorithms: Option<String>,
    /// The claim of signed-header that holds the email address [default: email]
    #[arg(long, env = "GUARD_ASSERTION_EMAIL_CLAIM", value_name = "CLAIM", hide_env_values = true)]
    pub assertion_email_claim: Option<String>,
    /// Issuers whose addresses count although they say `email_verified: false`, comma-separated [default: none]
    #[arg(long, env = "GUARD_ASSERTION_UNVERIFIED_EMAIL", value_name = "ISSUERS", hide_env_values = true)]
    pub assertion_unverified_email: Option<String>,
    /// The file with the provider's client secret (required for authentik-proxy)
    #[arg(long, env = "GUARD_ASSERTION_SECRET_FILE", value_name = "FILE", hide_env_values = true)]
    pub assertion_secret_file: Option<String>,
    /// The load balancer's ARN (required for aws-alb)
    #[arg(long, env = "GUARD_ALB_ARN", value_name = "ARN", hide_env_values = true)]
    pub alb_arn: Option<String>,
    /// The load balancer's client id at the identity provider (required for aws-alb)
    #[arg(long, env = "GUARD_ALB_CLIENT_ID", value_name = "ID", hide_env_values = true)]
    pub alb_client_id: Option<String>,
}

/// The checked configuration of a front door that signs a header.
#[derive(Clone, Debug)]
pub struct SignedConfig {
    /// The signer, which determines the form of the tokens.
    pub signer: Signer,
    /// The accepted values of `iss`; none for any issuer.
    pub issuers: Option<Vec<String>>,
    /// The accepted values of `aud`.
    pub audiences: Vec<String>,
    /// The source of the verification keys.
    pub keys: KeysAt,
    /// The issuers whose `email_verified: false` is ignored.
    pub unverified_email: Vec<String>,
}

/// The product that signs the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// Cloudflare Access.
    CloudflareAccess,
    /// Google's Identity-Aware Proxy.
    GoogleIap,
    /// Pomerium.
    Pomerium,
    /// An application load balancer of AWS.
    AwsAlb {
        /// The ARN of the load balancer.
        arn: String,
        /// The client id of the load balancer at the identity provider.
        client: String,
    },
    /// Authentik's outpost in proxy mode.
    AuthentikProxy,
    /// Any other signer.
    Other {
        /// The header that holds the token.
        header: HeaderName,
        /// The accepted algorithms.
        algorithms: Vec<Algorithm>,
        /// The claim that holds the email address.
        email: String,
    },
}

/// The source of the keys of a front door.
#[derive(Clone, Debug)]
pub enum KeysAt {
    /// A JWK set at this URL.
    Jwks(Uri),
    /// One PEM file for each key, at this URL followed by `/KID`.
    PemPerKid(String),
    /// A secret that guard shares with the signer.
    Secret(SharedSecret),
}

/// A secret. Its `Debug` output shows only its size.
#[derive(Clone)]
pub struct SharedSecret(pub Vec<u8>);

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret({} bytes)", self.0.len())
    }
}

impl SignedConfig {
    /// Describes the front door for the log and the status page.
    pub(super) fn description(&self) -> String {
        let issuers = || self.issuers.as_ref().map_or_else(|| "any issuer".to_owned(), |issuers| issuers.join(" or "));
        match &self.signer {
            Signer::CloudflareAccess => issuers(),
            Signer::GoogleIap => "Google IAP".to_owned(),
            Signer::Pomerium => format!("Pomerium, {}", issuers()),
            Signer::AwsAlb { arn, .. } => arn.clone(),
            Signer::AuthentikProxy => format!("Authentik, {}", issuers()),
            Signer::Other { header, .. } => format!("{header} of {}", issuers()),
        }
    }
}

/// Reads the variables of Cloudflare Access. The issuer and the key set follow from the team.
pub(super) fn cloudflare_access(
    r: &mut Reader,
    team: Option<&str>,
    aud: Option<&str>,
    jwks: Option<Uri>,
) -> Option<SignedConfig> {
    let wanted = "the Access team name, such as family or family.cloudflareaccess.com";
    let team = r.required("GUARD_ACCESS_TEAM", team, wanted, read::team);
    let wanted = "the AUD tag of the Access application (Zero Trust > Access controls > Applications > Overview)";
    let audiences = r.required("GUARD_ACCESS_AUD", aud, wanted, read::names);
    let (issuer, audiences) = (format!("https://{}", team?), audiences?);
    let jwks = jwks.or_else(|| format!("{issuer}/cdn-cgi/access/certs").parse().ok())?;
    Some(SignedConfig {
        signer: Signer::CloudflareAccess,
        issuers: Some(vec![issuer]),
        audiences,
        keys: KeysAt::Jwks(jwks),
        unverified_email: Vec::new(),
    })
}

impl AssertionArgs {
    pub(super) fn google_iap(&self, r: &mut Reader, jwks: Option<Uri>) -> Option<SignedConfig> {
        let wanted = "the audience of IAP's tokens: /projects/NUMBER/global/backendServices/ID, /projects/NUMBER/apps/ID or \
                      /projects/NUMBER/locations/REGION/services/NAME";
        let audiences = r.required("GUARD_ASSERTION_AUDIENCE", given(self.assertion_audience.as_deref()), wanted, |text| {
            let audiences = read::names(text)?;
            if audiences.iter().all(|audience| audience.starts_with("/projects/")) {
                Ok(audiences)
            } else {
                Err(wanted.to_owned())
            }
        });
        let keys = KeysAt::Jwks(jwks.unwrap_or_else(|| Uri::from_static(IAP_KEYS)));
        let issuers = Some(vec!["https://cloud.google.com/iap".to_owned()]);
        Some(SignedConfig { signer: Signer::GoogleIap, issuers, audiences: audiences?, keys, unverified_email: Vec::new() })
    }

    pub(super) fn pomerium(&self, r: &mut Reader, jwks: Option<Uri>) -> Option<SignedConfig> {
        let audiences = self.audiences(r, "the host name of the route, such as photos.example.com");
        let jwks = require_jwks(r, jwks, "https://HOST_OF_THE_ROUTE/.well-known/pomerium/jwks.json");
        let issuers = self.issuers(r);
        let audiences = audiences?;
        // The default issuer is the host of the route, or its URL if the route has `jwt_issuer_format: uri`.
        let own = || audiences.iter().flat_map(|host| [host.clone(), format!("https://{host}/")]).collect();
        let issuers = Some(issuers.unwrap_or_else(own));
        Some(SignedConfig {
            signer: Signer::Pomerium,
            issuers,
            audiences,
            keys: KeysAt::Jwks(jwks?),
            unverified_email: Vec::new(),
        })
    }

    pub(super) fn aws_alb(&self, r: &mut Reader, keys: Option<Uri>) -> Option<SignedConfig> {
        let wanted = "arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/app/NAME/ID";
        let arn = r.required("GUARD_ALB_ARN", given(self.alb_arn.as_deref()), wanted, |text| {
            let parts: Vec<_> = text.splitn(6, ':').collect();
            match parts[..] {
                ["arn", partition, "elasticloadbalancing", region, _, resource]
                    if resource.starts_with("loadbalancer/app/") && is_label(region) && partition.starts_with("aws") =>
                {
                    Ok((text.to_owned(), partition.to_owned(), region.to_owned()))
                }
                _ => Err(wanted.to_owned()),
            }
        });
        let wanted = "the client id of the load balancer at the identity provider";
        let client = r.required("GUARD_ALB_CLIENT_ID", given(self.alb_client_id.as_deref()), wanted, |text| Ok(text.to_owned()));
        let issuers = self.issuers(r);
        let (arn, partition, region) = arn?;
        let keys = match keys {
            Some(keys) => keys.to_string(),
            None if partition == "aws" => format!("https://public-keys.auth.elb.{region}.amazonaws.com"),
            None => {
                r.problem(
                    "GUARD_JWKS_URL",
                    None,
                    format!("the URL of the keys of partition {partition} (see the AWS documentation)"),
                );
                return None;
            }
        };
        let signer = Signer::AwsAlb { arn, client: client? };
        Some(SignedConfig { signer, issuers, audiences: Vec::new(), keys: KeysAt::PemPerKid(keys), unverified_email: Vec::new() })
    }

    pub(super) fn authentik_proxy(&self, r: &mut Reader) -> Option<SignedConfig> {
        let wanted = "the file with the client secret of the proxy provider";
        let secret = r.required("GUARD_ASSERTION_SECRET_FILE", given(self.assertion_secret_file.as_deref()), wanted, secret);
        let wanted = "the provider's issuer: https://AUTHENTIK/application/o/SLUG/";
        let issuers = r.required("GUARD_ASSERTION_ISSUER", given(self.assertion_issuer.as_deref()), wanted, read::names);
        let audiences = self.audiences(r, "the client id of the proxy provider");
        let (secret, issuers, audiences) = (secret?, issuers?, audiences?);
        Some(SignedConfig {
            signer: Signer::AuthentikProxy,
            issuers: Some(issuers),
            audiences,
            keys: KeysAt::Secret(secret),
            unverified_email: Vec::new(),
        })
    }

    pub(super) fn signed_header(&self, r: &mut Reader, jwks: Option<Uri>) -> Option<SignedConfig> {
        let wanted = "the header that holds the signed token";
        let header = r.required("GUARD_ASSERTION_HEADER", given(self.assertion_header.as_deref()), wanted, read::header);
        let wanted = "the signer's algorithms, such as ES256";
        let algorithms =
            r.required("GUARD_ASSERTION_ALGORITHMS", given(self.assertion_algorithms.as_deref()), wanted, read::algorithms);
        let wanted = "the issuer of the signer's tokens (iss)";
        let issuers = r.required("GUARD_ASSERTION_ISSUER", given(self.assertion_issuer.as_deref()), wanted, read::names);
        let audiences = self.audiences(r, "the audience of the signer's tokens for this application (aud)");
        let jwks = require_jwks(r, jwks, "the URL of the signer's key set");
        let email = given(self.assertion_email_claim.as_deref()).unwrap_or("email").to_owned();
        let signer = Signer::Other { header: header?, algorithms: algorithms?, email };
        Some(SignedConfig {
            signer,
            issuers: Some(issuers?),
            audiences: audiences?,
            keys: KeysAt::Jwks(jwks?),
            unverified_email: Vec::new(),
        })
    }

    fn audiences(&self, r: &mut Reader, wanted: &str) -> Option<Vec<String>> {
        r.required("GUARD_ASSERTION_AUDIENCE", given(self.assertion_audience.as_deref()), wanted, read::names)
    }

    fn issuers(&self, r: &mut Reader) -> Option<Vec<String>> {
        r.value("GUARD_ASSERTION_ISSUER", given(self.assertion_issuer.as_deref()), None, |text| read::names(text).map(Some))
    }
}

fn require_jwks(r: &mut Reader, jwks: Option<Uri>, wanted: &str) -> Option<Uri> {
    if jwks.is_none() && !r.has("GUARD_JWKS_URL") {
        r.problem("GUARD_JWKS_URL", None, wanted);
    }
    jwks
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Reads a secret from a file, without the newline at its end. An error shows only the size of the secret.
fn secret(path: &str) -> Result<SharedSecret, String> {
    let text = std::fs::read(path).map_err(|error| format!("a readable file ({error})"))?;
    let secret = text.trim_ascii_end();
    if secret.len() < MIN_SECRET_BYTES {
        return Err(format!("a file with a secret of at least {MIN_SECRET_BYTES} bytes; this one has {}", secret.len()));
    }
    Ok(SharedSecret(secret.to_vec()))
}
