//! Everything on loopback in one process.
pub mod issuer;
