//! Finds private identifiers and secrets in the files that Git tracks or would track, before they are pushed.
//!
//! `scan:allow REASON` on a line, or an entry of the allow file ([`allow`]), allows a finding. A finding never shows the whole secret.

pub mod allow;
pub mod detect;
mod files;
mod hosts;
pub mod kind;
mod tokens;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use allow::AllowList;
pub(crate) use hosts::{is_private_host, is_public_address};
use kind::Kind;

use crate::terminal::{Colour, Progress, Style};

/// The marker that allows all findings on its line. A reason must follow it.
const MARKER: &str = "scan:allow ";

/// The arguments of `guardctl scan`.
#[derive(Args)]
#[command(after_help = "Examples:
  guardctl scan
  guardctl scan --staged   # in a pre-commit hook: make hooks")]
pub struct ScanArgs {
    /// The directory to scan, in a Git work tree
    #[arg(default_value = ".")]
    dir: PathBuf,

    /// Scan only the files that the next commit adds or changes, as they are in the index. For a pre-commit hook
    #[arg(long)]
    staged: bool,
}

/// A private identifier or secret in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The kind of identifier or secret.
    pub kind: Kind,
    /// The line number, from 1.
    pub line: usize,
    /// The first characters and the length: enough to find it, too little to use it.
    pub redacted: String,
}

/// Runs `guardctl scan` and prints the findings. Returns `Ok(false)` if there are any.
///
/// # Errors
/// If Git fails, if a file cannot be read, or if the allow file has an invalid entry.
pub fn run(args: &ScanArgs) -> anyhow::Result<bool> {
    let progress = Progress::start("reading the files that Git tracks");
    let files = if args.staged { files::staged(&args.dir)? } else { files::tracked(&args.dir)? };
    let mut allowed = AllowList::read(&args.dir)?;
    let mut out = std::io::stdout().lock();
    let style = Style::of(&out);
    let mut found = Vec::new();
    for (path, bytes) in &files {
        // A file with a NUL byte is binary, as in Git.
        if bytes.contains(&0) {
            continue;
        }
        let hits = text(path, &String::from_utf8_lossy(bytes)).into_iter();
        found.extend(hits.filter(|hit| !allowed.covers(hit.kind, path)).map(|hit| (path, hit)));
    }
    drop(progress);
    let mut count = found.len();
    for (path, hit) in found {
        let kind = style.paint(Colour::Red, hit.kind.label());
        writeln!(out, "{path}:{}: {kind}: {}", hit.line, hit.redacted)?;
    }
    // With --staged, an entry may be needed by a file that is not staged.
    for entry in allowed.unused().filter(|_| !args.staged) {
        count += 1;
        writeln!(out, "{}:{}: unused: found an entry that allows nothing: remove it", allow::FILE, entry.line)?;
    }
    if count > 0 {
        writeln!(
            out,
            "{count} found in {} files. Remove what is private. If a value is not private, add `{MARKER}REASON` to its line, or an entry to {}",
            files.len(),
            allow::FILE
        )?;
    } else {
        writeln!(out, "{} files, nothing private found", files.len())?;
    }
    Ok(count == 0)
}

/// Returns the findings in the text of one file.
pub fn text(path: &str, text: &str) -> Vec<Hit> {
    let is_yaml = [".yaml", ".yml"].iter().any(|extension| path.ends_with(extension));
    let mut hits = Vec::new();
    // The name says that it is encrypted, and so nobody looks.
    if is_yaml
        && path.rsplit('/').next().is_some_and(|name| name.trim_start_matches('.').contains(".sops."))
        && !text.contains("ENC[AES256_GCM,")
    {
        hits.push(Hit { kind: Kind::Unencrypted, line: 1, redacted: "wanted a file as `sops encrypt` writes it".to_owned() });
    }
    for (index, line) in text.lines().enumerate() {
        let marked = line.split_once(MARKER).is_some_and(|(_, reason)| !reason.trim().is_empty());
        if !marked {
            let found = detect::line(line, is_yaml).into_iter();
            hits.extend(found.map(|(kind, secret)| Hit { kind, line: index + 1, redacted: redact(&secret) }));
        }
    }
    hits
}

/// Returns the first characters, and the number of all characters.
fn redact(secret: &str) -> String {
    let shown: String = secret.chars().take(3).collect();
    format!("{shown}… ({} characters)", secret.chars().count())
}

#[cfg(test)]
pub(crate) mod tests;
