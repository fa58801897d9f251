//! The real oauth2-proxy, as its documentation sets it up for an `auth_request`: a provider enters, an address leaves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use testkit::google::Folder;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};

use crate::provider::Provider;
use crate::tool;
use testkit::process::Process;
use testkit::wait::eventually;

/// Its name and its secret at the provider.
pub(crate) const CLIENT: (&str, &str) = ("oauth2-proxy", "another-secret-of-this-test");

/// A running oauth2-proxy. It is killed when it is dropped.
pub(crate) struct Oauth2Proxy {
    pub(crate) address: SocketAddr,
    _process: Process,
    _folder: Folder,
}

impl Oauth2Proxy {
    /// Starts it for `url`, on a socket in a folder of its own, before which a TCP port stands: it can name no port that it chose itself.
    pub(crate) async fn start(provider: &Provider, url: &str) -> Self {
        let folder = Folder::new();
        let socket = folder.path().join("socket");
        let (id, secret) = CLIENT;
        let host = provider.issuer.trim_start_matches("http://");
        let mut command = Command::new(tool("OAUTH2_PROXY").expect("somebody looked"));
        command.env_clear().args([
            format!("--http-address=unix://{}", socket.display()),
            "--provider=oidc".to_owned(),
            format!("--oidc-issuer-url={}", provider.issuer),
            format!("--client-id={id}"),
            format!("--redirect-url={url}/oauth2/callback"),
            format!("--whitelist-domain={host}"),
            "--email-domain=*".to_owned(),
            "--upstream=static://202".to_owned(),
            "--reverse-proxy=true".to_owned(),
            "--set-xauthrequest=true".to_owned(),
            "--cookie-secure=false".to_owned(),
        ]);
        command.env("OAUTH2_PROXY_CLIENT_SECRET", secret).env("OAUTH2_PROXY_COOKIE_SECRET", "0123456789abcdef0123456789abcdef");
        let process = Process::spawn(command);
        eventually("oauth2-proxy to listen", || socket.exists()).await;
        Self { address: relay(socket).await, _process: process, _folder: folder }
    }
}

/// A TCP port whose connections go on to a socket of the file system. It ends with the runtime.
async fn relay(socket: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                if let Ok(mut to) = UnixStream::connect(socket).await {
                    // Whoever ends it, ends it.
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    address
}
