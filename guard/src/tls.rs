//! TLS client settings: the compiled-in root certificates (a scratch image has no CA files), those of `GUARD_CA_FILE`, and HTTP/1.1 as
//! the only protocol.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The trusted certificate authorities, as a TLS client configuration.
#[derive(Clone)]
pub struct Trust(Arc<rustls::ClientConfig>);

impl Trust {
    /// Trusts the public root certificates and `extra_roots`.
    ///
    /// # Panics
    /// Never: aws-lc-rs supports the protocol versions that rustls calls safe.
    pub fn new(extra_roots: &[CertificateDer<'static>]) -> Self {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(extra_roots.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        #[expect(clippy::expect_used, reason = "aws-lc-rs supports the protocol versions that rustls calls safe")]
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("safe protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// Returns the TLS settings for the server with this host name or address.
    pub fn with_server(&self, host: &str) -> Result<Tls, InvalidDnsNameError> {
        Ok(Tls { connector: TlsConnector::from(self.0.clone()), server: ServerName::try_from(host.to_owned())? })
    }
}

/// The TLS settings for connections to one server.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server: ServerName<'static>,
}

impl Tls {
    /// Performs the TLS handshake over an open connection and verifies the server's certificate.
    pub async fn over(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.server.clone(), stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.server)
    }
}
