//! The report of a check: one line of JSON on stderr, and the termination message, three lines that `kubectl describe pod` shows.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use super::config::NasConfig;
use super::failure::{Code, Failure};
use super::mountinfo::Mount;

/// The file from which the kubelet reads a container's termination message.
const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";

/// The result of one check.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// The mount that the path is on.
    pub mount: Option<Mount>,
    /// What is wrong; none = the check passed.
    pub failure: Option<Failure>,
}

impl CheckResult {
    /// The code of the failure.
    pub fn code(&self) -> Option<Code> {
        self.failure.as_ref().map(|failure| failure.code)
    }
}

/// Reports the checks of one run.
pub struct Reporter {
    path: String,
    wanted: Value,
    termination_log: Option<String>,
    began: Instant,
    step: String,
}

impl Reporter {
    /// A reporter for this configuration.
    pub fn new(config: &NasConfig) -> Self {
        Self {
            path: config.path.clone(),
            wanted: json!({"fstypes": config.fstypes, "sources": config.sources, "id": config.id}),
            termination_log: config.termination_log.clone(),
            began: Instant::now(),
            step: "mountinfo".to_owned(),
        }
    }

    /// Writes the name of a step that could hang into the termination message, before the step begins.
    pub fn trace(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.write_termination_message(&format!(
            "guard nas: checking {}, step={step}; where this stays, the NAS hangs\n",
            self.path
        ));
    }

    /// Reports a result.
    pub fn report(&self, result: &CheckResult) {
        let facts = self.facts(result);
        eprintln!("{facts}");
        match &result.failure {
            None => self.write_termination_message(""),
            Some(failure) => {
                let Failure { code, found, fix } = failure;
                self.write_termination_message(&format!(
                    "{} ({}): {found}\nfix: {fix}\nGUARD-JSON {facts}\n",
                    code.label(),
                    code.exit()
                ));
            }
        }
    }

    /// Reports a result and returns the exit code.
    pub fn exit(&self, result: &CheckResult) -> ExitCode {
        self.report(result);
        result.code().map_or(ExitCode::SUCCESS, |code| ExitCode::from(code.exit()))
    }

    fn facts(&self, result: &CheckResult) -> Value {
        let mount = result.mount.as_ref();
        let (code, found, fix) = match &result.failure {
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

    /// Writes only where the kubelet has made the file, or the operator has named one: guard creates no file in `/dev` on its own.
    fn write_termination_message(&self, text: &str) {
        let named = self.termination_log.as_deref();
        let file =
            OpenOptions::new().write(true).truncate(true).create(named.is_some()).open(named.unwrap_or(DEFAULT_TERMINATION_LOG));
        if let Ok(mut file) = file {
            // Without it the line on stderr still has everything.
            let _ = file.write_all(text.as_bytes());
        }
    }
}
