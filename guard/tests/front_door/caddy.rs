//! The real Caddy, set up as authentik's documentation says: an outpost and a photo server enter, an address leaves.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use testkit::google::Folder;

use crate::tool;
use testkit::process::Process;

/// A running Caddy. It is killed when it is dropped.
pub(crate) struct Caddy {
    pub(crate) address: SocketAddr,
    _process: Process,
    _folder: Folder,
}

impl Caddy {
    /// Starts it on a free port, with authentik's outpost before Immich.
    pub(crate) fn start(host: &str, outpost: &str, immich: &str) -> Self {
        Self::with(
            host,
            &format!(
                "
		reverse_proxy /outpost.goauthentik.io/* {outpost}
		forward_auth {outpost} {{
			uri /outpost.goauthentik.io/auth/caddy
			copy_headers {{
				X-Authentik-Username
				X-Authentik-Groups
				X-Authentik-Entitlements
				X-Authentik-Email
				X-Authentik-Name
				X-Authentik-Uid
				X-Authentik-Jwt
				X-Authentik-Meta-Jwks
				X-Authentik-Meta-Outpost
				X-Authentik-Meta-Provider
				X-Authentik-Meta-App
				X-Authentik-Meta-Version
			}}
		}}
		reverse_proxy {immich}"
            ),
        )
    }

    /// The socket is ours, and Caddy takes it over: nobody else can get the port in between.
    fn with(host: &str, route: &str) -> Self {
        let folder = Folder::new();
        let global = "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n}";
        let file = folder.write("Caddyfile", &format!("{global}\nhttp://{host} {{\n\tbind fd/0\n\troute {{{route}\n\t}}\n}}\n"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut command = Command::new(tool("CADDY").expect("somebody looked"));
        command.args(["run", "--config", &file, "--adapter", "caddyfile"]).env_clear().env("HOME", folder.path());
        let process = Process::spawn_on(command, Stdio::from(OwnedFd::from(listener)));
        Self { address, _process: process, _folder: folder }
    }
}
