//! Makes a home from a clean clone.
#![allow(dead_code)]
mod answers;
mod ask;
mod files;
mod terminal;
mod value;
mod write;
