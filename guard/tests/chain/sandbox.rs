//! Where a story runs: in a pod, with everything as shipped; or, without root, beside everything else on this machine, with a copy of
//! the file that names another origin.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::pod;

use crate::shipped;

/// A place.
pub(crate) enum Sandbox {
    /// A network and directories of its own.
    Pod,
    /// The machine's network, and this directory.
    Beside(PathBuf),
}

impl Sandbox {
    /// Moves the calling thread there.
    pub(crate) fn enter() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if pod::why_not().is_none() {
            pod::enter().expect("a pod: one could be made a moment ago");
            return Self::Pod;
        }
        let name = format!("guard-chain-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a new directory");
        Self::Beside(directory)
    }

    /// Where the guard listens: in a pod at its defaults, which are what is shipped.
    pub(crate) fn listen(&self, variables: &mut Vec<(&'static str, String)>) {
        if let Self::Pod = self {
            variables.retain(|(name, _)| !["GUARD_LISTEN", "GUARD_ADMIN_LISTEN"].contains(name));
        }
    }

    /// Puts the connector's files there. The token opens nothing.
    pub(crate) fn prepare(&self, guard: SocketAddr, authority: &str) {
        let (host, port) = shipped::origin();
        let mut config = shipped::config();
        match self {
            Self::Pod => {
                assert_eq!(guard.port(), port, "the port that config.yaml names");
                pod::file("/etc/hosts", &format!("127.0.0.1 localhost {host}\n")).expect("a file");
            }
            Self::Beside(_) => config = config.replace(&format!("{host}:{port}"), &guard.to_string()),
        }
        let token = format!(
            r#"{{"a":"{}","s":"{}","t":"6ff42ae2-765d-4adf-8112-31c55c1551ef"}}"#,
            "a".repeat(32),
            STANDARD.encode([7; 32])
        );
        for (name, content) in
            [(shipped::CONFIG, &*config), (shipped::TOKEN, &STANDARD.encode(token)), ("/etc/edge/authority.pem", authority)]
        {
            pod::file(self.path(name), content).expect("a file");
        }
    }

    /// Where a file of the pod is.
    pub(crate) fn path(&self, shipped: &str) -> PathBuf {
        match self {
            Self::Pod => shipped.into(),
            Self::Beside(directory) => directory.join(shipped.trim_start_matches('/')),
        }
    }

    /// Where the metrics of the connector of this number are: two share one pod here, which they never do in a cluster.
    pub(crate) fn metrics(&self, shipped: &str, number: u16) -> String {
        match self {
            Self::Pod if number == 0 => shipped.to_owned(),
            Self::Pod => format!("127.0.0.1:{}", 2000 + number),
            Self::Beside(_) => "127.0.0.1:0".to_owned(),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Self::Beside(directory) = self {
            drop(fs::remove_dir_all(directory));
        }
    }
}
