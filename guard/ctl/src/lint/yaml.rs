//! Parses YAML to JSON values as kubectl does: several documents, no duplicate keys, and within limits.

use anyhow::Context as _;
use serde_json::Value;

// The manifests of this repository stay below a hundredth of each limit. The limits only stop a file that would exhaust the memory.
const MAX_DOCUMENTS: usize = 1_000;
const MAX_NODES: usize = 500_000;
const MAX_DEPTH: usize = 100;
const MAX_SCALAR_BYTES: usize = 16 << 20;

/// The rules for scalars without quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The rules of kubectl: `yes` and `on` are true, `0440` is octal.
    Kubectl,
    /// YAML 1.2 without these two rules, as js-yaml 4 reads Immich's configuration file.
    Plain,
}

/// Parses a stream of Kubernetes objects and returns the documents that are not empty. An error names `source`.
pub fn documents(text: &str, source: &str) -> anyhow::Result<Vec<Value>> {
    values(text, Dialect::Kubectl)
        .with_context(|| format!("{source}: found invalid YAML, wanted a YAML stream of Kubernetes objects"))
}

/// Parses a stream and returns the documents that are not empty.
pub fn values(text: &str, dialect: Dialect) -> Result<Vec<Value>, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            max_total_scalar_bytes: MAX_SCALAR_BYTES,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        // kubectl reads `defaultMode: 0440` as an octal number, and people who write it mean that.
        legacy_octal_numbers: dialect == Dialect::Kubectl,
        strict_booleans: dialect == Dialect::Plain,
        underscored_numbers_as_strings: dialect == Dialect::Plain,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options)
}
