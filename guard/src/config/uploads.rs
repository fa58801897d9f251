//! The settings of large uploads (`GUARD_LARGE_UPLOADS`).

use std::time::Duration;

use clap::Args;

use super::problems::{Reader, given};
use super::units;

/// The default of `GUARD_LARGE_UPLOADS_MAX`.
const DEFAULT_MAX_BYTES: u64 = 20 << 30;
/// The default of `GUARD_LARGE_UPLOADS_IDLE`.
const DEFAULT_IDLE: Duration = Duration::from_secs(30 * 60);

/// The flags and variables of large uploads, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct UploadsArgs {
    /// Whether files above the limit of a request can be uploaded in parts, at /.guard/upload: on or off [default: off]
    #[arg(long, env = "GUARD_LARGE_UPLOADS", value_name = "ON|OFF", hide_env_values = true)]
    pub large_uploads: Option<String>,
    /// The largest file of a large upload, such as 20GiB [default: 20GiB]
    #[arg(long, env = "GUARD_LARGE_UPLOADS_MAX", value_name = "SIZE", hide_env_values = true)]
    pub large_uploads_max: Option<String>,
    /// How long a large upload may be without a request before it ends [default: 30m]
    #[arg(long, env = "GUARD_LARGE_UPLOADS_IDLE", value_name = "TIME", hide_env_values = true)]
    pub large_uploads_idle: Option<String>,
}

/// The checked settings of large uploads.
#[derive(Clone, Debug)]
pub struct UploadsConfig {
    /// The largest file, in bytes.
    pub max: u64,
    /// How long an upload may be without a request.
    pub idle: Duration,
}

impl UploadsArgs {
    /// Checks the values. None where large uploads are off.
    pub(super) fn check(&self, r: &mut Reader) -> Option<UploadsConfig> {
        let is_on = r.value("GUARD_LARGE_UPLOADS", given(self.large_uploads.as_deref()), false, |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("on or off".to_owned()),
        });
        let max = r.value("GUARD_LARGE_UPLOADS_MAX", given(self.large_uploads_max.as_deref()), DEFAULT_MAX_BYTES, |text| {
            units::read_size(text)
                .and_then(|size| if size > 0 { Ok(size) } else { Err("a size above 0, such as 20GiB".to_owned()) })
        });
        let idle = r.value(
            "GUARD_LARGE_UPLOADS_IDLE",
            given(self.large_uploads_idle.as_deref()),
            DEFAULT_IDLE,
            units::read_positive_duration,
        );
        is_on.then_some(UploadsConfig { max, idle })
    }
}
