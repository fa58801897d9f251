//! Google on loopback, as far as identity tokens go: the metadata server, the token endpoint, the Security Token Service and the IAM
//! credentials API on one port, and the key that their tokens are signed with.
//!
//! Strict where the real ones are: an assertion, a subject's token and a bearer are verified, not believed. It counts what it answered,
//! and can be down, slow to change its mind, or without an IAM binding. `guard-demo idtoken` and the tests share it.

mod answers;
mod tokens;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub(crate) use self::tokens::verified;
use crate::signer::KeyPair;

/// The service account that may invoke the backend.
pub const ACCOUNT: &str = "immich-ml@family-photos.example";
/// The workload identity provider, as the token exchange names it.
pub const PROVIDER: &str = "//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/home/providers/k3s";
/// The issuer of the cluster's own tokens: a name, not a place.
pub const CLUSTER: &str = "https://kubernetes.home.example";
/// Whom the pod's token is about.
pub const SUBJECT: &str = "system:serviceaccount:immich:cloud-run-ml";
/// How long an identity token is good, in seconds.
pub const LIFETIME_SECONDS: u64 = 3600;

/// A running Google. It stops when it is dropped.
pub struct Google {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// What was answered well so far, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Identity tokens of the metadata server.
    pub metadata: u64,
    /// Identity tokens for a key's assertion.
    pub assertions: u64,
    /// Access tokens for a key or a login.
    pub access: u64,
    /// Access tokens for another issuer's token.
    pub exchanges: u64,
    /// Identity tokens of `generateIdToken`.
    pub generated: u64,
    /// Everything that was refused.
    pub refused: u64,
}

struct Shared {
    /// Signs identity tokens.
    authority: KeyPair,
    /// Keys of the service account, by `kid`.
    keys: Mutex<HashMap<String, Value>>,
    /// The cluster's key.
    cluster: Mutex<Arc<KeyPair>>,
    /// Access tokens that were given out.
    access: Mutex<Vec<String>>,
    /// What the metadata server keeps, by audience.
    kept: Mutex<HashMap<String, (String, u64)>>,
    /// Whether the subject may act for the account.
    bound: AtomicBool,
    down: AtomicBool,
    lifetime: AtomicU64,
    held: watch::Sender<bool>,
    seen: watch::Sender<Seen>,
}

impl Google {
    /// Serves on a free port.
    pub fn start() -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(crate::server::loopback()?)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            authority: KeyPair::generate(),
            keys: Mutex::default(),
            cluster: Mutex::new(Arc::new(KeyPair::generate())),
            access: Mutex::default(),
            kept: Mutex::default(),
            bound: AtomicBool::new(true),
            down: AtomicBool::new(false),
            lifetime: AtomicU64::new(LIFETIME_SECONDS),
            held: watch::Sender::new(false),
            seen: watch::Sender::default(),
        });
        let state = shared.clone();
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                tokio::spawn(async move { drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await) });
            }
        };
        Ok(Self { address, shared, task: tokio::spawn(accept).abort_handle() })
    }

    /// What `GCE_METADATA_HOST` says.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The key set that identity tokens verify with.
    pub fn key_set(&self) -> Value {
        json!({"keys": [self.shared.authority.jwk()]})
    }

    /// An identity token that nobody has asked for: to see what a backend says to it.
    pub fn mint(&self, claims: &Value) -> String {
        self.shared.authority.mint(claims)
    }

    /// The key file of a new key of [`ACCOUNT`]; the old ones stay good until [`Google::revoke_keys`].
    pub fn key_file(&self) -> Value {
        let signer = KeyPair::generate();
        lock(&self.shared.keys).insert(signer.kid().to_owned(), signer.jwk());
        json!({
            "type": "service_account", "project_id": "family-photos", "private_key_id": signer.kid(), "private_key": signer.private_pem(),
            "client_email": ACCOUNT, "client_id": "100000000000000000001", "token_uri": self.url("/token"),
        })
    }

    /// Forgets every key so far, as deleting them does.
    pub fn revoke_keys(&self) {
        lock(&self.shared.keys).clear();
    }

    /// The credential file of a workload whose own token is in the file at `subject`.
    pub fn federation_file(&self, subject: &str) -> Value {
        json!({
            "type": "external_account", "audience": PROVIDER, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": self.url("/v1/token"), "service_account_impersonation_url": self.impersonation_url(),
            "credential_source": {"file": subject, "format": {"type": "text"}},
        })
    }

    /// The credential file of somebody who acts for [`ACCOUNT`]; `source` is a key file, or [`Google::login`].
    pub fn impersonation_file(&self, source: &Value) -> Value {
        json!({
            "type": "impersonated_service_account", "service_account_impersonation_url": self.impersonation_url(),
            "source_credentials": source, "delegates": [],
        })
    }

    /// A gcloud login.
    pub fn login(&self) -> Value {
        json!({
            "type": "authorized_user", "client_id": "gcloud.apps.example", "client_secret": answers::CLIENT_SECRET,
            "refresh_token": answers::REFRESH_TOKEN, "token_uri": self.url("/token"),
        })
    }

    /// The token that the cluster projects into the pod, good for so many seconds.
    pub fn pod_token(&self, seconds: u64) -> String {
        let now = crate::issuer::unix_now();
        let claims = json!({
            "iss": CLUSTER, "sub": SUBJECT, "aud": [format!("https:{PROVIDER}")], "iat": now, "nbf": now, "exp": now + seconds,
        });
        lock(&self.shared.cluster).mint(&claims)
    }

    /// Gives the cluster another key; the provider learns it at once.
    pub fn rotate_cluster(&self) {
        *lock(&self.shared.cluster) = Arc::new(KeyPair::generate());
    }

    /// Gives or takes the role with which the subject acts for the account.
    pub fn bind(&self, bound: bool) {
        self.shared.bound.store(bound, Ordering::SeqCst);
    }

    /// Answers 503 from now on, or no longer.
    pub fn switch_off(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// Lets everybody wait, or no longer.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Gives tokens that are good for so many seconds.
    pub fn live(&self, seconds: u64) {
        self.shared.lifetime.store(seconds, Ordering::SeqCst);
    }

    /// What it answered so far.
    pub fn seen(&self) -> Seen {
        *self.shared.seen.borrow()
    }

    /// Waits until it has answered like that.
    pub async fn wait_for(&self, condition: impl FnMut(&Seen) -> bool) {
        // The sender lives as long as this value.
        let _ = self.shared.seen.subscribe().wait_for(condition).await;
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn impersonation_url(&self) -> String {
        self.url(&format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"))
    }
}

impl Drop for Google {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
