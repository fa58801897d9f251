//! Programs: tus-js-client on Node, and tuspy.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use testkit::google::Folder;
use testkit::process::OriginProcess;
use testkit::process::origin_variables;
use testkit::{Immich, Issuer, TestEnvironment};

use super::{file, is_whole, tool};

const GUARD: &str = env!("CARGO_BIN_EXE_guard");
const MIB: u64 = 1024 * 1024;

fn node() -> Command {
    let mut command = Command::new("node");
    command.arg(tool("TUS_JS").unwrap().join("upload.js"));
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

async fn uploads(mut command: Command, length: u64, part: u64) -> String {
    let home = TestEnvironment::process(GUARD, &[("GUARD_LARGE_UPLOADS", "on")]).await;
    let folder = Folder::new();
    let path = file(&folder, "file.mov", length);
    command.arg(format!("http://{}/.guard/uploads", home.guard.address)).arg(home.token()).arg(path).arg(part.to_string());
    let output = output(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    is_whole(&home.immich, length);
    String::from_utf8(output.stdout).unwrap()
}

pub(super) async fn tus_js_client_uploads_a_file() {
    let said = uploads(node(), 30 * MIB + 3, 8 * MIB).await;
    assert!(said.contains(&format!("part {}", 8 * MIB)) && said.ends_with("done created\n"), "{said}");
}

pub(super) async fn tuspy_uploads_a_file() {
    let mut command = Command::new(tool("TUS_PYTHON").unwrap());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tus_clients/upload.py"));
    assert_eq!(uploads(command, 30 * MIB + 3, 8 * MIB).await, "done\n");
}

/// guard is killed between two parts, and starts again at the same place: the client finds its upload gone, and begins again.
pub(super) async fn tus_js_client_begins_again_after_a_restart() {
    let (issuer, immich) = (Issuer::start().await, Immich::start().await);
    let mut variables = origin_variables(&issuer, &immich.url());
    variables.push(("GUARD_LARGE_UPLOADS", "on".to_owned()));
    let guard = OriginProcess::start(GUARD, &variables).await;
    let address = guard.address;
    let folder = Folder::new();
    let length = 60 * MIB;
    let path = file(&folder, "file.mov", length);
    let mut client = node()
        .arg(format!("http://{address}/.guard/uploads"))
        .arg(issuer.token_for("ada@example.com"))
        .arg(path)
        .arg((2 * MIB).to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut line = || said.next().map(Result::unwrap);
    assert_eq!(line().as_deref(), Some(&*format!("part {}", 2 * MIB)));
    drop(guard);
    variables.retain(|(name, _)| *name != "GUARD_LISTEN");
    variables.push(("GUARD_LISTEN", address.to_string()));
    let _guard = OriginProcess::start(GUARD, &variables).await;
    let ended = tokio::task::spawn_blocking(move || (client.wait().unwrap(), said.map(Result::unwrap).collect::<Vec<_>>())).await;
    let (status, lines) = ended.unwrap();
    assert!(status.success() && lines.last().is_some_and(|line| line == "done created"), "{lines:?}");
    is_whole(&immich, length);
    assert_eq!((immich.stored().len(), immich.aborted_uploads()), (1, 1), "the first one left nothing");
}
