//! The relying party: the place to sign in leaves, a code enters, and out come claims that the provider has signed.
//!
//! `OpenID` Connect Core 1.0, 3.1 (authorization code flow), with a client secret (RFC 6749, 2.3.1); keys by JWKS, RS256 alone.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use guard::fetch::{Endpoint, FetchRequest};
use guard::percent;
use guard::tls::Trust;
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};

use super::{CALLBACK_MARK, PREFIX, Person};
use crate::issuer::unix_now;

/// The client id of an application without a provider, in the shape of authentik's.
pub(super) const CLIENT_ID: &str = "7HGbVWzlqyKkTo5bHSsnwmV0xCVuVvlqAYcR4pV1";
/// Where people would be sent without a provider.
const NOWHERE: &str = "https://sso.family.example/application/o";
const SCOPES: &str = "openid email profile";

/// A provider, and who we are there.
#[derive(Clone, Debug)]
pub struct RelyingParty {
    /// Our name there.
    pub client_id: String,
    client_secret: String,
    issuer: String,
    /// The provider's metadata (`OpenID` Connect Discovery 1.0, 3).
    metadata: Value,
}

impl RelyingParty {
    /// Learns a provider's places from its issuer; panics when it does not tell them.
    pub async fn discover(issuer: &str, client_id: &str, client_secret: &str) -> Self {
        let metadata = document(&format!("{issuer}/.well-known/openid-configuration"), FetchRequest::get()).await;
        let metadata = metadata.expect("the provider tells its places");
        assert_eq!(metadata["issuer"], issuer, "OpenID Connect Discovery 1.0, 4.3");
        let owned = |text: &str| text.to_owned();
        Self { client_id: owned(client_id), client_secret: owned(client_secret), issuer: owned(issuer), metadata }
    }

    fn place(&self, name: &str) -> &str {
        self.metadata[name].as_str().unwrap_or_else(|| panic!("the provider's metadata has no {name}"))
    }

    /// What a code is worth: the claims of a verified ID token, and the token. Errors: why it is worth nothing.
    async fn redeem(&self, code: &str, redirect_uri: &str) -> Result<(Value, String), String> {
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect_uri)];
        let basic = STANDARD.encode(format!("{}:{}", percent::encode(&self.client_id), percent::encode(&self.client_secret)));
        let basic = HeaderValue::from_str(&format!("Basic {basic}")).expect("base64 is a value");
        let answer = document(self.place("token_endpoint"), FetchRequest::form(&form).with(AUTHORIZATION, basic)).await?;
        let token = answer["id_token"].as_str().ok_or("no id_token in the answer")?;
        let keys = document(self.place("jwks_uri"), FetchRequest::get()).await?;
        let claims = verified(token, &keys).ok_or("the ID token's signature is not the provider's")?;
        let is_ours = claims["aud"] == *self.client_id || claims["aud"] == json!([self.client_id]);
        if claims["iss"] != *self.issuer || !is_ours || claims["exp"].as_u64().is_none_or(|exp| exp <= unix_now()) {
            return Err(format!("the ID token is for somebody else, or too old: {claims}"));
        }
        Ok((claims, token.to_owned()))
    }
}

/// Where people are sent to sign in (RFC 6749, 4.1.1; the members in the order that Go gives them).
pub(super) fn authorize_url(provider: Option<&RelyingParty>, external: &str, state: &str) -> String {
    let nowhere = format!("{NOWHERE}/authorize/");
    let (place, client_id) = provider.map_or((nowhere.as_str(), CLIENT_ID), |provider| {
        (provider.place("authorization_endpoint"), provider.client_id.as_str())
    });
    format!(
        "{place}?client_id={}&redirect_uri={}&response_type=code&scope={}&state={}",
        percent::encode(client_id),
        percent::encode(&redirect_uri(external)),
        SCOPES.replace(' ', "+"),
        percent::encode(state)
    )
}

/// Where people are sent to sign out (`OpenID` Connect RP-Initiated Logout 1.0, 2).
pub(super) fn end_session_url(provider: Option<&RelyingParty>, token: &str) -> String {
    let nowhere = format!("{NOWHERE}/immich-gate/end-session/");
    let place = provider.map_or(nowhere.as_str(), |provider| provider.place("end_session_endpoint"));
    format!("{place}?id_token_hint={}", percent::encode(token))
}

/// Where a sign-in comes back.
fn redirect_uri(external: &str) -> String {
    format!("{external}{PREFIX}/callback?{CALLBACK_MARK}=true")
}

/// Who signed in, for a code. Errors: why nobody did.
pub(super) async fn redeem(provider: &RelyingParty, external: &str, code: &str) -> Result<(Person, String), String> {
    let (claims, token) = provider.redeem(code, &redirect_uri(external)).await?;
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let groups = claims["groups"].as_array().into_iter().flatten().filter_map(|group| group.as_str().map(str::to_owned));
    let person = Person {
        uid: text("sub"),
        username: text("preferred_username"),
        email: text("email"),
        name: text("name"),
        groups: groups.collect(),
    };
    Ok((person, token))
}

/// A JSON document of a provider. Errors: why there is none.
async fn document(place: &str, question: FetchRequest) -> Result<Value, String> {
    let uri = place.parse().map_err(|error| format!("{place}: {error}"))?;
    let endpoint = Endpoint::at(uri, &Trust::new(&[])).map_err(|error| format!("{place}: {error}"))?;
    let bytes = endpoint.ask(question).await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{place}: {error}"))
}

/// The claims of a compact JWS that one of these keys has signed with RS256 (RFC 7515, RFC 7517).
fn verified(token: &str, keys: &Value) -> Option<Value> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    let key = keys["keys"].as_array()?.iter().find(|key| key["kid"] == header["kid"] && key["kty"] == "RSA")?;
    let key = RsaPublicKeyComponents { n: decode(key["n"].as_str()?)?, e: decode(key["e"].as_str()?)? };
    let sound = key.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &decode(signature)?);
    sound.ok().filter(|()| header["alg"] == "RS256")?;
    serde_json::from_slice(&decode(claims)?).ok()
}
