//! Who is who: cookies, app passwords and bearer tokens enter, people leave; what a sign-in carries with it is signed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::signer::sign_hs256;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Seen;
use super::wire::{Question, Reply};
use crate::issuer::unix_now;
use crate::noise::hex;

/// How long an `Authorization` is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long a session lasts: `access_token_validity`, and the second that the outpost adds.
const SESSION_SECONDS: u64 = 3600 + 1;
/// The user name that makes the password a bearer token.
const TOKEN_USER: &str = "goauthentik.io/token";

/// Somebody, as authentik knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The hashed user id: `X-authentik-uid`.
    pub uid: String,
    /// `X-authentik-username`.
    pub username: String,
    /// `X-authentik-email`.
    pub email: String,
    /// `X-authentik-name`.
    pub name: String,
    /// `X-authentik-groups`.
    pub groups: Vec<String>,
}

impl Person {
    /// Somebody of that name, with what follows from it.
    pub fn named(name: &str) -> Self {
        let username = name.to_lowercase();
        Self {
            uid: hex(digest::digest(&digest::SHA256, username.as_bytes()).as_ref()),
            email: format!("{username}@example.com"),
            name: name.to_owned(),
            groups: vec!["family".to_owned(), "immich-users".to_owned()],
            username,
        }
    }

    /// The headers that tell of them, in the case that Go gives them. `token` is the one of their sign-in.
    pub(super) fn headers(&self, reply: Reply, token: &str) -> Reply {
        let known = |text: &str| if self.uid.is_empty() { String::new() } else { text.to_owned() };
        reply
            .with("X-Authentik-Email", &*self.email)
            .with("X-Authentik-Entitlements", "")
            .with("X-Authentik-Groups", self.groups.join("|"))
            .with("X-Authentik-Jwt", token)
            .with("X-Authentik-Meta-App", known("immich-gate"))
            .with("X-Authentik-Meta-Jwks", known("https://sso.family.example/application/o/immich-gate/jwks/"))
            .with("X-Authentik-Meta-Outpost", known("home"))
            .with("X-Authentik-Meta-Provider", known("immich-gate"))
            .with("X-Authentik-Meta-Version", known("goauthentik.io/outpost/2026.5.0"))
            .with("X-Authentik-Name", &*self.name)
            .with("X-Authentik-Uid", &*self.uid)
            .with("X-Authentik-Username", &*self.username)
    }
}

/// A person and the token of their sign-in.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    pub(super) person: Person,
    pub(super) token: String,
}

/// What `state` carries from the start of a sign-in to its end.
#[derive(Debug)]
pub(super) struct State {
    pub(super) session: String,
    pub(super) redirect: String,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Sessions {
    client_id: String,
    cookie_name: String,
    is_secure: bool,
    secret: String,
    seen: watch::Sender<Seen>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By cookie; nobody yet where a sign-in has only begun.
    sessions: HashMap<String, Option<SignedIn>>,
    /// By `user:password`.
    app_passwords: HashMap<String, Person>,
    bearers: HashMap<String, Person>,
    codes: HashMap<String, Person>,
    /// By the value of `Authorization`.
    remembered: HashMap<String, (SignedIn, Instant)>,
}

impl Sessions {
    pub(super) fn new(client_id: &str, external: &str, seen: watch::Sender<Seen>) -> Self {
        let hash = hex(digest::digest(&digest::SHA256, client_id.as_bytes()).as_ref());
        Self {
            client_id: client_id.to_owned(),
            cookie_name: format!("authentik_proxy_{}", &hash[..8]),
            is_secure: external.starts_with("https:"),
            secret: random(),
            seen,
            known: Mutex::default(),
        }
    }

    pub(super) fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    pub(super) fn sign_in(&self, person: &Person) -> String {
        let id = self.begin();
        self.know().sessions.insert(id.clone(), Some(self.signed_in(person.clone())));
        format!("{}={id}", self.cookie_name)
    }

    pub(super) fn grant(&self, person: &Person) -> String {
        let code = random();
        self.know().codes.insert(code.clone(), person.clone());
        code
    }

    pub(super) fn app_password(&self, person: &Person) -> String {
        let pair = format!("{}:{}", person.username, random());
        self.know().app_passwords.insert(pair.clone(), person.clone());
        pair
    }

    pub(super) fn revoke_app_passwords(&self) {
        self.know().app_passwords.clear();
    }

    pub(super) fn access_token(&self, person: &Person) -> String {
        // authentik's access tokens are JWTs.
        let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", random(), random());
        self.know().bearers.insert(token.clone(), person.clone());
        token
    }

    pub(super) fn forget_credentials(&self) {
        self.know().remembered.clear();
    }

    /// Who a code stands for; once.
    pub(super) fn redeem(&self, code: &str) -> Option<SignedIn> {
        let person = self.know().codes.remove(code)?;
        Some(self.signed_in(person))
    }

