//! The library of the operator's tool `guardctl`. [`lint`] checks manifests against the policies of this project (docs/policies.md).
//! [`scan`] finds private identifiers and secrets before they get into Git. [`oidc`] writes and checks Immich's configuration file.
//! [`doctor`] looks at a cluster and at the public name, and only reads. [`cloudflare`] sets the account at Cloudflare up. [`dump`] reads a dump of
//! another Immich. [`image`] brings guard's image to the node. [`init`] makes a home from a clean clone. [`dashboard`] writes the Grafana dashboard. [`shell`] writes completions and man
//! pages. `guard` does not depend on this crate.

pub mod cli;
pub mod cloudflare;
pub mod dashboard;
pub mod doctor;
pub mod dump;
pub mod image;
pub mod init;
pub mod lint;
pub mod oidc;
pub mod scan;
pub mod severity;
pub mod shell;
pub mod terminal;
