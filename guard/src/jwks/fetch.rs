//! One bounded GET: a URL in, the body of its 200 out. No redirects, no proxy, no compression, no cookies.
//!
//! `https` with the roots compiled in (a scratch image has no CA files) and those of `GUARD_CA_FILE`; `http` only where configuration
//! allowed a loopback address.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Source;
use crate::config::read::is_loopback;

/// The most that one fetch may take, connecting included.
pub const MAX_TIME: Duration = Duration::from_secs(5);
/// The largest document that is read, in bytes. Cloudflare's is about 8 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It took longer than [`MAX_TIME`].
    #[error("no whole answer from {0} within {MAX_TIME:?}")]
    Timeout(String),
    /// Not reached.
    #[error("{host} not reached: {error}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the system, or TLS, said.
        error: std::io::Error,
    },
    /// HTTP broke.
    #[error("{host} broke off: {error}")]
    Http {
        /// Host and port.
        host: String,
        /// What hyper said.
        error: hyper::Error,
    },
    /// Anything but 200; redirects are not followed.
    #[error("{host} answered {status}, wanted 200")]
    Status {
        /// Host and port.
        host: String,
        /// The status.
        status: StatusCode,
    },
    /// Larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the answer of {0} is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge(String),
}

/// A document at a fixed URL.
pub struct Document {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A URL that cannot be fetched from.
#[derive(Debug, thiserror::Error)]
#[error("wanted https://HOST/PATH, or http:// to a loopback address")]
pub struct BadUrl;

impl Document {
    /// The document at `uri`: `https` anywhere, `http` to a loopback address only. `extra_roots` are trusted beside the public ones.
    pub fn at(uri: Uri, extra_roots: &[CertificateDer<'static>]) -> Result<Self, BadUrl> {
        let host = uri.host().ok_or(BadUrl)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (port, tls) = match uri.scheme_str() {
            Some("https") => (443, true),
            Some("http") if is_loopback(&host) => (80, false),
            _ => return Err(BadUrl),
        };
        let tls = if tls {
            let name = ServerName::try_from(host.clone()).map_err(|_| BadUrl)?;
            Some((connector(extra_roots), name))
        } else {
            None
        };
        Ok(Self { port: uri.port_u16().unwrap_or(port), host, uri, tls })
    }

    async fn get(&self) -> Result<Bytes, FetchError> {
        let connect = |error| FetchError::Connect { host: self.place(), error };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(connect)?;
        match &self.tls {
            Some((connector, name)) => self.over(connector.connect(name.clone(), stream).await.map_err(connect)?).await,
            None => self.over(stream).await,
        }
    }

    async fn over(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Bytes, FetchError> {
        let broke = |error| FetchError::Http { host: self.place(), error };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(broke)?;
        let mut connection = std::pin::pin!(connection);
        let answer = async {
            let response = sender.send_request(self.request()).await.map_err(broke)?;
            self.body(response).await
        };
        tokio::select! {
            answer = answer => answer,
            // The connection only ends first when it broke; the answer then says how.
            Err(error) = &mut connection => Err(broke(error)),
        }
    }

    fn request(&self) -> Request<String> {
        let path = self.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
        let mut request = Request::new(String::new());
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        if let Some(host) = self.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
            headers.insert(HOST, host);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("guard/", env!("CARGO_PKG_VERSION"))));
        request
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, FetchError> {
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { host: self.place(), status: response.status() });
        }
        let mut body = std::pin::pin!(response.into_body());
        let mut document = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|error| FetchError::Http { host: self.place(), error })?;
            let Ok(data) = frame.into_data() else { continue };
            if document.len() + data.len() > MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLarge(self.place()));
            }
            document.extend_from_slice(&data);
        }
        Ok(document.into())
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Source for Document {
    async fn fetch(&self) -> Result<Bytes, FetchError> {
        tokio::time::timeout(MAX_TIME, self.get()).await.unwrap_or_else(|_| Err(FetchError::Timeout(self.place())))
    }
}

fn connector(extra_roots: &[CertificateDer<'static>]) -> TlsConnector {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(extra_roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[expect(clippy::expect_used, reason = "aws-lc-rs supports the protocol versions that rustls calls safe")]
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("safe protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
