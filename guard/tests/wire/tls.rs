//! The key set over https: only from a server that a trusted authority vouches for.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use testkit::{Immich, Issuer, RawClient, environment};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Serves `document` over TLS as `localhost`; gives the URL and the authority's certificate as PEM.
async fn serve_keys(document: String) -> Result<(String, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://localhost:{}/cdn-cgi/access/certs", listener.local_addr()?.port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, document) = (acceptor.clone(), document.clone());
            // One each: a connection that says nothing must not keep the next one waiting.
            tokio::spawn(async move {
                // A client that does not trust us breaks off here.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut request).await, Ok(1..)) {}
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{document}", document.len());
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            });
        }
    });
    Ok((url, pem(authority.der())))
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn keys_come_over_https_from_a_trusted_server_only() -> Result {
    let (issuer, immich) = (Issuer::start().await, Immich::start().await);
    let (url, authority) = serve_keys(serde_json::json!({"keys": [issuer.signer().jwk()]}).to_string()).await?;
    let file = std::env::temp_dir().join(format!("guard-test-authority-{}.pem", std::process::id()));
    std::fs::write(&file, authority)?;

    let mut args = environment::args(&issuer, &immich.url());
    args.door.jwks_url = Some(url);
    let distrustful = environment::open(&args);
    args.process.ca_file = Some(file.display().to_string());
    let trusting = environment::open(&args);
    std::fs::remove_file(&file)?;

    trusting.trust_source.ready().await;
    let token = issuer.token_for("ada@example.com");
    let mut client = RawClient::connect(trusting.address).await;
    client.send(format!("GET /api/server/ping HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await;
    assert_eq!(client.read_response().await.status, 200);

    distrustful.keys().unwrap().attempted().await;
    assert!(distrustful.keys().unwrap().current().is_none(), "keys of a server that nobody vouches for");
    assert!(distrustful.metrics.jwks_fetches.failed.get() >= 1);
    for door in [trusting, distrustful] {
        door.stop();
    }
    Ok(())
}
