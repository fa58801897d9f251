//! The real `OpenID` provider: clients enter, an issuer leaves that signs in whoever types the password.

use std::process::Command;

use serde_json::Value;
use testkit::process::Process;
use testkit::wait::eventually;

use crate::tool;

/// Who can sign in there, and with what.
pub(crate) const PERSON: (&str, &str) = ("ada", "correct horse");

/// A running provider. It is killed when it is dropped.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    _process: Process,
}

impl Provider {
    /// Starts it with one client.
    pub(crate) async fn start(client: Value) -> Self {
        let mut command = Command::new("node");
        command.arg(tool("OIDC_PROVIDER").expect("somebody looked")).env("CLIENTS", Value::from(vec![client]).to_string());
        let process = Process::spawn(command);
        let said = |process: &Process| Some(process.stdout().split_once("issuer ")?.1.split_once('\n')?.0.to_owned());
        eventually("the provider to say where it is", || said(&process).is_some()).await;
        Self { issuer: said(&process).unwrap(), _process: process }
    }
}
