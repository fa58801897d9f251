//! A configured front door becomes doors, one a worker, that share one key set; the key set is fetched by one task.

use std::sync::Arc;

use super::{FrontDoor, cloudflare};
use crate::assertion::Rules;
use crate::config::DoorConfig;
use crate::fetch::BadUrl;
use crate::jwks::{Document, Keys};
use crate::serve::Background;
use crate::telemetry::metrics::Metrics;
use crate::tls::Trust;

/// What the doors of all workers share.
pub struct Opening {
    /// The key set; empty until [`Opening::refresh`] runs.
    pub keys: Arc<Keys>,
    rules: Rules,
    document: Document,
    metrics: Arc<Metrics>,
}

impl Opening {
    /// Nothing is fetched yet.
    pub fn new(config: &DoorConfig, trust: &Trust, metrics: &Arc<Metrics>) -> Result<Self, BadUrl> {
        let DoorConfig::CloudflareAccess { issuer, audiences, jwks } = config;
        let is_tag = |audience: &&String| audience.len() == 64 && audience.bytes().all(|byte| byte.is_ascii_hexdigit());
        for audience in audiences.iter().filter(|audience| !is_tag(audience)) {
            tracing::warn!(
                length = audience.len(),
                "GUARD_ACCESS_AUD: Cloudflare's AUD tags are 64 hexadecimal digits: is it misspelt?"
            );
        }
        Ok(Self {
            keys: Arc::new(Keys::new(metrics.clone())),
            rules: Rules { issuer: issuer.clone(), audiences: audiences.clone() },
            document: Document::at(jwks.clone(), trust)?,
            metrics: metrics.clone(),
        })
    }

    /// The door of one worker.
    pub fn door(&self) -> FrontDoor {
        FrontDoor::CloudflareAccess(cloudflare::Access::new(self.rules.clone(), self.keys.clone(), self.metrics.clone()))
    }

    /// The task that keeps the key set fresh.
    pub fn refresh(self) -> Background {
        let Self { keys, document, .. } = self;
        Box::pin(async move { keys.keep_fresh(document).await })
    }
}
