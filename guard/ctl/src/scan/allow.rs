//! The allow file, with one entry `KIND PATH REASON…` on each line. A PATH that ends with `/` is a directory. `#` begins a comment.

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::kind::Kind;

/// The name of the allow file, in the scanned directory.
pub const FILE: &str = ".guardctl-scan";

/// An entry of the allow file.
pub struct Entry {
    kind: Kind,
    path: String,
    /// The line number in the allow file.
    pub line: usize,
    used: Cell<bool>,
}

/// The entries of the allow file.
#[derive(Default)]
pub struct AllowList {
    entries: Vec<Entry>,
}

impl AllowList {
    /// Reads the allow file of a directory. Without a file, the list is empty.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(directory.join(FILE)) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(FILE),
        }
    }

    /// Parses the text of an allow file.
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
            let kind = Kind::find(kind)
                .with_context(|| format!("{FILE}:{index}: found the kind `{kind}`, wanted one of {}", known()))?;
            entries.push(Entry { kind, path: path.to_owned(), line: index, used: Cell::new(false) });
        }
        Ok(Self { entries })
    }

    /// Whether an entry allows a kind in a file. Marks the entry as used.
    pub fn covers(&mut self, kind: Kind, path: &str) -> bool {
        let matches = |entry: &&Entry| {
            entry.kind == kind && (entry.path == path || entry.path.ends_with('/') && path.starts_with(&entry.path))
        };
        let entry = self.entries.iter().find(matches);
        entry.inspect(|entry| entry.used.set(true)).is_some()
    }

    /// Returns the entries that allowed nothing.
    pub fn unused(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.used.get())
    }
}
