//! The component `monitoring` beside the real binary: it names the metrics that guard exports, and its alerts fire on what guard exports while a
//! home is broken.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

mod firing;
mod names;
mod recording;

use std::path::Path;

/// A file of the repository.
fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect(path)
}
