//! A connector: the command line that we ship enters, with what a stand-in edge needs; out come its process and its words.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use testkit::Edge;

use crate::sandbox::Sandbox;
use crate::shipped;
use testkit::process::{Ended, Process};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// cloudflared.
    Real,
    /// The stand-in of the testkit.
    StandIn,
}

impl Which {
    /// Why stories with it cannot run here, in one line; `None` where they can.
    pub(crate) fn why_not(self) -> Option<String> {
        match self {
            Self::Real if real().is_none() => Some("no cloudflared on PATH, and CLOUDFLARED_BIN is not set".to_owned()),
            Self::StandIn if on_path("go").is_none() => Some("no Go to build the stand-in connector with".to_owned()),
            _ => None,
        }
    }

    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Real => real().expect("stories are skipped without it"),
            Self::StandIn => stand_in(),
        }
    }
}

fn real() -> Option<PathBuf> {
    let Some(named) = std::env::var_os("CLOUDFLARED_BIN").map(PathBuf::from) else { return on_path("cloudflared") };
    assert!(named.is_file(), "CLOUDFLARED_BIN: want a file, found {}", named.display());
    Some(named)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// Built once a run; Go's cache makes every build but the first a matter of moments.
fn stand_in() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        let program = shipped::scratch("connector");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testkit/connector");
        let built =
            Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).output().expect("go runs");
        assert!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
        program
    });
    program.clone()
}

/// A running connector. It is killed when it is dropped.
pub(crate) struct Connector {
    pub(crate) process: Process,
}

impl Connector {
    /// Starts it as the pod does: the image's entry point, then the container's `args`. Beside them only what names the edge.
    pub(crate) fn start(which: Which, site: &Sandbox, edge: &Edge, number: u16) -> Self {
        let mut command = Command::new(which.program());
        command.env_clear().arg("--no-autoupdate");
        for arg in shipped::args() {
            if arg == "run" {
                command.args(["--protocol=http2", "--no-prechecks"]).arg(format!("--edge={}", edge.address()));
                command.arg(format!("--cacert={}", site.path("/etc/edge/authority.pem").display()));
            }
            match arg.split_once('=') {
                Some((flag @ ("--config" | "--token-file"), path)) => {
                    command.arg(format!("{flag}={}", site.path(path).display()));
                }
                Some((flag @ "--metrics", address)) => {
                    command.arg(format!("{flag}={}", site.metrics(address, number)));
                }
                _ => {
                    command.arg(arg);
                }
            }
        }
        Self { process: Process::spawn(command) }
    }

    /// Waits for its end; panics when it does not end in order.
    pub(crate) async fn end(self) -> Ended {
        let ended = self.process.end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }
}
