//! The variables of a front door that is asked about each request: where the auth server is, and what its answers mean.
//!
//! A preset is what one product documents; a variable overrides one entry of it.

use clap::Args;
use hyper::header::HeaderName;

use crate::config::{External, Reader, ServerUrl, given, read};

/// What flags and variables said about an auth server.
#[derive(Args, Clone, Debug, Default)]
pub struct ForwardAuthArgs {
    /// The auth server, as <http://host:port> (required for forward-auth)
    #[arg(long, env = "GUARD_AUTH_URL", value_name = "URL", hide_env_values = true)]
    pub auth_url: Option<String>,
    /// authentik, oauth2-proxy, authelia, tinyauth or custom [default: authentik]
    #[arg(long, env = "GUARD_AUTH_PRESET", value_name = "NAME", hide_env_values = true)]
    pub auth_preset: Option<String>,
    /// The path that is asked [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_PATH", value_name = "PATH", hide_env_values = true)]
    pub auth_path: Option<String>,
    /// The header of a 2xx that names the sender; without it nobody passes [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_IDENTITY_HEADER", value_name = "NAME", hide_env_values = true)]
    pub auth_identity_header: Option<String>,
    /// The header of a 2xx that has the sender's address [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_EMAIL_HEADER", value_name = "NAME", hide_env_values = true)]
    pub auth_email_header: Option<String>,
    /// The headers of a 2xx that Immich gets, comma-separated [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_COPY_HEADERS", value_name = "LIST", hide_env_values = true)]
    pub auth_copy_headers: Option<String>,
    /// The path below which requests are the auth server's own, such as /oauth2/ [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_OWN_PATH", value_name = "PATH", hide_env_values = true)]
    pub auth_own_path: Option<String>,
    /// Where a browser is sent when the answer is a bare 401, such as /oauth2/start?rd={uri} [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_SIGN_IN", value_name = "PATH|URL", hide_env_values = true)]
    pub auth_sign_in: Option<String>,
    /// The auth server's cookies, comma-separated; a `*` at the end stands for any rest [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_COOKIES", value_name = "LIST", hide_env_values = true)]
    pub auth_cookies: Option<String>,
}

/// An auth server that is asked about each request.
#[derive(Clone, Debug)]
pub struct ForwardAuthConfig {
    /// Where it is.
    pub server: ServerUrl,
    /// The public address: what it is told that the request was for.
    pub external: External,
    /// The path, with its query if it has one, that is asked.
    pub path: String,
    /// The header of a 2xx that names the sender.
    pub identity: HeaderName,
    /// The header of a 2xx that has the sender's address.
    pub email: Option<HeaderName>,
    /// The header of a 2xx by which an account without an address is listed.
    pub name: HeaderName,
    /// The headers of a 2xx that Immich gets.
    pub copy: Vec<HeaderName>,
    /// The path below which requests are its own.
    pub own_path: Option<String>,
    /// Where a browser is sent on a bare 401; `{uri}` stands for what it asked for.
    pub sign_in: Option<String>,
    /// Its cookies; a `*` at the end stands for any rest.
    pub cookies: Vec<String>,
    /// Whether its yes to a password holds for every path of the host.
    pub same_everywhere: bool,
    /// Whether a redirect must name our public address as the one to come back to: a check that only authentik's allows.
    pub checks_redirect: bool,
}

/// What one product documents.
struct Preset {
    name: &'static str,
    path: &'static str,
    identity: &'static str,
    email: &'static str,
    account: &'static str,
    copy: &'static str,
    own_path: &'static str,
    sign_in: &'static str,
    cookies: &'static str,
    same_everywhere: bool,
}

/// authentik "Proxy provider, header authentication"; oauth2-proxy "Integration" (`--set-xauthrequest`); Authelia "Proxy authorization";
/// Tinyauth "Proxy authentication". Authelia's and Tinyauth's rules may differ by path, so their answers are good for one request.
const PRESETS: [Preset; 5] = [
    Preset {
        name: "authentik",
        path: "/outpost.goauthentik.io/auth/caddy",
        identity: "x-authentik-uid",
        email: "x-authentik-email",
        account: "x-authentik-username",
        copy: "x-authentik-username,x-authentik-groups,x-authentik-entitlements,x-authentik-email,x-authentik-name,x-authentik-uid",
        own_path: "/outpost.goauthentik.io/",
        sign_in: "",
        cookies: "authentik_proxy_*",
        same_everywhere: true,
    },
    Preset {
        name: "oauth2-proxy",
        path: "/oauth2/auth",
        identity: "x-auth-request-user",
        email: "x-auth-request-email",
        account: "x-auth-request-user",
        copy: "x-auth-request-user,x-auth-request-email,x-auth-request-preferred-username,x-auth-request-groups",
        own_path: "/oauth2/",
        sign_in: "/oauth2/start?rd={uri}",
        cookies: "_oauth2_proxy*",
        same_everywhere: true,
    },
    Preset {
        name: "authelia",
        path: "/api/authz/forward-auth",
        identity: "remote-user",
        email: "remote-email",
        account: "remote-user",
        copy: "remote-user,remote-groups,remote-email,remote-name",
        own_path: "",
        sign_in: "",
        cookies: "authelia_session",
        same_everywhere: false,
    },
    Preset {
        name: "tinyauth",
        path: "/api/auth/traefik",
        identity: "remote-user",
        email: "remote-email",
        account: "remote-user",
        copy: "remote-user,remote-groups,remote-email,remote-name",
        own_path: "",
        sign_in: "",
        cookies: "tinyauth*",
        same_everywhere: false,
    },
    Preset {
        name: "custom",
        path: "",
        identity: "",
        email: "",
        account: "",
        copy: "",
        own_path: "",
        sign_in: "",
        cookies: "",
        same_everywhere: false,
    },
];

