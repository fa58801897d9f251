//! A real browser signs in with a real provider through the real thing, uses Immich, and signs out.

use std::net::SocketAddr;

use serde_json::json;
use testkit::browser::Browser;
use testkit::outpost::{Config, RelyingParty};
use testkit::{Immich, Outpost};

use crate::caddy::Caddy;
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

pub(crate) async fn through_caddy() {
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
