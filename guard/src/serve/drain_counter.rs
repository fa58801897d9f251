//! Counts what a drain waits for: open connections and open tunnels.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A count of open connections or tunnels. A drain waits until it is zero.
#[derive(Clone, Default)]
pub struct DrainCounter(Arc<(AtomicI64, tokio::sync::Notify)>);

/// One connection or tunnel in a [`DrainCounter`], counted until it is dropped.
pub struct DrainGuard(DrainCounter);

impl DrainCounter {
    /// Counts one more until the returned guard is dropped.
    pub fn enter(&self) -> DrainGuard {
        self.0.0.fetch_add(1, Ordering::AcqRel);
        DrainGuard(self.clone())
    }

    /// The current count.
    pub fn count(&self) -> i64 {
        self.0.0.load(Ordering::Acquire)
    }

    /// Waits until the count is zero.
    pub async fn none(&self) {
        loop {
            let mut left = std::pin::pin!(self.0.1.notified());
            left.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        if self.0.0.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.1.notify_waiters();
        }
    }
}
