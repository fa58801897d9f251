//! What an operator can see: one log line a request, the metrics, and the admin port with its status page.

pub mod admin;
pub mod line_limiter;
pub mod log;
pub mod metrics;
pub mod recent_refusals;
pub mod recent_requests;
mod status_graph;
pub mod status_page;
pub mod upstream_health;
