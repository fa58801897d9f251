//! A real browser signs in with a real provider through the real thing, uses Immich, and signs out.

use std::net::SocketAddr;

use guard::origin::start::OriginServer;
use serde_json::json;
use testkit::browser::Browser;
use testkit::environment::{forward_auth_args, open};
use testkit::outpost::{Config, RelyingParty};
use testkit::{Immich, Outpost};

use crate::caddy::Caddy;
use crate::oauth2_proxy::{self, Oauth2Proxy};
use crate::provider::{PERSON, Provider};
use crate::tool;

/// The host in the browser's address bar; browsers resolve it to loopback by themselves (RFC 6761, 6.3), and we say to which port.
const HOST: &str = "photos.localhost";
const URL: &str = "http://photos.localhost";

/// An outpost that knows a provider, which knows it.
async fn outpost() -> (Provider, Outpost) {
    let (client_id, client_secret) = ("immich-gate", "a-secret-of-this-test");
    let callback = format!("{URL}/outpost.goauthentik.io/callback?X-authentik-auth-callback=true");
    let provider =
        Provider::start(json!({"client_id": client_id, "client_secret": client_secret, "redirect_uris": [callback]})).await;
    let party = RelyingParty::discover(&provider.issuer, client_id, client_secret).await;
    let config = Config { external: URL.to_owned(), provider: Some(party), ..Config::default() };
    (provider, Outpost::start_with(config).await)
}

/// A browser that finds the proxy behind the host's name.
async fn browser(proxy: SocketAddr) -> Browser {
    Browser::start(&tool("CHROMIUM").expect("somebody looked"), &[(HOST, proxy)]).await
}

/// From any page to the provider's form, and back to that page.
async fn sign_in(browser: &mut Browser, issuer: &str) {
    let page = format!("{URL}/page?album=1%2F2&x=%20");
    browser.go(&page).await;
    let at_the_provider = format!("document.title == 'Sign in' && location.origin == '{issuer}'");
    browser.wait_for("the provider's form", &at_the_provider).await;
    let (user, password) = PERSON;
    submit(browser, user, "a guess").await;
    browser.wait_for("the form again", "document.body.innerText.includes('Wrong name or password')").await;
    submit(browser, user, password).await;
    browser.wait_for("the page that was asked for", &format!("document.title == 'Photos' && location.href == '{page}'")).await;
}

async fn submit(browser: &mut Browser, user: &str, password: &str) {
    let script = format!(
        "document.forms[0].user.value = '{user}'; document.forms[0].password.value = '{password}'; \
         document.querySelector('form button').click()"
    );
    browser.eval(&script).await;
}

/// What a person does there.
async fn use_immich(browser: &mut Browser, immich: &Immich) {
    let upload =
        "fetch('/api/assets', {method: 'POST', body: new Blob([new Uint8Array(3000000)])}).then(answer => answer.status)";
    assert_eq!(browser.eval(upload).await, json!(201));
    assert_eq!(immich.stored().iter().map(|asset| asset.bytes).collect::<Vec<_>>(), [3_000_000]);
    let socket = "new Promise((done, fail) => {
        const socket = new WebSocket(`ws://${location.host}/api/socket.io/?EIO=4&transport=websocket`);
        socket.onopen = () => socket.send('hello');
        socket.onmessage = message => { done(message.data); socket.close() };
        socket.onerror = () => fail('no WebSocket');
    })";
    assert_eq!(browser.eval(socket).await, json!("hello"));
}

/// The rest of a sign-out, at the provider.
async fn confirm_sign_out(browser: &mut Browser) {
    browser.wait_for("the provider's question", "document.title == 'Sign out?'").await;
    browser.eval("document.querySelector('button').click()").await;
    browser.wait_for("the sign-out", "document.title == 'Signed out'").await;
}

/// A guard before `immich` that asks at `auth_url`, ready.
async fn guard(auth_url: &str, preset: &str, immich: &Immich) -> OriginServer {
    let mut args = forward_auth_args(auth_url, URL, &immich.url());
    args.auth.auth_preset = Some(preset.to_owned());
    let door = open(&args);
    door.trust_source.ready().await;
    door
}

