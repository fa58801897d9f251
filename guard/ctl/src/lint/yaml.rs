//! YAML text to JSON values, as kubectl would read it: several documents, no duplicate keys, and within limits.

use anyhow::Context as _;
use serde_json::Value;

// What this repository renders is a hundredth of each: the limits only stop a file that was made to exhaust memory.
const MAX_DOCUMENTS: usize = 1_000;
const MAX_NODES: usize = 500_000;
const MAX_DEPTH: usize = 100;
const MAX_SCALAR_BYTES: usize = 16 << 20;

/// Whose rules say what a plain word is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// kubectl's: `yes` and `on` are true, `0440` is octal.
    Kubectl,
    /// YAML 1.2 without those, as js-yaml 4 reads Immich's configuration file.
    Plain,
}

/// Every document of a stream of Kubernetes objects that is not empty.
pub fn documents(text: &str, source: &str) -> anyhow::Result<Vec<Value>> {
    values(text, Dialect::Kubectl).with_context(|| format!("{source}: not a YAML stream of Kubernetes objects"))
}

/// Every document of a stream that is not empty.
pub fn values(text: &str, dialect: Dialect) -> Result<Vec<Value>, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            max_total_scalar_bytes: MAX_SCALAR_BYTES,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        // kubectl reads `defaultMode: 0440` as octal, and so does everyone who writes it.
        legacy_octal_numbers: dialect == Dialect::Kubectl,
        strict_booleans: dialect == Dialect::Plain,
        underscored_numbers_as_strings: dialect == Dialect::Plain,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options)
}
