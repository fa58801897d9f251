//! The configuration of `guard idtoken`, with the variables of both source designs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::cors::Cors;
use super::hosts::Hosts;
use super::source::{Credentials, Place, metadata};
use crate::allow_list::AllowList;
use crate::config::{Authority, FrontDoorArgs, FrontDoorConfig, ProcessArgs, ProcessConfig};
use crate::config::{Problems, Reader, everywhere, given, read, units};
use crate::tls::Trust;

/// The default of `GUARD_MAX_BODY` for outbound requests: the limit of Cloud Run for HTTP/1 ("Quotas and limits", Cloud Run docs).
pub const DEFAULT_MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;
/// The header that Cloud Run reads first and removes before the container receives the request. The application keeps `Authorization`.
pub const X_SERVERLESS_AUTHORIZATION: HeaderName = HeaderName::from_static("x-serverless-authorization");

const WANTED_BACKEND: &str = "LISTEN=URL[;audience=A][;header=authorization|x-serverless-authorization][;ping=local|forward]\
[;retry=on|off], such as 0.0.0.0:8080=https://ml-abc.run.example";
const WANTED_URL: &str = "https://HOST[/PATH], or http:// to a loopback address only";

/// The flags and variables of `guard idtoken`, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct IdtokenArgs {
    /// A backend, as `LISTEN=URL[;audience=A][;header=NAME][;ping=local|forward][;retry=on|off]`; may be repeated
    #[arg(long, env = "GUARD_IDTOKEN_BACKENDS", value_name = "BACKEND", hide_env_values = true, value_delimiter = ' ')]
    pub backend: Vec<String>,
    /// The URL of the only backend, served on PORT (the variable of immich-auth-proxy)
    #[arg(long, env = "UPSTREAM_SERVER_URL", value_name = "URL", hide_env_values = true)]
    pub upstream_server_url: Option<String>,
    /// The URL of the only backend (the variable of the Flask auth-proxy)
    #[arg(long, env = "BACKEND_URL", value_name = "URL", hide_env_values = true)]
    pub backend_url: Option<String>,
    /// The port on which the only backend is served [default: 8080]
    #[arg(long, env = "PORT", value_name = "PORT", hide_env_values = true)]
    pub port: Option<String>,
    /// A credential file of Google [default: use the metadata server]
    #[arg(long, env = "GOOGLE_APPLICATION_CREDENTIALS", value_name = "FILE", hide_env_values = true)]
    pub google_application_credentials: Option<String>,
    /// The metadata server, as HOST or HOST:PORT [default: metadata.google.internal]
    #[arg(long, env = "GCE_METADATA_HOST", value_name = "HOST", hide_env_values = true)]
    pub gce_metadata_host: Option<String>,
    /// The largest request body; 0 = no limit [default: 32MiB]
    #[arg(long, env = "GUARD_MAX_BODY", value_name = "SIZE", hide_env_values = true)]
    pub max_body: Option<String>,
    /// The time limit for opening a connection to a backend; the response has no time limit [default: 10s]
    #[arg(long, env = "GUARD_UPSTREAM_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub upstream_timeout: Option<String>,
    /// Allowed browser origins, comma-separated, each exact [default: no CORS]
    #[arg(long, env = "GUARD_CORS_ORIGINS", value_name = "LIST", hide_env_values = true)]
    pub cors_origins: Option<String>,
    /// Public host names under which the listeners are used, comma-separated; addresses and private names need no entry [default: none]
    #[arg(long, env = "GUARD_IDTOKEN_HOSTS", value_name = "NAMES", hide_env_values = true)]
    pub idtoken_hosts: Option<String>,
    /// The front door that authenticates clients; unset: every client that reaches the port may use the backends.
    #[command(flatten)]
    pub door: FrontDoorArgs,
    /// The arguments of every serving process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// The checked configuration of `guard idtoken`.