impl ForwardAuthArgs {
    /// Checks it all. `wants_address`: an allow list of addresses is set, so there must be one to look at.
    pub(super) fn check<'a>(
        &'a self,
        r: &mut Reader,
        external: Option<&External>,
        wants_address: bool,
    ) -> Option<ForwardAuthConfig> {
        let wanted = "the auth server, such as http://authentik-outpost:9000";
        let server = r.required("GUARD_AUTH_URL", given(self.auth_url.as_deref()), wanted, read::server);
        if external.is_none() && !r.has("GUARD_EXTERNAL_URL") {
            r.problem(
                "GUARD_EXTERNAL_URL",
                None,
                "the public address: an auth server is told which application a request is for",
            );
        }
        let preset = r.value("GUARD_AUTH_PRESET", given(self.auth_preset.as_deref()), Some(&PRESETS[0]), |text| {
            PRESETS
                .iter()
                .find(|preset| preset.name == text)
                .map(Some)
                .ok_or_else(|| format!("one of {}", PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ")))
        })?;
        // What was said, else what the product documents, else nothing.
        let text = |said: &'a Option<String>, own: &'static str| given(said.as_deref()).or_else(|| given(Some(own)));

        let said = text(&self.auth_path, preset.path);
        let path = r.required("GUARD_AUTH_PATH", said, "the path that is asked, such as /auth", read::path);
        let said = text(&self.auth_identity_header, preset.identity);
        let wanted = "the header of a 2xx that names the sender, such as Remote-User";
        let identity = r.required("GUARD_AUTH_IDENTITY_HEADER", said, wanted, read::header);
        let said = text(&self.auth_email_header, preset.email);
        let email = r.value("GUARD_AUTH_EMAIL_HEADER", said, None, |text| read::header(text).map(Some));
        if wants_address && email.is_none() && !r.has("GUARD_AUTH_EMAIL_HEADER") {
            r.problem("GUARD_AUTH_EMAIL_HEADER", None, "the header of a 2xx with the sender's address: GUARD_ALLOW_EMAIL is set");
        }
        let said = text(&self.auth_copy_headers, preset.copy);
        let copy = r.value("GUARD_AUTH_COPY_HEADERS", said, Vec::new(), read::headers);
        let said = text(&self.auth_own_path, preset.own_path);
        let own_path = r.value("GUARD_AUTH_OWN_PATH", said, None, |text| own_path(text).map(Some));
        let said = text(&self.auth_sign_in, preset.sign_in);
        let sign_in = r.value("GUARD_AUTH_SIGN_IN", said, None, |text| sign_in(text).map(Some));
        let cookies = r.value("GUARD_AUTH_COOKIES", text(&self.auth_cookies, preset.cookies), Vec::new(), cookies);

        let identity = identity?;
        // Whoever names people anew names accounts so, too.
        let overridden = given(self.auth_identity_header.as_deref()).is_some();
        let account = if overridden { None } else { given(Some(preset.account)).and_then(|name| name.parse().ok()) };
        Some(ForwardAuthConfig {
            server: server?,
            external: external?.clone(),
            path: path?,
            name: account.unwrap_or_else(|| identity.clone()),
            identity,
            email,
            copy,
            own_path,
            sign_in,
            cookies,
            same_everywhere: preset.same_everywhere,
            checks_redirect: preset.name == "authentik",
        })
    }
}

/// A path that ends in `/`, and is not all of them: what is below it is never asked about, and never Immich's.
fn own_path(text: &str) -> Result<String, String> {
    let wanted = "a path that begins and ends with /, such as /oauth2/, and is nobody else's (not /, /api/ or /share/)";
    let taken = ["/", "/api/", "/share/", "/s/", "/_app/"].contains(&text);
    match read::path(text) {
        Ok(path) if path.ends_with('/') && !path.contains(['?', '%']) && !taken && !path.starts_with("/api/") => Ok(path),
        _ => Err(wanted.to_owned()),
    }
}

fn sign_in(text: &str) -> Result<String, String> {
    let wanted = || "a path or an https URL; {uri} stands for the path that was asked for".to_owned();
    let tried = text.replace("{uri}", "%2F");
    let good = read::path(&tried).is_ok()
        || tried.parse::<hyper::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
    if good { Ok(text.to_owned()) } else { Err(wanted()) }
}

/// Names of cookies. Immich's own are never the auth server's.
fn cookies(text: &str) -> Result<Vec<String>, String> {
    let names = read::names(text)?;
    let bad = |name: &String| {
        let stem = name.strip_suffix('*').unwrap_or(name);
        stem.is_empty() || stem.contains(['*', '=', ';']) || "immich_".starts_with(stem) || stem.starts_with("immich_")
    };
    if names.iter().any(bad) {
        return Err("names of cookies, comma-separated, such as session or session_*, none of them Immich's".to_owned());
    }
    Ok(names)
}
