//! An authority and the certificate that cloudflared asks for by name: PEM for `--cacert`, and an acceptor that shows it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The name that cloudflared wants the edge to prove when it speaks HTTP/2.
pub(super) const SERVER_NAME: &str = "h2.cftunnel.com";
/// The only protocol on these connections. cloudflared offers none and means this one; a plain HTTP/2 library wants it settled.
const ALPN: &[u8] = b"h2";

pub(super) struct Certificate {
    pub(super) authority: String,
    pub(super) acceptor: TlsAcceptor,
}

pub(super) fn issue() -> Certificate {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(vec![SERVER_NAME.to_owned()]).expect("a name");
    let certificate = names.signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3");
    let mut config =
        builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).expect("a key that fits");
    config.alpn_protocols = vec![ALPN.to_vec()];
    let body = STANDARD.encode(authority.der());
    let authority = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    Certificate { authority, acceptor: TlsAcceptor::from(Arc::new(config)) }
}