#[derive(Clone, Debug)]
pub struct IdtokenConfig {
    /// The backends, each with a listener.
    pub backends: Vec<BackendConfig>,
    /// The source of tokens.
    pub credentials: Place,
    /// The authentication of clients; none: every client that reaches the port may use the backends.
    pub inbound: Option<(FrontDoorConfig, AllowList)>,
    /// The allowed browser origins.
    pub cors: Option<Cors>,
    /// The accepted host names.
    pub hosts: Hosts,
    /// The largest request body in bytes; none = no limit.
    pub max_body: Option<u64>,
    /// The time limit for opening a connection to a backend.
    pub connect_timeout: Duration,
    /// The arguments of every serving process.
    pub process: ProcessConfig,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendConfig {
    /// The address of its listener, and the variable that set it.
    pub listen: (SocketAddr, &'static str),
    /// Its URL.
    pub url: BackendUrl,
    /// The audience of its tokens.
    pub audience: String,
    /// The header for the token.
    pub header: HeaderName,
    /// Whether guard or the backend answers `GET /ping`.
    pub ping: Ping,
    /// Whether a small request is sent again after a cold start's 429 or 503.
    pub retry: bool,
}

/// The parts of a backend's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendUrl {
    /// The host and port to connect to.
    pub authority: Authority,
    /// Whether the connection uses TLS.
    pub https: bool,
    /// The value of `Host`, without the default port of the scheme.
    pub host: HeaderValue,
    /// The prefix of every path: empty, or `/a/b` without a slash at its end.
    pub base: String,
}

/// The component that answers `GET /ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// guard answers, so that the backend need not be running.
    Local,
    /// The request is forwarded to the backend.
    Forward,
}

impl BackendUrl {
    fn read(text: &str) -> Result<(Self, String), String> {
        let wanted = || WANTED_URL.to_owned();
        let uri: Uri = text.parse().map_err(|_| wanted())?;
        let name = uri.host().filter(|host| !host.is_empty()).ok_or_else(wanted)?.to_ascii_lowercase();
        let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let userinfo = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let (scheme, https, own_port) = match uri.scheme_str() {
            Some("https") => ("https", true, 443),
            Some("http") if read::is_loopback(&host) => ("http", false, 80),
            _ => return Err(wanted()),
        };
        if userinfo || uri.query().is_some() {
            return Err(wanted());
        }
        let port = uri.port_u16().unwrap_or(own_port);
        let spoken = if port == own_port { name } else { format!("{name}:{port}") };
        let url = Self {
            authority: Authority { host, port },
            https,
            host: HeaderValue::from_str(&spoken).map_err(|_| wanted())?,
            base: uri.path().trim_end_matches('/').to_owned(),
        };
        Ok((url, format!("{scheme}://{spoken}")))
    }
}

impl BackendConfig {
    fn at(listen: (SocketAddr, &'static str), url: &str) -> Result<Self, String> {
        let (url, audience) = BackendUrl::read(url)?;
        Ok(Self { listen, url, audience, header: X_SERVERLESS_AUTHORIZATION, ping: Ping::Local, retry: true })
    }

    fn read(text: &str) -> Result<Self, String> {
        let (listen, rest) = text.split_once('=').ok_or(WANTED_BACKEND)?;
        let mut parts = rest.split(';');
        let listen = (read::listen(listen).map_err(|wanted| format!("LISTEN to be {wanted}"))?, "GUARD_IDTOKEN_BACKENDS");
        let mut backend = Self::at(listen, parts.next().unwrap_or_default()).map_err(|wanted| format!("URL to be {wanted}"))?;
        for option in parts {
            match option.split_once('=').ok_or(WANTED_BACKEND)? {
                ("audience", audience) if !audience.is_empty() && audience.is_ascii() => {
                    audience.clone_into(&mut backend.audience);
                }
                ("header", name) if name.eq_ignore_ascii_case("authorization") => backend.header = AUTHORIZATION,
                ("header", name) if name.eq_ignore_ascii_case(X_SERVERLESS_AUTHORIZATION.as_str()) => {}
                ("ping", "local") => backend.ping = Ping::Local,
                ("ping", "forward") => backend.ping = Ping::Forward,
                ("retry", "on") => backend.retry = true,
                ("retry", "off") => backend.retry = false,
                _ => return Err(WANTED_BACKEND.to_owned()),
            }
        }
        Ok(backend)
    }
}

impl IdtokenArgs {
    /// Checks everything. The error lists every problem.
    pub fn check(&self) -> Result<IdtokenConfig, Problems> {
        let mut r = Reader::default();
        let backends = self.check_backends(&mut r);
        let inbound = given(self.door.front_door.as_deref()).and_then(|_| self.door.check(&mut r, None));
        let allow = self.door.check_allow_list(&mut r);
        // A list that no front door fills with identities would guard nothing, and look as if it did.
        if given(self.door.front_door.as_deref()).is_none() {
            for (name, value) in
                [("GUARD_ALLOW_EMAIL", &self.door.allow_email), ("GUARD_ALLOW_SERVICE", &self.door.allow_service)]
            {
                if given(value.as_deref()).is_some() {
                    r.problem(
                        name,
                        None,
                        "to be unset, or GUARD_FRONT_DOOR beside it: without a front door nobody has an identity",
                    );
                }
            }
        }
        let hosts = r.value("GUARD_IDTOKEN_HOSTS", given(self.idtoken_hosts.as_deref()), Hosts::default(), Hosts::read);
        let cors = r.value("GUARD_CORS_ORIGINS", given(self.cors_origins.as_deref()), None, |text| Cors::read(text).map(Some));
        let max_body = r.value("GUARD_MAX_BODY", given(self.max_body.as_deref()), DEFAULT_MAX_BODY_BYTES, units::read_size);
        let connect_timeout = r.value(
            "GUARD_UPSTREAM_TIMEOUT",
            given(self.upstream_timeout.as_deref()),
            Duration::from_secs(10),
            units::read_positive_duration,
        );
        let listens: Vec<_> = backends.iter().map(|backend| backend.listen.0).collect();
        let process = self.process.check(&mut r, &listens);
        let credentials = self.check_credentials(&mut r, &Trust::new(&process.extra_roots));
        r.finish(IdtokenConfig {
            backends,
            credentials,
            inbound: inbound.map(|door| (door, allow)),
            cors,
            hosts,
            max_body: (max_body != 0).then_some(max_body),
            connect_timeout,
            process,
        })
    }

