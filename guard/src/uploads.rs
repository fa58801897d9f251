//! Files of any size, in parts: a tus 1.0 server at `/.guard/uploads`, and a page for it at `/.guard/upload` (`GUARD_LARGE_UPLOADS`).
//!
//! Cloudflare refuses a request above 100 MB on most plans, and Immich takes a file as one request. guard takes the parts of a file one after
//! another, and feeds their bytes into one request to Immich while they arrive. Nothing is stored here: between two parts that request waits. An
//! upload lives in the process that began it, and ends with it.
//!
//! The paths begin with `/.guard/`. Immich has none that begins with a dot: its pages and its API do not, and `/.well-known/immich` is its only one.

pub mod form;
pub mod immich;
pub mod metadata;
pub mod page;
mod request;
pub mod table;
pub mod tus;
pub mod upload;

use std::sync::Arc;

use crate::config::UploadsConfig;
use crate::proxy::Upstream;
use crate::serve::Lifecycle;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Target;
use immich::Kinds;
use table::Table;
use upload::{Outcome, Upload};

/// All paths of guard's own.
pub const PREFIX: &str = "/.guard/";
/// The memory of the request to Immich of one upload, in KiB: the buffers of both its directions.
pub const UPLOAD_KIB: u32 = 192;

/// The large uploads of the process, shared by all workers.
pub struct Uploads {
    config: UploadsConfig,
    table: Table,
    kinds: Kinds,
    upstream: Arc<Upstream>,
    lifecycle: Arc<Lifecycle>,
    metrics: Arc<Metrics>,
    /// A name of this process in the ids of its uploads, by which those of an earlier process are known.
    process: String,
}

impl Uploads {
    /// No upload yet. `target` is Immich.
    pub fn new(
        config: UploadsConfig,
        target: Target,
        lifecycle: Arc<Lifecycle>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, crate::random::Unavailable> {
        let upstream = Arc::new(Upstream::new(target, metrics.clone()));
        let process = tus::hex(&crate::random::bytes::<8>()?);
        Ok(Arc::new(Self { config, table: Table::default(), kinds: Kinds::default(), upstream, lifecycle, metrics, process }))
    }

    /// Ends uploads that have expired. A worker calls it periodically.
    pub fn sweep(&self) {
        self.table.sweep();
        self.metrics.open_uploads.set(i64::try_from(self.table.open()).unwrap_or(i64::MAX));
    }
}

/// Logs and counts the end of an upload. The name of the file is not logged.
fn log_end(metrics: &Metrics, who: &str, upload: &Upload, outcome: &Outcome, bytes: u64) {
    let (result, cause) = match outcome {
        Outcome::Running => return,
        Outcome::Stored(stored) => (stored.status(), ""),
        Outcome::Refused(_) => ("refused", "Immich refused it"),
        Outcome::Broken(cause) => ("broken", *cause),
    };
    metrics.upload(result);
    metrics.upload_bytes.inc_by(bytes);
    let (seconds, length) = (upload.began.elapsed().as_secs(), upload.length);
    if result == "broken" {
        tracing::warn!(result, cause, who, length, bytes, seconds, "large upload ended");
    } else {
        tracing::info!(result, cause, who, length, bytes, seconds, "large upload ended");
    }
}
