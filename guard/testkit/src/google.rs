//! Google and Cloud Run on loopback, and a guard that attaches identity tokens, as `guard idtoken` starts it.
//!
//! The demo and the tests share the imitations in [`identity`] and [`cloud_run`]. Google's own client is run against them
//! (`make test-google-auth`).

pub mod cloud_run;
pub mod identity;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use guard::idtoken::config::IdtokenArgs;
use guard::idtoken::start::{EgressProxy, start};
use serde_json::Value;

pub use self::cloud_run::{CloudRun, Cold, Reached, SIGNATURE_REMOVED};
pub use self::identity::{ACCOUNT, Google, Seen};
use crate::RawClient;
use crate::deadline::{CONDITION, within};
use crate::environment::process_args;
use crate::raw::Response;

/// Where the guard gets its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A service account's key file.
    KeyFile,
    /// The metadata server.
    Metadata,
    /// A pod's token, exchanged.
    Federation,
    /// A gcloud login that acts for the account.
    Login,
    /// A key that acts for the account.
    ActingKey,
}

impl Via {
    /// Every source.
    pub const ALL: [Self; 5] = [Self::KeyFile, Self::Metadata, Self::Federation, Self::Login, Self::ActingKey];
}

/// What stands in one test.
pub struct CloudRunSetup {
    /// Who gives tokens.
    pub google: Google,
    /// Who wants one.
    pub cloud_run: CloudRun,
    /// The guard.
    pub egress_proxy: EgressProxy,
    /// Where the credentials are.
    pub folder: Folder,
}

impl CloudRunSetup {
    /// By key file, with its defaults, and ready.
    pub async fn start() -> Self {
        Self::with(Via::KeyFile, |_args| {}).await
    }

    /// The same by `via`, with the guard's arguments changed first.
    pub async fn with(via: Via, change: impl FnOnce(&mut IdtokenArgs)) -> Self {
        let (google, cloud_run) = google();
        let folder = Folder::new();
        let mut args = args(&google, &cloud_run, &folder, via);
        change(&mut args);
        let abroad = Self { google, cloud_run, egress_proxy: open(&args), folder };
        for tokens in &abroad.egress_proxy.tokens {
            within(CONDITION, "the first attempt to fetch a token", tokens.attempted()).await;
        }
        abroad
    }

    /// A raw connection to the first backend's listener.
    pub async fn connect(&self) -> RawClient {
        RawClient::connect(self.egress_proxy.addresses[0]).await
    }

    /// Sends these bytes on a connection of their own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect().await;
        client.send(request).await;
        client.read_response().await
    }

    /// The latest request that reached the container; panics when none did.
    pub fn reached(&self) -> Reached {
        self.cloud_run.last().expect("a request reached the container")
    }
}

impl Drop for CloudRunSetup {
    fn drop(&mut self) {
        self.egress_proxy.stop();
    }
}

/// Google, and a service that trusts it.
pub fn google() -> (Google, CloudRun) {
    let google = Google::start().expect("a loopback port can be bound");
    let cloud_run = CloudRun::start(&google).expect("a loopback port can be bound");
    (google, cloud_run)
}

/// Arguments for a guard before `cloud_run`: ports chosen by the system, two workers, a short grace.
pub fn args(google: &Google, cloud_run: &CloudRun, folder: &Folder, via: Via) -> IdtokenArgs {
    let mut args = IdtokenArgs {
        backend: vec![format!("127.0.0.1:0={}", cloud_run.url())],
        gce_metadata_host: Some(google.host()),
        process: process_args(),
        ..IdtokenArgs::default()
    };
    args.google_application_credentials = match via {
        Via::Metadata => None,
        Via::KeyFile => Some(folder.json("key.json", &google.key_file())),
        Via::Federation => {
            let subject = folder.write("pod-token", &google.pod_token(3600));
            Some(folder.json("federation.json", &google.federation_file(&subject)))
        }
        Via::Login => Some(folder.json("login.json", &google.impersonation_file(&google.login()))),
        Via::ActingKey => Some(folder.json("acting.json", &google.impersonation_file(&google.key_file()))),
    };
    args
}

/// A guard with these arguments, ready or not.
pub fn open(args: &IdtokenArgs) -> EgressProxy {
    start(&args.check().expect("good arguments")).expect("a guard that starts")
}

/// A folder of one test; it goes with the value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("guard-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Writes a file whole, as the kubelet does: readers see the old one or the new one. Returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let (path, fresh) = (self.0.join(name), self.0.join(format!(".{name}.new")));
        std::fs::write(&fresh, text).expect("a file can be written");
        std::fs::rename(&fresh, &path).expect("a file can be renamed");
        path.display().to_string()
    }

    /// The same with JSON.
    pub fn json(&self, name: &str, value: &Value) -> String {
        self.write(name, &value.to_string())
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
