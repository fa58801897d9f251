//! Private identifiers and secrets in what Git tracks, or would track: found before they are pushed.
//!
//! A line is let through by `scan:allow REASON` on it, or by an entry of the allow file ([`allow`]). A finding never shows what it found.

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
use kind::Kind;

/// On a line, with a reason after it: what is found there is meant to be there.
const MARKER: &str = "scan:allow ";

/// What `guardctl scan` takes.
#[derive(Args)]
pub struct ScanArgs {
    /// A directory of a Git work tree
    #[arg(default_value = ".")]
    dir: PathBuf,

    /// Only what the next commit would add or change, as it is in the index: for a pre-commit hook
    #[arg(long)]
    staged: bool,
}

/// Something private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What it is.
    pub kind: Kind,
    /// Line number, from 1.
    pub line: usize,
    /// Enough to find it, too little to use it.
    pub redacted: String,
}

/// Scans what the arguments name. `Ok(false)`: something was found.
pub fn run(args: &ScanArgs) -> anyhow::Result<bool> {
    let files = if args.staged { files::staged(&args.dir)? } else { files::tracked(&args.dir)? };
    let mut allowed = AllowList::read(&args.dir)?;
    let mut out = std::io::stdout().lock();
    let mut count = 0;
    for (path, bytes) in &files {
        // Binary files: what Git takes for one.
        if bytes.contains(&0) {
            continue;
        }
        for hit in text(path, &String::from_utf8_lossy(bytes)) {
            if !allowed.covers(hit.kind, path) {
                count += 1;
                writeln!(out, "{path}:{}: {}: {}", hit.line, hit.kind.label(), hit.redacted)?;
            }
        }
    }
    // What is staged is a part of the files: an entry may be needed by the others.
    for entry in allowed.unused().filter(|_| !args.staged) {
        count += 1;
        writeln!(out, "{}:{}: unused: nothing needs this entry any more", allow::FILE, entry.line)?;
    }
    if count > 0 {
        writeln!(
            out,
            "{count} found in {} files. Not private? `{MARKER}REASON` on the line, or a line in {}",
            files.len(),
            allow::FILE
        )?;
    } else {
        writeln!(out, "{} files, nothing private", files.len())?;
    }
    Ok(count == 0)
}

/// What is private in one file.
pub fn text(path: &str, text: &str) -> Vec<Hit> {
    let is_yaml = [".yaml", ".yml"].iter().any(|extension| path.ends_with(extension));
    let mut hits = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let marked = line.split_once(MARKER).is_some_and(|(_, reason)| !reason.trim().is_empty());
        if !marked {
            let found = detect::line(line, is_yaml).into_iter();
            hits.extend(found.map(|(kind, secret)| Hit { kind, line: index + 1, redacted: redact(&secret) }));
        }
    }
    hits
}

/// The first characters, and how many there are.
fn redact(secret: &str) -> String {
    let shown: String = secret.chars().take(3).collect();
    format!("{shown}… ({} characters)", secret.chars().count())
}

#[cfg(test)]
mod tests;
