//! Ctrl-C while something is there that must not stay: work enters, and a signal that comes meanwhile ends this process after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Does the work. SIGINT and SIGTERM end this process as ever, but only when it is done.
pub(crate) fn postponed<T>(work: impl FnOnce() -> T) -> Result<T> {
    let (is_done, came) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for signal in [SIGINT, SIGTERM] {
        // The handlers stay; from the end of the work on, they do what a signal does by default.
        flag::register_conditional_default(signal, is_done.clone())?;
        flag::register_usize(signal, came.clone(), usize::try_from(signal)?)?;
    }
    let found = work();
    is_done.store(true, Ordering::SeqCst);
    if let Some(signal) = i32::try_from(came.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0) {
        low_level::emulate_default_handler(signal)?;
    }
    Ok(found)
}
