//! The allow file: one entry a line, `KIND PATH REASON…`. A PATH that ends with `/` is a directory. `#` begins a comment.

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::kind::Kind;

/// Beside the files that it is about, in the scanned directory.
pub const FILE: &str = ".guardctl-scan";

/// One entry.
pub struct Entry {
    kind: Kind,
    path: String,
    /// Line number in the file.
    pub line: usize,
    used: Cell<bool>,
}

/// What may stay.
#[derive(Default)]
pub struct AllowList {
    entries: Vec<Entry>,
}

impl AllowList {
    /// The list of a directory; empty if it has none.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(directory.join(FILE)) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(FILE),
        }
    }

    /// Reads the entries.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(kind), Some(path), Some(_reason)) = (words.next(), words.next(), words.next()) else {
                bail!("{FILE}:{index}: found `{line}`, wanted KIND PATH REASON");
            };
            let known = || Kind::ALL.map(Kind::label).join(", ");
            let kind =
                Kind::find(kind).with_context(|| format!("{FILE}:{index}: found kind `{kind}`, wanted one of {}", known()))?;
            entries.push(Entry { kind, path: path.to_owned(), line: index, used: Cell::new(false) });
        }
        Ok(Self { entries })
    }

    /// Whether a kind may stand in a file; notes that the entry is needed.
    pub fn covers(&mut self, kind: Kind, path: &str) -> bool {
        let matches = |entry: &&Entry| {
            entry.kind == kind && (entry.path == path || entry.path.ends_with('/') && path.starts_with(&entry.path))
        };
        let entry = self.entries.iter().find(matches);
        entry.inspect(|entry| entry.used.set(true)).is_some()
    }

    /// Entries that covered nothing.
    pub fn unused(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.used.get())
    }
}
