//! What both directions of guard share: checks of a request's framing, header handling, the metered request body, the response body,
//! and the access log.
//!
//! [`crate::origin`] (inbound) and [`crate::idtoken`] (outbound) are built on these parts and do not know each other.

pub mod access_log;
pub mod framing;
pub mod headers;
pub mod request_body;
pub mod response;

use crate::upstream;
use request_body::RequestBody;

/// A pool of connections to one upstream, for requests with a [`RequestBody`].
pub type Upstream = upstream::Upstream<RequestBody>;
/// One connection of that pool, while it carries a request and its response.
pub type Lease = upstream::Lease<RequestBody>;
