//! The tools on this computer and their versions, as each prints it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// A tool, and the arguments that make it print its version without asking a server.
const TOOLS: [(&str, &[&str]); 5] = [
    ("kubectl", &["version", "--client"]),
    ("flux", &["version", "--client"]),
    ("cloudflared", &["--version"]),
    ("git", &["--version"]),
    ("kustomize", &["version"]),
];

/// The versions of the tools that are there, by name.
pub(super) fn versions() -> BTreeMap<String, String> {
    TOOLS.iter().filter_map(|(name, arguments)| Some(((*name).to_owned(), version(name, arguments)?))).collect()
}

fn version(name: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(name).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| first_version(&text)).flatten()
}

/// The first word of a text that is a version: `v1.32.4`, `2026.8.2`.
fn first_version(text: &str) -> Option<String> {
    let is_version = |word: &&str| {
        let numbers = word.trim_start_matches('v');
        numbers.starts_with(|first: char| first.is_ascii_digit()) && numbers.contains('.')
    };
    text.split([' ', '\n', ',', '"', '(', ')']).find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::first_version;

    #[test]
    fn a_version_is_found_in_what_each_tool_prints() {
        for (text, wanted) in [
            ("Client Version: v1.32.4\nKustomize Version: v5.5.0\n", "v1.32.4"),
            ("flux: v2.6.1\n", "v2.6.1"),
            ("cloudflared version 2026.8.2 (built 2026-08-14)", "2026.8.2"),
            ("git version 2.47.3", "2.47.3"),
            ("v5.5.0", "v5.5.0"),
        ] {
            assert_eq!(first_version(text).as_deref(), Some(wanted));
        }
        assert_eq!(first_version("no version"), None);
    }
}
