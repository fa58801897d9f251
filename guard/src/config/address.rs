//! Addresses in the configuration: where to connect, and the public address.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host name or IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The URL of a server, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether the scheme is `https`.
    pub https: bool,
    /// The host and port.
    pub authority: Authority,
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// The public address (`GUARD_EXTERNAL_URL`), parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The scheme: `https` or `http`.
    pub scheme: &'static str,
    /// The host as in a `Host` header: in lower case, without the default port of the scheme.
    pub host: String,
}

/// All addresses of this machine, with this port.
pub(crate) fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}
