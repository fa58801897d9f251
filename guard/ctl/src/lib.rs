//! The operator's tool. [`lint`] holds manifests against this project's policies (docs/policies.md); [`scan`] keeps private identifiers
//! out of Git; [`oidc`] makes and checks Immich's configuration file. None of them talks to a cluster, and `guard`, which faces the
//! internet, does not depend on this crate.

pub mod lint;
pub mod oidc;
pub mod scan;
pub mod severity;
