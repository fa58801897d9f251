//! guard
pub mod demo;
