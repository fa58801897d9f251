//! What the gate says: one line of JSON on stderr, and three lines for the kubelet, which `kubectl describe pod` shows.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use super::config::Gate;
use super::mountinfo::Mount;
use super::{Code, Failure};

/// Where the kubelet reads a container's last words.
const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";

/// What one proof came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What the path is on.
    pub mount: Option<Mount>,
    /// What is wrong; none = proved.
    pub failure: Option<Failure>,
}

impl Verdict {
    /// The code of the failure.
    pub fn code(&self) -> Option<Code> {
        self.failure.as_ref().map(|failure| failure.code)
    }
}

/// Speaks for one run.
pub struct Reporter {
    path: String,
    wanted: Value,
    termination_log: Option<String>,
    began: Instant,
    step: String,
}

impl Reporter {
    /// A reporter for this gate.
    pub fn new(gate: &Gate) -> Self {
        Self {
            path: gate.path.clone(),
            wanted: json!({"fstypes": gate.fstypes, "sources": gate.sources, "id": gate.id}),
            termination_log: gate.termination_log.clone(),
            began: Instant::now(),
            step: "mountinfo".to_owned(),
        }
    }

    /// Leaves a trace before a step that could hang.
    pub fn trace(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.last_words(&format!("guard nas: checking {}, step={step}; where this stays, the NAS hangs\n", self.path));
    }

    /// Says what came of a proof.
    pub fn say(&self, verdict: &Verdict) {
        let facts = self.facts(verdict);
        eprintln!("{facts}");
        match &verdict.failure {
            None => self.last_words(""),
            Some(failure) => {
                let Failure { code, found, fix } = failure;
                self.last_words(&format!("{} ({}): {found}\nfix: {fix}\nGUARD-JSON {facts}\n", code.label(), code.exit()));
            }
        }
    }

    /// Says it, and gives the exit code.
    pub fn exit(&self, verdict: &Verdict) -> ExitCode {
        self.say(verdict);
        verdict.code().map_or(ExitCode::SUCCESS, |code| ExitCode::from(code.exit()))
    }

    fn facts(&self, verdict: &Verdict) -> Value {
        let mount = verdict.mount.as_ref();
        let (code, found, fix) = match &verdict.failure {
            Some(Failure { code, found, fix }) => (*code, found.as_str(), fix.as_str()),
            None => {
                return json!({
                    "event": "nas_gate", "level": "info", "code": "NAS_OK", "exit": 0, "path": self.path,
                    "fstype": mount.map(|mount| &mount.fstype), "source": mount.map(|mount| &mount.source), "elapsed_ms": self.elapsed_ms(),
                });
            }
        };
        json!({
            "event": "nas_gate", "level": "error", "code": code.label(), "exit": code.exit(), "path": self.path,
            "message": found, "fix": fix, "step": self.step, "expected": self.wanted, "elapsed_ms": self.elapsed_ms(),
            "fstype": mount.map(|mount| &mount.fstype), "source": mount.map(|mount| &mount.source),
            "root": mount.map(|mount| &mount.root), "device": mount.map(|mount| &mount.device),
            "hint": format!("troubleshooting.md#{}", code.anchor()),
        })
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Only where the kubelet has made the file, or the operator has named one: nothing is made in `/dev` by guess.
    fn last_words(&self, text: &str) {
        let named = self.termination_log.as_deref();
        let file =
            OpenOptions::new().write(true).truncate(true).create(named.is_some()).open(named.unwrap_or(DEFAULT_TERMINATION_LOG));
        if let Ok(mut file) = file {
            // Without it the line on stderr still says everything.
            let _ = file.write_all(text.as_bytes());
        }
    }
}
