//! The database in the cluster, by kubectl: its objects alone, what is in it, and the restore. Everything goes through standard input, so that no value
//! is in an argument, and nothing whole is in memory.

use std::io::{BufWriter, Read, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::sql;
use super::state::Found;
use crate::dump::{Dump, convert};
use crate::init::cluster::Cluster;
use crate::terminal::Progress;

/// The objects that the database needs: its Deployment, Service, account and network policy have it.
const LABEL: &str = "app.kubernetes.io/name=immich-postgres";
const DATABASE: &str = "deployment/immich-postgres";
/// The image has a gigabyte, and a new database is made.
const START: &str = "20m";
/// As the operator does it by docs/migrate.md. The messages are terse: details show values.
const PSQL: [&str; 12] =
    ["psql", "-U", "immich", "-d", "immich", "-X", "-q", "-A", "-t", "--set=ON_ERROR_STOP=on", "--set=VERBOSITY=terse", "-F\t"];

/// What a stream has, as far as it can be read.
fn whole(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
    bytes
}

/// Runs a command with this input, and returns what it said. An error of the writer counts only if the command itself had none.
fn fed(mut command: Command, write: impl FnOnce(&mut BufWriter<ChildStdin>) -> Result<()>) -> Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("kubectl")?;
    let stdin = child.stdin.take().context("kubectl has no input")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (written, stdout, stderr) = std::thread::scope(|scope| {
        let stdout = scope.spawn(|| whole(stdout));
        let stderr = scope.spawn(|| whole(stderr));
        let mut input = BufWriter::with_capacity(1 << 18, stdin);
        let written = write(&mut input).and_then(|()| input.flush().context("kubectl's input"));
        if written.is_err() {
            // What is left in the buffer must not follow: into_parts does not flush.
            drop(input.into_parts());
        } else {
            drop(input);
        }
        (written, stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default())
    });
    let status = child.wait()?;
    let output = Output { status, stdout, stderr };
    if status.success() {
        written?;
    }
    Ok(output)
}

/// What a command printed, which must have succeeded.
fn said(output: &Output, what: &str) -> Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    // The last line is that of kubectl: that the command ended with an error.
    let errors: Vec<_> =
        errors.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("command terminated")).collect();
    ensure!(output.status.success(), "{what}: {}", if errors.is_empty() { output.status.to_string() } else { errors.join("; ") });
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Applies the objects of the database, and waits until it is ready.
pub(super) fn apply_alone(cluster: &Cluster, overlay: &str) -> Result<()> {
    let rendered = cluster.kubectl(&["kustomize", overlay]).output().context("kubectl")?;
    let rendered = said(&rendered, &format!("kubectl kustomize {overlay}"))?;
    let output = fed(cluster.kubectl(&["apply", "-l", LABEL, "-f", "-"]), |input| Ok(input.write_all(rendered.as_bytes())?))?;
    for line in said(&output, "kubectl apply")?.lines() {
        println!("  {line}");
    }
    let timeout = format!("--timeout={START}");
    let status = cluster.kubectl(&["-n", "immich", "rollout", "status", DATABASE, &timeout]).status().context("kubectl")?;
    ensure!(status.success(), "the database is not ready: guardctl doctor says why");
    Ok(())
}

/// A command of psql in the pod of the database, as its owner, by its socket: no password.
fn psql(cluster: &Cluster) -> Command {
    let exec = ["-n", "immich", "exec", "-i", DATABASE, "--container=postgres", "--"];
    cluster.kubectl(&[&exec[..], &PSQL[..]].concat())
}

/// Looks at what is in the database.
pub(super) fn look(cluster: &Cluster) -> Result<Found> {
    let ask = |question: &str| {
        let output = fed(psql(cluster), |input| Ok(input.write_all(question.as_bytes())?))?;
        said(&output, "the database cannot be asked")
    };
    let answer: Value = serde_json::from_str(ask(&sql::tables())?.trim()).context("what the database says about its tables")?;
    let tables = answer[1].as_array().into_iter().flatten();
    let tables: Vec<_> = tables.filter_map(|it| Some((it[0].as_str()?.to_owned(), it[1].as_str()?.to_owned()))).collect();
    let rows = if tables.is_empty() { String::new() } else { ask(&sql::counts(&tables))? };
    let rows = sql::counted(&rows).context("the rows of its tables")?;
    Ok(Found { mark: answer[0].as_str().and_then(sql::marked), rows })
}

/// Restores a dump, as one transaction. If this program or the connection ends before its last line, nothing was written.
pub(super) fn restore(cluster: &Cluster, path: &Path, dump: &Dump) -> Result<()> {
    let _progress = Progress::start("restoring");
    let mut command = psql(cluster);
    // What the statements of a dump print is of no use.
    command.args(["-o", "/dev/null"]);
    let output = fed(command, |input| convert::convert(path, dump, &sql::around(dump), input))?;
    said(&output, "psql").map(drop)
}
