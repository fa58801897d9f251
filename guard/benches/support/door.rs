//! The two proxies with the same rules: a valid Access token, at most 100 MiB of body, everything else to the backend.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::access::{AUDIENCE, Access, ISSUER, TEAM, anonymous_head};
use super::process::{Proxy, free_address};
use super::{BODY_LIMIT_BYTES, Outcome, Scratch};

/// How long a proxy may take to start.
const START: Duration = Duration::from_secs(20);
/// How often a proxy that starts is asked whether it has.
const START_POLL: Duration = Duration::from_micros(500);
/// How long one of the checks may wait for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What both proxies are told alike.
pub(crate) struct Setting<'a> {
    pub(crate) access: &'a Access,
    pub(crate) upstream: SocketAddr,
    /// Worker threads.
    pub(crate) workers: usize,
    /// One line for each request.
    pub(crate) access_log: bool,
}

/// A proxy that is ready, and where it listens.
pub(crate) struct Door {
    pub(crate) proxy: Proxy,
    pub(crate) address: SocketAddr,
    /// The admin port, where there is one.
    pub(crate) admin: Option<SocketAddr>,
}

/// Starts `guard origin` and returns once `/readyz` is 200: it listens and has the key set.
pub(crate) fn guard(binary: &Path, setting: &Setting<'_>) -> Outcome<Door> {
    let (address, admin) = (free_address()?, free_address()?);
    let mut command = Command::new(binary);
    command
        .arg("origin")
        .env_clear()
        .env("GUARD_LISTEN", address.to_string())
        .env("GUARD_ADMIN_LISTEN", admin.to_string())
        .env("GUARD_UPSTREAM", format!("http://{}", setting.upstream))
        .env("GUARD_ACCESS_TEAM", TEAM)
        .env("GUARD_ACCESS_AUD", AUDIENCE)
        .env("GUARD_JWKS_URL", setting.access.key_set_url())
        .env("GUARD_MAX_BODY", BODY_LIMIT_BYTES.to_string())
        .env("GUARD_WORKERS", setting.workers.to_string())
        .env("GUARD_LOG", if setting.access_log { "info" } else { "warn" });
    let mut proxy = Proxy::start("guard", command)?;
    let readyz = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    proxy.wait_until(START, START_POLL, || status(admin, &readyz).is_ok_and(|status| status == 200))?;
    Ok(Door { proxy, address, admin: Some(admin) })
}

/// Starts `HAProxy` and returns once a request with a token gets through. Its access lines go to stdout.
pub(crate) fn haproxy(binary: &Path, setting: &Setting<'_>, scratch: &Scratch) -> Outcome<Door> {
    let address = free_address()?;
    let pem = scratch.write("access.pem", &setting.access.public_pem)?;
    let configuration = scratch.write("haproxy.cfg", &haproxy_configuration(address, setting, &pem))?;

    let check = Command::new(binary).arg("-c").arg("-f").arg(&configuration).output()?;
    if !check.status.success() {
        let Output { stdout, stderr, .. } = check;
        let said = [stdout, stderr].concat();
        return Err(format!("haproxy -c refuses the configuration:\n{}", String::from_utf8_lossy(&said)).into());
    }
    let mut command = Command::new(binary);
    // -db: one process in the foreground, the one that is measured.
    command.arg("-db").arg("-f").arg(&configuration).env_clear();
    let mut proxy = Proxy::start("haproxy", command)?;
    let request = setting.access.head("GET /api/server/ping", "Connection: close\r\n");
    proxy.wait_until(START, START_POLL, || status(address, &request).is_ok_and(|status| status == 200))?;
    Ok(Door { proxy, address, admin: None })
}

/// The rules as `HAProxy` has them. It reads its one key at start, so it is given the signer's; it verifies every request anew.
fn haproxy_configuration(address: SocketAddr, setting: &Setting<'_>, pem: &Path) -> String {
    let Setting { upstream, workers, access_log, .. } = *setting;
    let pem = pem.display();
    let (global_log, defaults_log) =
        if access_log { ("log stdout format raw local0", "log global\n  option httplog") } else { ("", "") };
    format!(
        r#"global
  nbthread {workers}
  maxconn 2048
  {global_log}

defaults
  mode http
  {defaults_log}
  option http-keep-alive
  http-reuse always
  timeout connect 10s
  timeout client 120s
  timeout server 120s

frontend door
  bind {address}
  http-request set-var(txn.token) req.hdr(Cf-Access-Jwt-Assertion)
  http-request set-var(txn.algorithm) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.issuer) var(txn.token),jwt_payload_query('$.iss')
  http-request set-var(txn.audience) var(txn.token),jwt_payload_query('$.aud[0]')
  http-request set-var(txn.expires) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ req.hdr_cnt(Cf-Access-Jwt-Assertion) eq 1 }}
  http-request deny deny_status 401 unless {{ var(txn.algorithm) -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.algorithm,"{pem}") -m int 1 }}
  http-request deny deny_status 401 unless {{ var(txn.issuer) -m str {ISSUER} }}
  http-request deny deny_status 401 unless {{ var(txn.audience) -m str {AUDIENCE} }}
  http-request deny deny_status 401 unless {{ var(txn.expires),sub(txn.now) -m int gt 0 }}
  http-request deny deny_status 413 if {{ req.body_size gt {BODY_LIMIT_BYTES} }}
  default_backend immich

backend immich
  server immich {upstream}
"#
    )
}

impl Door {
    /// The rules hold: 200 with a token, 401 without or with a forged one, 413 for a body that announces one byte too many.
    pub(crate) fn check(&self, name: &str, access: &Access) -> Outcome<()> {
        let get = "GET /api/server/ping";
        let close = "Connection: close\r\n";
        // One letter in the middle of the signature.
        let mut forged = access.token.clone().into_bytes();
        let letter = forged.len() - 100;
        forged[letter] = if forged[letter] == b'A' { b'B' } else { b'A' };
        let forged = format!("Cf-Access-Jwt-Assertion: {}\r\n{close}", String::from_utf8_lossy(&forged));
        let too_long = format!("Content-Length: {}\r\n{close}", BODY_LIMIT_BYTES + 1);
        for (what, request, wanted) in [
            ("a request with a token", access.head(get, close), 200),
            ("a request without a token", anonymous_head(get, close), 401),
            ("a request with a forged token", anonymous_head(get, &forged), 401),
            ("a body above the limit", access.head("POST /api/assets", &too_long), 413),
        ] {
            let found = status(self.address, &request).map_err(|error| format!("{name}: {what}: {error}"))?;
            if found != wanted {
                return Err(format!("{name}: {what} got {found}, wanted {wanted}").into());
            }
        }
        Ok(())
    }
}

/// Sends a request's head and returns the status of the answer.
pub(crate) fn status(address: SocketAddr, head: &str) -> Outcome<u16> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(head.as_bytes())?;
    // "HTTP/1.1 200"
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    let line = std::str::from_utf8(&line)?;
    Ok(line.strip_prefix("HTTP/1.1 ").ok_or_else(|| format!("the answer begins with {line:?}"))?.parse()?)
}
