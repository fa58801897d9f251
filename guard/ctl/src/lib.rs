//! The library of the operator's tool `guardctl`. [`lint`] checks manifests against the policies of this project (docs/policies.md).
//! [`scan`] finds private identifiers and secrets before they get into Git. [`oidc`] writes and checks Immich's configuration file.
//! No part of it connects to a cluster. `guard` does not depend on this crate.

pub mod doctor;
pub mod lint;
pub mod oidc;
pub mod scan;
pub mod severity;