    /// The outpost's `checkAuth`: the session, what is remembered, the bearer token, the app password. The second value is a cookie
    /// that has to be set.
    pub(super) fn check(&self, question: &Question) -> Option<(SignedIn, Option<String>)> {
        let session = self.session_of(question);
        if let Some(signed_in) = session.as_ref().and_then(|id| self.who(id)) {
            return Some((signed_in, None));
        }
        let authorization = question.header("authorization")?;
        let remembered = self.know().remembered.get(authorization).cloned();
        if let Some((signed_in, since)) = remembered
            && since.elapsed() < REMEMBERED
        {
            return Some((signed_in, None));
        }
        let person = self.by_bearer(authorization).or_else(|| self.by_basic(authorization))?;
        let signed_in = self.signed_in(person);
        let id = session.unwrap_or_else(|| self.begin());
        let mut known = self.know();
        known.sessions.insert(id.clone(), Some(signed_in.clone()));
        known.remembered.insert(authorization.to_owned(), (signed_in.clone(), Instant::now()));
        Some((signed_in, Some(self.set_cookie(&id))))
    }

    fn by_bearer(&self, authorization: &str) -> Option<Person> {
        let token = strip_scheme(authorization, "bearer ")?;
        self.introspect(token)
    }

    fn introspect(&self, token: &str) -> Option<Person> {
        self.seen.send_modify(|seen| seen.introspections += 1);
        self.know().bearers.get(token).cloned()
    }

    /// RFC 7617, 2. A good password is a token request that is granted, and an event.
    fn by_basic(&self, authorization: &str) -> Option<Person> {
        let pair = String::from_utf8(STANDARD.decode(strip_scheme(authorization, "basic ")?).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        if let Some(person) = (user == TOKEN_USER).then(|| self.introspect(password)).flatten() {
            return Some(person);
        }
        self.seen.send_modify(|seen| seen.token_requests += 1);
        let person = self.know().app_passwords.get(&pair).cloned()?;
        self.seen.send_modify(|seen| seen.logins += 1);
        Some(person)
    }

    /// The session that a request's cookie names, if it is one of ours.
    pub(super) fn session_of(&self, question: &Question) -> Option<String> {
        let pairs = question.head.all("cookie").into_iter().flat_map(|line| line.split(';'));
        let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix(&self.cookie_name)?.strip_prefix('='));
        let id = values.next()?;
        self.know().sessions.contains_key(id).then(|| id.to_owned())
    }

    /// Who is signed in there.
    pub(super) fn who(&self, session: &str) -> Option<SignedIn> {
        self.know().sessions.get(session).cloned().flatten()
    }

    /// Somebody is, from now on: the cookie to set.
    pub(super) fn enter(&self, session: &str, signed_in: SignedIn) -> String {
        self.know().sessions.insert(session.to_owned(), Some(signed_in));
        self.set_cookie(session)
    }

    /// Ends every session of that person.
    pub(super) fn leave(&self, person: &Person) {
        let is_theirs = |held: &Option<SignedIn>| held.as_ref().is_some_and(|held| held.person.uid == person.uid);
        self.know().sessions.retain(|_, held| !is_theirs(held));
    }

    /// A session of nobody.
    pub(super) fn begin(&self) -> String {
        let id = random();
        self.know().sessions.insert(id.clone(), None);
        self.seen.send_modify(|seen| seen.sessions += 1);
        id
    }

    pub(super) fn set_cookie(&self, session: &str) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{}={session}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly{secure}; SameSite=Lax", self.cookie_name)
    }

    /// The `state` of a sign-in that goes to `redirect` in the end.
    pub(super) fn state(&self, session: &str, redirect: &str) -> String {
        let claims = json!({"iss": self.issuer(), "sid": session, "state": random(), "redirect": redirect});
        sign_hs256(self.secret.as_bytes(), &json!({"alg": "HS256", "typ": "JWT"}), &claims)
    }

    /// The same, read back: only our own, and only in the browser that began.
    pub(super) fn read_state(&self, state: &str, question: &Question) -> Option<State> {
        let (message, tag) = state.rsplit_once('.')?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        hmac::verify(&key, message.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?).ok()?;
        let session = self.session_of(question)?;
        let is_ours = claims["iss"] == self.issuer() && claims["sid"] == session;
        is_ours.then(|| State { session, redirect: claims["redirect"].as_str().unwrap_or_default().to_owned() })
    }

    fn issuer(&self) -> String {
        format!("goauthentik.io/outpost/{}", self.client_id)
    }

    /// With a token as authentik signs it for a proxy provider: HS256, and so no good with a key set.
    fn signed_in(&self, person: Person) -> SignedIn {
        let now = unix_now();
        let claims = json!({
            "iss": "https://sso.family.example/application/o/immich-gate/", "aud": self.client_id, "azp": self.client_id,
            "iat": now, "exp": now + 3600, "sub": person.uid, "email": person.email, "name": person.name,
            "preferred_username": person.username, "groups": person.groups,
        });
        let token = sign_hs256(self.secret.as_bytes(), &json!({"alg": "HS256", "typ": "JWT"}), &claims);
        SignedIn { person, token }
    }

    fn know(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }
}

fn strip_scheme<'a>(authorization: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = authorization.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// 43 characters that nobody guesses.
fn random() -> String {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}
