//! What the benches share: tokens and a key set, backends, a load, and the proxies as child processes.
#![allow(dead_code, reason = "each bench compiles its own copy and uses its part of it")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(crate) mod access;
pub(crate) mod backend;
pub(crate) mod door;
pub(crate) mod load;
pub(crate) mod process;

/// A bench stops at the first thing that is not as it should be, and says what.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The body limit on both sides, in bytes: the default of `GUARD_MAX_BODY`.
pub(crate) const BODY_LIMIT_BYTES: u64 = 104_857_600;

/// An option from the environment; one that is set and does not parse is an error.
pub(crate) fn option<T: FromStr>(name: &str, default: T) -> Outcome<T> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => text.parse().map_err(|_| format!("{name}={text} is not a number").into()),
    }
}

/// The binary under test: `GUARD_BIN`, an absolute path.
pub(crate) fn guard_binary() -> Outcome<PathBuf> {
    let path = std::env::var_os("GUARD_BIN").ok_or("GUARD_BIN is not set: use `make bench`, which builds the release binary")?;
    let path = PathBuf::from(path);
    if path.is_absolute() && path.is_file() {
        return Ok(path);
    }
    Err(format!("GUARD_BIN={} is not the absolute path of a file", path.display()).into())
}

/// A command by its name, as a shell would find it.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian puts daemons where a user's PATH does not look.
    let more = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A folder of this run inside Cargo's target folder; it goes with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The middle of the values, or the mean of the two middle ones; 0 for none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => 0.0,
        (half, 0) => f64::midpoint(sorted[half - 1], sorted[half]),
        (half, _) => sorted[half],
    }
}
