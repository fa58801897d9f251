//! The variables of an auth server: its address, and the meaning of its responses.
//!
//! A preset holds the documented values of one product; a variable overrides one value of it.

use clap::Args;
use hyper::header::HeaderName;

use crate::config::address::{External, ServerUrl};
use crate::config::problems::{Reader, given};
use crate::config::read;

/// The flags and variables of an auth server, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct ForwardAuthArgs {
    /// The address of the auth server, as <http://host:port> (required for forward-auth)
    #[arg(long, env = "GUARD_AUTH_URL", value_name = "URL", hide_env_values = true)]
    pub auth_url: Option<String>,
    /// The product: authentik, oauth2-proxy, authelia, tinyauth or custom [default: authentik]
    #[arg(long, env = "GUARD_AUTH_PRESET", value_name = "NAME", hide_env_values = true)]
    pub auth_preset: Option<String>,
    /// The path of the auth request [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_PATH", value_name = "PATH", hide_env_values = true)]
    pub auth_path: Option<String>,
    /// The header of a 2xx response that names the sender; without it the request is refused [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_IDENTITY_HEADER", value_name = "NAME", hide_env_values = true)]
    pub auth_identity_header: Option<String>,
    /// The header of a 2xx response that holds the sender's email address [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_EMAIL_HEADER", value_name = "NAME", hide_env_values = true)]
    pub auth_email_header: Option<String>,
    /// The headers of a 2xx response that are copied to the request for Immich, comma-separated [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_COPY_HEADERS", value_name = "LIST", hide_env_values = true)]
    pub auth_copy_headers: Option<String>,
    /// The path below which requests go to the auth server, such as /oauth2/ [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_OWN_PATH", value_name = "PATH", hide_env_values = true)]
    pub auth_own_path: Option<String>,
    /// The sign-in redirect for a browser if the response is 401, such as /oauth2/start?rd={uri} [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_SIGN_IN", value_name = "PATH|URL", hide_env_values = true)]
    pub auth_sign_in: Option<String>,
    /// The names of the auth server's cookies, comma-separated; a `*` at the end matches any ending [default: the preset's]
    #[arg(long, env = "GUARD_AUTH_COOKIES", value_name = "LIST", hide_env_values = true)]
    pub auth_cookies: Option<String>,
}

/// The checked configuration of an auth server.
#[derive(Clone, Debug)]
pub struct ForwardAuthConfig {
    /// The address of the auth server.
    pub server: ServerUrl,
    /// The public address, which the auth request contains.
    pub external: External,
    /// The path of the auth request, with its query if it has one.
    pub path: String,
    /// The header of a 2xx response that names the sender.
    pub identity: HeaderName,
    /// The header of a 2xx response that holds the sender's email address.
    pub email: Option<HeaderName>,
    /// The header of a 2xx response with the name of an account without an email address, for the allow list.
    pub name: HeaderName,
    /// The headers of a 2xx response that are copied to the request for Immich.
    pub copy: Vec<HeaderName>,
    /// The path below which requests go to the auth server.
    pub own_path: Option<String>,
    /// The sign-in redirect for a browser on 401; `{uri}` stands for the requested path.
    pub sign_in: Option<String>,
    /// The names of the auth server's cookies; a `*` at the end matches any ending.
    pub cookies: Vec<String>,
    /// Whether the decision on a password holds for every path of the host.
    pub same_everywhere: bool,
    /// Whether the health check compares the `redirect_uri` of the sign-in redirect with the public address. Only possible for authentik.
    pub checks_redirect: bool,
}

impl ForwardAuthConfig {
    /// Whether the auth server may see a cookie with this name: its own, and where its cookies are not known all but Immich's.
    pub fn may_see_cookie(&self, name: &[u8]) -> bool {
        if self.cookies.is_empty() {
            return !name.starts_with(b"immich_");
        }
        self.cookies.iter().any(|pattern| crate::cookies::matches(pattern, name))
    }
}

/// The documented values of one product.
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
/// Tinyauth "Proxy authentication". Authelia's and Tinyauth's rules may differ by path, so their decisions hold for one request only.
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

