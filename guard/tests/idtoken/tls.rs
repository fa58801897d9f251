//! A backend over TLS, as Cloud Run is: proved by a trusted authority, kept open, and never in the clear.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use testkit::google::{Folder, Via, args, google, open};
use testkit::raw::Framing;
use testkit::{RawClient, noise};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{get, refusal};

/// TLS as `localhost` before a server in the clear; gives the port, the authority as PEM, and how many handshakes were done.
async fn tls_before(server: SocketAddr) -> (u16, String, Arc<AtomicU64>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let handshakes = Arc::new(AtomicU64::new(0));
    let count = handshakes.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, count) = (acceptor.clone(), count.clone());
            tokio::spawn(async move {
                // A client that does not trust us breaks off here.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let mut server = TcpStream::connect(server).await.unwrap();
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(authority.der()));
    (port, pem, handshakes)
}

#[tokio::test]
async fn a_backend_over_tls_gets_requests_by_a_connection_that_is_kept() {
    let ((google, cloud_run), folder) = (google(), Folder::new());
    let (port, authority, handshakes) = tls_before(cloud_run.address()).await;
    cloud_run.accept_audience(&format!("https://localhost:{port}"));
    let mut args = args(&google, &cloud_run, &folder, Via::KeyFile);
    args.backend = vec![format!("127.0.0.1:0=https://localhost:{port}")];
    args.process.workers = Some("1".to_owned());
    args.process.ca_file = Some(folder.write("ca.pem", &authority));
    let egress_proxy = open(&args);
    let mut client = RawClient::connect(egress_proxy.addresses[0]).await;
    for _ in 0..5 {
        let sent = client.blind_upload("POST /predict HTTP/1.1\r\nHost: a\r\n", 500 * 1024, Framing::Declared).await;
        assert_eq!(sent.answer.unwrap().json()["sha256"], noise::sha256(500 * 1024));
        let sent = client.blind_upload("POST /predict HTTP/1.1\r\nHost: a\r\n", 100_000, Framing::Chunked).await;
        assert_eq!(sent.status(), Some(200));
    }
    assert_eq!(handshakes.load(Ordering::SeqCst), 1);
    assert_eq!(cloud_run.last().unwrap().all("host"), [format!("localhost:{port}")]);
    egress_proxy.stop();
}

#[tokio::test]
async fn a_backend_that_nobody_vouches_for_gets_no_token() {
    let ((google, cloud_run), folder) = (google(), Folder::new());
    let (port, _authority, handshakes) = tls_before(cloud_run.address()).await;
    let mut args = args(&google, &cloud_run, &folder, Via::KeyFile);
    args.backend = vec![format!("127.0.0.1:0=https://localhost:{port}")];
    let egress_proxy = open(&args);
    let mut client = RawClient::connect(egress_proxy.addresses[0]).await;
    client.send(get("/", "")).await;
    assert_eq!(refusal(&client.read_response().await), (502, "upstream-unreachable"));
    assert_eq!((handshakes.load(Ordering::SeqCst), cloud_run.seen().connections), (0, 0));
    egress_proxy.stop();
}