/// After a sign-out, from a page of the auth server's own on the same host: a script is refused, a person is asked to sign in again.
async fn is_a_stranger_again(browser: &mut Browser, own_page: &str) {
    browser.go(&format!("{URL}{own_page}")).await;
    browser.wait_for("a page of the host", &format!("location.origin == '{URL}' && document.readyState == 'complete'")).await;
    let fetch = "fetch('/api/albums').then(async answer => [answer.status, answer.redirected, (await answer.json()).message])";
    let refused = browser.eval(fetch).await;
    assert_eq!(refused, json!([401, false, "Sign in first: this request does not show who sent it."]));
    browser.go(&format!("{URL}/page")).await;
    browser.wait_for("the provider's form", "document.title == 'Sign in'").await;
}

/// Nothing of the auth server's, and nothing that the browser signed in with, is in what Immich got.
fn immich_never_saw_the_session(immich: &Immich, cookie: &str) {
    let requests = immich.requests();
    assert!(requests.len() >= 3, "a page, an upload and a WebSocket: {requests:#?}");
    for request in requests {
        assert!(!request.header("cookie").unwrap_or_default().contains(cookie), "{request:#?}");
        assert_eq!((request.header("authorization"), request.header("x-authentik-jwt")), (None, None), "{request:#?}");
    }
}

/// The control: the outpost, the provider and the browser get along without guard.
pub(crate) async fn a_browser_signs_in_through_caddy() {
    let ((provider, outpost), immich) = (outpost().await, Immich::start().await);
    let caddy = Caddy::start(HOST, &outpost.url(), &immich.url());
    let mut browser = browser(caddy.address).await;
    sign_in(&mut browser, &provider.issuer).await;
    assert_eq!(immich.last_request().header("x-authentik-email"), Some("ada@example.com"));
    use_immich(&mut browser, &immich).await;
    browser.go(&format!("{URL}/outpost.goauthentik.io/sign_out")).await;
    confirm_sign_out(&mut browser).await;
    browser.go(&format!("{URL}/page")).await;
    browser.wait_for("the provider's form", "document.title == 'Sign in'").await;
}

pub(crate) async fn a_browser_signs_in_by_the_outpost_uses_immich_and_signs_out() {
    let ((provider, outpost), immich) = (outpost().await, Immich::start().await);
    let door = guard(&outpost.url(), "authentik", &immich).await;
    let mut browser = browser(door.address).await;
    sign_in(&mut browser, &provider.issuer).await;
    let seen = immich.last_request();
    assert_eq!((seen.header("x-authentik-email"), seen.header("x-authentik-username")), (Some("ada@example.com"), Some("ada")));
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")), (Some("http"), Some(HOST)));
    let cookies = browser.cookies().await;
    assert!(cookies.iter().any(|(host, name)| host == HOST && name == outpost.cookie_name()), "{cookies:?}");
    use_immich(&mut browser, &immich).await;
    immich_never_saw_the_session(&immich, outpost.cookie_name());

    browser.go(&format!("{URL}/outpost.goauthentik.io/sign_out")).await;
    confirm_sign_out(&mut browser).await;
    is_a_stranger_again(&mut browser, "/outpost.goauthentik.io/nothing").await;
    door.stop();
}

pub(crate) async fn a_browser_signs_in_by_oauth2_proxy_uses_immich_and_signs_out() {
    let (id, secret) = oauth2_proxy::CLIENT;
    let client = json!({"client_id": id, "client_secret": secret, "redirect_uris": [format!("{URL}/oauth2/callback")]});
    let (provider, immich) = (Provider::start(client).await, Immich::start().await);
    let auth = Oauth2Proxy::start(&provider, URL).await;
    let door = guard(&format!("http://{}", auth.address), "oauth2-proxy", &immich).await;
    let mut browser = browser(door.address).await;
    sign_in(&mut browser, &provider.issuer).await;
    let seen = immich.last_request();
    assert_eq!((seen.header("x-auth-request-email"), seen.header("x-auth-request-user")), (Some("ada@example.com"), Some("ada")));
    use_immich(&mut browser, &immich).await;
    immich_never_saw_the_session(&immich, "_oauth2_proxy");

    browser
        .go(&format!("{URL}/oauth2/sign_out?rd={}%2Fsession%2Fend", provider.issuer.replace(':', "%3A").replace('/', "%2F")))
        .await;
    confirm_sign_out(&mut browser).await;
    is_a_stranger_again(&mut browser, "/oauth2/sign_in").await;
    door.stop();
}
