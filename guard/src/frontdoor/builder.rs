//! Builds the configured front door: one [`FrontDoor`] for each worker, a shared source of trust (key set, single keys, secret, or auth
//! server), and one background task that refreshes it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderName;

use super::FrontDoor;
use super::forward_auth::ForwardAuth;
use super::forward_auth::auth_client::AuthClient;
use super::forward_auth::health::{CheckResult, Health};
use super::forward_auth::load::AuthLoad;
use super::forward_auth::password_cache::PasswordCache;
use super::profile::Profile;
use super::signed::{KeySource, Signed};
use super::unsigned::Unsigned;
use crate::config::door::{KeysAt, Signer};
use crate::config::{ForwardAuthConfig, FrontDoorConfig};
use crate::fetch::BadUrl;
use crate::jwks::{self, Document, Keys};
use crate::key::Key;
use crate::pem_keys::PemKeys;
use crate::random;
use crate::serve::Background;
use crate::serve::sockets::StartError;
use crate::telemetry::metrics::Metrics;
use crate::tls::Trust;
use crate::upstream::Target;

/// The time limit to open a connection to the auth server.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection to the auth server is kept. It is shorter than the limits of the servers.
pub const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// The reason why a front door cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL of the keys is not one that guard may fetch.
    #[error("GUARD_JWKS_URL: {0}")]
    KeyUrl(#[from] BadUrl),
    /// The host of the auth server is not valid as the name of a TLS server.
    #[error("GUARD_AUTH_URL: {0:?} is neither a host name nor an address")]
    Name(String),
    /// There are no random bytes for the key of the password cache.
    #[error(transparent)]
    Random(#[from] random::Unavailable),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::FrontDoor(error.into())
    }
}

/// Creates the front doors of all workers from their shared parts.
pub struct FrontDoorBuilder {
    /// The shared source of trust.
    pub trust_source: TrustSource,
    parts: Parts,
    document: Option<Document>,
    metrics: Arc<Metrics>,
}

enum Parts {
    Signed { profile: Arc<Profile>, keys: KeySource },
    ForwardAuth { config: Arc<ForwardAuthConfig>, target: Target, password_cache: Arc<PasswordCache>, load: Arc<AuthLoad> },
    Unsigned { header: HeaderName, peers: Vec<IpAddr> },
}

/// The source of trust of a front door, and its state for readiness and the status page.
#[derive(Clone)]
pub enum TrustSource {
    /// A key set. No request can be authenticated before it is loaded.
    KeySet(Arc<Keys>),
    /// Keys that are fetched when a token names one.
    SingleKeys(Arc<PemKeys>),
    /// The configuration alone.
    Configuration,
    /// An auth server.
    AuthServer(Arc<Health>),
}

impl TrustSource {
    /// The key set, if there is one.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        if let Self::KeySet(keys) = self { Some(keys) } else { None }
    }

    /// Waits until requests can be authenticated.
    pub async fn ready(&self) {
        match self {
            Self::KeySet(keys) => keys.ready().await,
            Self::AuthServer(health) => health.good().await,
            Self::SingleKeys(_) | Self::Configuration => {}
        }
    }

    /// Checks whether requests can be authenticated. The error says why not.
    pub fn check(&self) -> Result<(), Cow<'static, str>> {
        match self {
            Self::KeySet(keys) if keys.current().is_none() => {
                Err("no usable key set yet: is the front door's certs URL reachable from here?".into())
            }
            Self::AuthServer(health) if !health.was_good() => Err(match health.last() {
                Some(CheckResult::Failed(what)) => what.into(),
                _ => "the auth server has not answered yet".into(),
            }),
            _ => Ok(()),
        }
    }

    /// Describes the state for the status page; the first value is true if the state is good.
    pub fn describe(&self, ago: impl Fn(Duration) -> String) -> (bool, String) {
        match self {
            Self::KeySet(keys) => match keys.current() {
                Some(set) => {
                    (set.age() < jwks::REFRESH * 3, format!("{} keys, fetched {} ago", set.keys().len(), ago(set.age())))
                }
                None => (false, "no key set".to_owned()),
            },
            Self::SingleKeys(keys) => (true, format!("{} keys known", keys.count())),
            Self::Configuration => (true, "as configured".to_owned()),
            Self::AuthServer(health) => match health.last() {
                None => (false, "not checked yet".to_owned()),
                Some(CheckResult::Ok) => (true, "requires sign-in".to_owned()),
                Some(CheckResult::Warning(what) | CheckResult::Failed(what)) => (false, what),
            },
        }
    }
}

