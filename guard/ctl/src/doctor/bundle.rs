//! One archive for whoever helps: the report, the objects, the logs and the versions of a home, without what is private.
//!
//! Three layers keep a secret in: of a Secret only names and lengths are taken; values under a secret's name are taken out of objects; and every file
//! passes a redactor that knows the values of the home's Secrets and all that `guardctl scan` knows, in every usual encoding.

mod archive;
mod collect;
mod find;
mod objects;
mod redact;
mod view;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::evidence::Evidence;
use super::report::Report;
pub(super) use collect::collect;
use redact::Redactor;

/// The longest file. The end of a log is worth most: it is the beginning that goes.
const MOST_BYTES: usize = 256 * 1024;

/// What only a bundle holds, as it was read. It has secrets in it, and is never printed.
#[derive(Default)]
pub(super) struct Raw {
    /// Secrets.
    pub secrets: Vec<Value>,
    /// Objects by kind, beside those of the evidence.
    pub objects: BTreeMap<String, Vec<Value>>,
    /// The last lines of all containers, by `namespace/pod/container`, with `.previous` where it was restarted.
    pub logs: BTreeMap<String, String>,
    /// The versions of the tools on this computer.
    pub tools: BTreeMap<String, String>,
}

/// Fails if a bundle could not be written there: before anybody waits for it.
pub(super) fn check(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!("{} is there already: name a new file", path.display());
    }
    Ok(())
}

/// Writes the bundle. Returns the number of its files and bytes.
pub(super) fn write(path: &Path, evidence: &Evidence, report: &Report, raw: &Raw) -> Result<(usize, usize)> {
    let files = files(evidence, report, raw)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let bytes = archive::tar(&files, now)?;
    archive::write(path, &bytes)?;
    Ok((files.len(), bytes.len()))
}

/// The files of a bundle, by name.
fn files(evidence: &Evidence, report: &Report, raw: &Raw) -> Result<Vec<(String, String)>> {
    let mut redactor = Redactor::new(raw.secrets.iter().flat_map(objects::values));
    let mut files = vec![
        ("report.json".to_owned(), serde_json::to_string_pretty(report)?),
        ("report.md".to_owned(), report.markdown()),
        ("versions.json".to_owned(), serde_json::to_string_pretty(&versions(evidence, raw))?),
    ];
    for (kind, found) in evidence.objects.iter().chain(&raw.objects) {
        let clean: Vec<_> = found.iter().cloned().map(objects::without_secrets).collect();
        files.push((format!("objects/{kind}.json"), serde_json::to_string_pretty(&clean)?));
    }
    let secrets: Vec<_> = raw.secrets.iter().map(objects::lengths).collect();
    files.push(("objects/Secret.json".to_owned(), serde_json::to_string_pretty(&secrets)?));
    let seen = json!({
        "secrets": evidence.secrets, "unreadable": evidence.unreadable, "tunnel": evidence.tunnel, "guard_ready": evidence.guard_ready,
        "guard_metrics": evidence.guard_metrics, "edge": evidence.edge, "addresses": evidence.addresses, "team_keys": evidence.team_keys,
        "lan": evidence.lan, "clock_api": evidence.clock_api, "clock_edge": evidence.clock_edge,
    });
    files.push(("seen.json".to_owned(), serde_json::to_string_pretty(&seen)?));
    let logs = evidence.logs.iter().chain(&raw.logs).filter(|(_, text)| !text.is_empty());
    files.extend(logs.map(|(name, text)| (format!("logs/{}.log", name.replace('/', "_")), end(text).to_owned())));
    for (name, text) in &mut files {
        *name = redactor.text(name);
        *text = redactor.text(text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    files.insert(0, ("README.txt".to_owned(), README.to_owned()));
    Ok(files)
}

const README: &str = "Written by `guardctl doctor --bundle`.\n\n\
    report.md, report.json   what was found, and the cure\n\
    objects/                 the objects of the home; of a Secret only the names and lengths of its keys\n\
    logs/                    the last lines of each container\n\
    seen.json                what guard, the tunnel and the outside answered\n\
    versions.json            versions of the cluster, the images and the tools\n\n\
    Passwords, tokens, addresses, host names and e-mail addresses are replaced by a name and a number: [email-1].\n\
    The same number is the same value. Look through it before you send it: only you know what else is private at your home.\n";

fn versions(evidence: &Evidence, raw: &Raw) -> Value {
    let kubelets: BTreeMap<_, _> = evidence
        .all("Node")
        .filter_map(|node| {
            let info = &node["status"]["nodeInfo"];
            Some((
                node["metadata"]["name"].as_str()?,
                json!([info["kubeletVersion"], info["osImage"], info["containerRuntimeVersion"]]),
            ))
        })
        .collect();
    json!({"guardctl": env!("CARGO_PKG_VERSION"), "kubernetes": evidence.api, "nodes": kubelets, "tools": raw.tools})
}

/// The end of a text, from the beginning of a line.
fn end(text: &str) -> &str {
    let Some(cut) = text.len().checked_sub(MOST_BYTES) else { return text };
    let line = text.as_bytes()[cut..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| cut + at + 1);
    &text[line..]
}

#[cfg(test)]
mod tests;