    fn check_backends(&self, r: &mut Reader) -> Vec<BackendConfig> {
        let mut backends = Vec::new();
        for text in self.backend.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            match BackendConfig::read(text) {
                Ok(backend) => backends.push(backend),
                Err(wanted) => r.problem("GUARD_IDTOKEN_BACKENDS", Some(text), wanted),
            }
        }
        let port = r.value("PORT", given(self.port.as_deref()), 8080, |text| {
            text.parse::<u16>().map_err(|_| "a port, such as 8080".to_owned())
        });
        let (upstream, backend) = (given(self.upstream_server_url.as_deref()), given(self.backend_url.as_deref()));
        if upstream.is_some() && backend.is_some() && upstream != backend {
            r.problem(
                "BACKEND_URL",
                backend,
                "the same as UPSTREAM_SERVER_URL, or only one of them: both name the backend on PORT",
            );
        }
        let alone = [("UPSTREAM_SERVER_URL", upstream), ("BACKEND_URL", backend)];
        let named = alone.iter().find_map(|(variable, text)| Some((*variable, (*text)?)));
        if let Some((variable, url)) = named {
            match BackendConfig::at((everywhere(port), "PORT"), url) {
                Ok(backend) => backends.push(backend),
                Err(wanted) => r.problem(variable, Some(url), wanted),
            }
        }
        if r.is_clean() && backends.is_empty() {
            r.problem(
                "UPSTREAM_SERVER_URL",
                None,
                "the backend's URL (or BACKEND_URL, or GUARD_IDTOKEN_BACKENDS for more than one)",
            );
        }
        for (number, backend) in backends.iter().enumerate() {
            let (listen, variable) = backend.listen;
            if listen.port() != 0 && backends[..number].iter().any(|other| other.listen.0 == listen) {
                r.problem(variable, Some(&listen.to_string()), "an address of its own for each backend");
            }
        }
        backends
    }

    fn check_credentials(&self, r: &mut Reader, trust: &Trust) -> Place {
        let host =
            r.value("GCE_METADATA_HOST", given(self.gce_metadata_host.as_deref()), metadata::DEFAULT_HOST.to_owned(), |text| {
                let authority = text.parse::<hyper::http::uri::Authority>().ok().filter(|_| !text.contains('@'));
                authority
                    .map(|_| text.to_owned())
                    .ok_or_else(|| "a host or host:port without a scheme, such as 127.0.0.1:8091".to_owned())
            });
        let Some(path) = given(self.google_application_credentials.as_deref()) else { return Place::Metadata(host) };
        let place = Place::File(PathBuf::from(path));
        if let Err(error) = Credentials::at(&place, trust) {
            r.problem("GOOGLE_APPLICATION_CREDENTIALS", Some(path), format!("a credential file of Google ({error})"));
        }
        place
    }
}

#[cfg(test)]
mod tests;