/// The cookies of every known auth server.
pub fn preset_cookies() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.cookies).filter(|cookies| !cookies.is_empty())
}

impl ForwardAuthArgs {
    /// Checks all values. `wants_address`: the allow list has email addresses, so a header with the email address is required.
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
                "the public address: the auth server needs it to find the application of a request",
            );
        }
        let preset = r.value("GUARD_AUTH_PRESET", given(self.auth_preset.as_deref()), Some(&PRESETS[0]), |text| {
            PRESETS
                .iter()
                .find(|preset| preset.name == text)
                .map(Some)
                .ok_or_else(|| format!("one of {}", PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ")))
        })?;
        // The variable takes precedence over the preset; both may be empty.
        let text =
            |variable: &'a Option<String>, default: &'static str| given(variable.as_deref()).or_else(|| given(Some(default)));

        let value = text(&self.auth_path, preset.path);
        let path = r.required("GUARD_AUTH_PATH", value, "the path of the auth request, such as /auth", read::path);
        let value = text(&self.auth_identity_header, preset.identity);
        let wanted = "the header of a 2xx response that names the sender, such as Remote-User";
        let identity = r.required("GUARD_AUTH_IDENTITY_HEADER", value, wanted, read::header);
        let value = text(&self.auth_email_header, preset.email);
        let email = r.value("GUARD_AUTH_EMAIL_HEADER", value, None, |text| read::header(text).map(Some));
        if wants_address && email.is_none() && !r.has("GUARD_AUTH_EMAIL_HEADER") {
            r.problem(
                "GUARD_AUTH_EMAIL_HEADER",
                None,
                "the header of a 2xx response with the sender's email address: GUARD_ALLOW_EMAIL is set",
            );
        }
        let value = text(&self.auth_copy_headers, preset.copy);
        let copy = r.value("GUARD_AUTH_COPY_HEADERS", value, Vec::new(), read::headers);
        let value = text(&self.auth_own_path, preset.own_path);
        let own_path = r.value("GUARD_AUTH_OWN_PATH", value, None, |text| own_path(text).map(Some));
        let value = text(&self.auth_sign_in, preset.sign_in);
        let sign_in = r.value("GUARD_AUTH_SIGN_IN", value, None, |text| sign_in(text).map(Some));
        let cookies = r.value("GUARD_AUTH_COOKIES", text(&self.auth_cookies, preset.cookies), Vec::new(), cookies);

        let identity = identity?;
        // If the identity header is overridden, it also names accounts.
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

/// Parses the path of the auth server. It ends in `/` and must not cover Immich's paths: requests below it go to the auth server without
/// an auth request.
fn own_path(text: &str) -> Result<String, String> {
    let wanted = "a path that begins and ends with /, such as /oauth2/, and is not a path of Immich (not /, /api/ or /share/)";
    let taken = ["/", "/api/", "/share/", "/s/", "/_app/"].contains(&text);
    match read::path(text) {
        Ok(path) if path.ends_with('/') && !path.contains(['?', '%']) && !taken && !path.starts_with("/api/") => Ok(path),
        _ => Err(wanted.to_owned()),
    }
}

fn sign_in(text: &str) -> Result<String, String> {
    let wanted = || "a path or an https URL; {uri} stands for the requested path".to_owned();
    let tried = text.replace("{uri}", "%2F");
    let good = read::path(&tried).is_ok()
        || tried.parse::<hyper::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
    if good { Ok(text.to_owned()) } else { Err(wanted()) }
}

/// Parses the names of the auth server's cookies. Names of Immich's cookies are refused.
fn cookies(text: &str) -> Result<Vec<String>, String> {
    let names = read::names(text)?;
    let bad = |name: &String| {
        let prefix = name.strip_suffix('*').unwrap_or(name);
        prefix.is_empty() || prefix.contains(['*', '=', ';']) || "immich_".starts_with(prefix) || prefix.starts_with("immich_")
    };
    if names.iter().any(bad) {
        return Err("names of cookies, comma-separated, such as session or session_*, none of them Immich's".to_owned());
    }
    Ok(names)
}
