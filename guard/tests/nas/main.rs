//! Mounted, or nothing starts.
fn main() {}