impl FrontDoorBuilder {
    /// Prepares the configured front door. Sends no request yet.
    pub fn new(config: &FrontDoorConfig, trust: &Trust, metrics: &Arc<Metrics>) -> Result<Self, OpenError> {
        let mut document = None;
        let (trust_source, parts) = match config {
            FrontDoorConfig::Signed(signed) => {
                if signed.signer == Signer::CloudflareAccess {
                    warn_of_malformed_tags(&signed.audiences);
                }
                let profile = Arc::new(Profile::of(signed));
                let (trust_source, keys) = match &signed.keys {
                    KeysAt::Jwks(uri) => {
                        document = Some(Document::at(uri.clone(), trust)?);
                        let keys = Arc::new(Keys::new(profile.rules.algorithms.clone(), metrics.clone()));
                        (TrustSource::KeySet(keys.clone()), KeySource::Jwks(keys))
                    }
                    KeysAt::PemPerKid(base) => {
                        let keys = Arc::new(PemKeys::new(base, trust.clone(), metrics.clone()));
                        (TrustSource::SingleKeys(keys.clone()), KeySource::Pem(keys))
                    }
                    KeysAt::Secret(secret) => {
                        (TrustSource::Configuration, KeySource::Secret(Arc::new(Key::shared_secret(&secret.0))))
                    }
                };
                (trust_source, Parts::Signed { profile, keys })
            }
            FrontDoorConfig::ForwardAuth(auth) => {
                metrics.register_auth_results();
                let config = Arc::new(auth.clone());
                let parts = Parts::ForwardAuth {
                    config,
                    target: target(auth, trust)?,
                    password_cache: Arc::new(PasswordCache::new()?),
                    load: Arc::default(),
                };
                (TrustSource::AuthServer(Arc::default()), parts)
            }
            FrontDoorConfig::UnsignedHeader { header, peers } => {
                (TrustSource::Configuration, Parts::Unsigned { header: header.clone(), peers: peers.clone() })
            }
        };
        Ok(Self { trust_source, parts, document, metrics: metrics.clone() })
    }

    /// Creates the front door of one worker.
    pub fn door(&self) -> FrontDoor {
        match &self.parts {
            Parts::Signed { profile, keys } => {
                FrontDoor::Signed(Signed::new(profile.clone(), keys.clone(), self.metrics.clone()))
            }
            Parts::ForwardAuth { config, target, password_cache, load } => {
                let client = Arc::new(AuthClient::new(config.clone(), target.clone(), self.metrics.clone()));
                FrontDoor::ForwardAuth(ForwardAuth::new(client, password_cache.clone(), load.clone(), self.metrics.clone()))
            }
            Parts::Unsigned { header, peers } => FrontDoor::Unsigned(Unsigned::new(header.clone(), peers.clone())),
        }
    }

    /// Returns the auth server, if there is one with its own path.
    pub fn auth_server(&self) -> Option<Target> {
        match &self.parts {
            Parts::ForwardAuth { config, target, .. } if config.own_path.is_some() => Some(target.clone()),
            _ => None,
        }
    }

    /// Returns the background task that refreshes the source of trust.
    pub fn refresh(self) -> Background {
        match (self.trust_source, self.parts, self.document) {
            (TrustSource::KeySet(keys), _, Some(document)) => Box::pin(async move { keys.keep_fresh(document).await }),
            (TrustSource::AuthServer(health), Parts::ForwardAuth { config, target, .. }, _) => {
                let client = AuthClient::new(config, target, self.metrics);
                Box::pin(async move { health.watch(client).await })
            }
            _ => Box::pin(std::future::pending()),
        }
    }
}

fn warn_of_malformed_tags(audiences: &[String]) {
    let is_tag = |audience: &&String| audience.len() == 64 && audience.bytes().all(|byte| byte.is_ascii_hexdigit());
    for audience in audiences.iter().filter(|audience| !is_tag(audience)) {
        tracing::warn!(
            length = audience.len(),
            "GUARD_ACCESS_AUD: Cloudflare's AUD tags are 64 hexadecimal digits: is it misspelt?"
        );
    }
}

fn target(auth: &ForwardAuthConfig, trust: &Trust) -> Result<Target, OpenError> {
    let authority = auth.server.authority.clone();
    let tls = if auth.server.https {
        Some(trust.with_server(&authority.host).map_err(|_| OpenError::Name(authority.host.clone()))?)
    } else {
        None
    };
    Ok(Target { authority, tls, connect_timeout: CONNECT_TIMEOUT, idle_limit: IDLE_LIMIT })
}
