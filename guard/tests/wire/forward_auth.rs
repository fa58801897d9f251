//! An auth server is asked about each request: what it is asked, what its answers do, and that nothing else opens the door.
//!
//! The auth server is the testkit's outpost; the same stories beside real Caddy, with a real identity provider and a real browser, are in
//! `tests/front_door`.

mod answers;
mod credentials;

mod health;
mod load;
mod own_path;
mod phones;
mod questions;
mod requests;
mod sockets;
