//! Reads a phone's service token from a file, so that it is no argument: `CF-Access-Client-Id: …` and `CF-Access-Client-Secret: …`, one a line.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The headers of Access (contract: never in a log, never in a report).
const NAMES: [&str; 2] = ["cf-access-client-id", "cf-access-client-secret"];

/// The headers in a file.
pub(super) fn headers(path: &Path) -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let found: Vec<_> = lines.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())).collect();
    let has = |name: &str| found.iter().any(|(known, value)| known == name && !value.is_empty());
    ensure!(
        found.len() == NAMES.len() && NAMES.iter().all(|name| has(name)),
        "wanted two lines, CF-Access-Client-Id: … and CF-Access-Client-Secret: …"
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_file_has_both_headers_and_nothing_else() {
        let found = parse("CF-Access-Client-Id: a.access\nCF-Access-Client-Secret: b\n").expect("both");
        assert_eq!(found[1], ("cf-access-client-secret".to_owned(), "b".to_owned()));
        for text in ["", "CF-Access-Client-Id: a", "CF-Access-Client-Id: a\nCF-Access-Client-Secret:", "Host: x\nCookie: y"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
