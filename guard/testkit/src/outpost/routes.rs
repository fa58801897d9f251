//! A request enters, the answer of its route leaves; the table is in [`super`].

use super::forwarded::{Forwarded, member};
use super::login;
use super::sessions::SignedIn;
use super::wire::{Question, Reply};
use super::{CALLBACK_MARK, LOGOUT_MARK, PREFIX, Shared};

/// What the outpost answers when it is well.
pub(super) async fn answer(shared: &Shared, question: &Question) -> Reply {
    if shared.config.has_neighbour && host(question) != shared.host() {
        return no_app(question);
    }
    let Some(place) = question.path().strip_prefix(PREFIX) else { return Reply::text(404, "404 page not found") };
    if let Some(path) = place.strip_prefix("/auth/envoy") {
        let target = format!("{path}{}", question.target().strip_prefix(question.path()).unwrap_or_default());
        let text = format!("//{}{target}", question.header("host").unwrap_or_default());
        return match Forwarded::relative(&target) {
            Some(asked) => shared.forward(question, &Forwarded { text, ..asked }),
            None => Reply::text(400, "400 Bad Request"),
        };
    }
    let known = ["/auth/caddy", "/auth/traefik", "/auth/nginx", "/start", "/callback", "/sign_out"].contains(&place);
    let own = Forwarded { text: String::new(), path: question.path().to_owned(), query: question.query().to_owned() };
    if known && own.is_marked(CALLBACK_MARK) || place == "/callback" {
        return shared.callback(question, &own).await;
    }
    if known && own.is_marked(LOGOUT_MARK) || place == "/sign_out" {
        return shared.sign_out(question);
    }
    match place {
        "/auth/caddy" | "/auth/traefik" => shared.ask(question).await,
        "/auth/nginx" => shared.ask_as_nginx(question),
        "/start" => {
            let place = member(question.query(), "rd").and_then(|place| shared.allowed(&place)).unwrap_or_default();
            shared.begin(question, &place)
        }
        _ => Reply::text(404, "404 page not found"),
    }
}

/// What the outpost says when it has no application of that host.
pub(super) fn no_app(question: &Question) -> Reply {
    let host = host(question).replace('\\', "\\\\").replace('"', "\\\"");
    let detail = format!("Check the outpost settings and make sure '{host}' is included.");
    let text = format!("{{\n\t\"Message\": \"no app for hostname\",\n\t\"Host\": \"{host}\",\n\t\"Detail\": \"{detail}\"\n}}\n");
    Reply::json(400, text)
}

fn host(question: &Question) -> &str {
    let forwarded = question.header("x-forwarded-host").filter(|host| !host.is_empty());
    forwarded.or_else(|| question.header("host")).unwrap_or_default()
}

fn field<'a>(question: &'a Question, name: &str) -> &'a str {
    question.header(name).unwrap_or_default()
}

impl Shared {
    fn host(&self) -> &str {
        self.config.external.split_once("://").map_or("", |(_, host)| host)
    }

    /// `/auth/caddy` and `/auth/traefik`.
    async fn ask(&self, question: &Question) -> Reply {
        let [scheme, host, target] =
            ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri"].map(|name| field(question, name));
        let Some(asked) = Forwarded::of(scheme, host, target) else { return Reply::text(500, "configuration error") };
        if asked.is_marked(CALLBACK_MARK) {
            return self.callback(question, &asked).await;
        }
        if asked.is_marked(LOGOUT_MARK) {
            return self.sign_out(question);
        }
        self.forward(question, &asked)
    }

    /// `/auth/nginx`.
    fn ask_as_nginx(&self, question: &Question) -> Reply {
        let (target, url) = (field(question, "x-original-uri"), field(question, "x-original-url"));
        let asked = if target.is_empty() { whole(url) } else { Forwarded::relative(target) };
        let Some(asked) = asked else { return Reply::text(500, "configuration error") };
        if let Some(reply) = self.known(question, &asked) {
            return reply;
        }
        let cookie = self.sessions.session_of(question).is_none().then(|| self.sessions.set_cookie(&self.sessions.begin()));
        let reply = if asked.path.starts_with(PREFIX) { Reply::new(200) } else { Reply::text(401, "unauthorized request") };
        match cookie {
            Some(cookie) => reply.with("Set-Cookie", cookie),
            None => reply,
        }
    }

    fn forward(&self, question: &Question, asked: &Forwarded) -> Reply {
        self.known(question, asked).unwrap_or_else(|| self.begin(question, &asked.text))
    }

    /// The answer for those who are signed in, and for paths that need no sign-in.
    fn known(&self, question: &Question, asked: &Forwarded) -> Option<Reply> {
        if let Some((SignedIn { person, token }, cookie)) = self.sessions.check(question) {
            let mut reply = Reply::new(200);
            if let Some(cookie) = cookie {
                reply = reply.with("Set-Cookie", cookie);
            }
            return Some(person.headers(reply, &token).with("User-Agent", field(question, "user-agent")));
        }
        self.config.skip_paths.iter().any(|part| asked.path.contains(part)).then(|| Reply::new(200))
    }

    /// Sends somebody to the provider, and to `redirect` in the end.
    fn begin(&self, question: &Question, redirect: &str) -> Reply {
        let (session, cookie) = self.sessions.session_of(question).map_or_else(
            || {
                let session = self.sessions.begin();
                let cookie = self.sessions.set_cookie(&session);
                (session, Some(cookie))
            },
            |session| (session, None),
        );
        let state = self.sessions.state(&session, redirect);
        let reply = Reply::found(&login::authorize_url(self.config.provider.as_ref(), &self.config.external, &state));
        match cookie {
            Some(cookie) => reply.with("Set-Cookie", cookie),
            None => reply,
        }
    }

    /// The sign-in comes back.
    async fn callback(&self, question: &Question, asked: &Forwarded) -> Reply {
        let state = asked.member("state").and_then(|state| self.sessions.read_state(&state, question));
        let Some(state) = state else { return Reply::new(400) };
        let code = asked.member("code").unwrap_or_default();
        let signed_in = match &self.config.provider {
            None => self.sessions.redeem(&code),
            Some(provider) => match login::redeem(provider, &self.config.external, &code).await {
                Ok((person, token)) => Some(SignedIn { person, token }),
                Err(why) => {
                    eprintln!("the outpost could not redeem a code: {why}");
                    None
                }
            },
        };
        let place = if state.redirect.is_empty() { &self.config.external } else { &state.redirect };
        let reply = Reply::found(place);
        match signed_in {
            Some(signed_in) => reply.with("Set-Cookie", self.sessions.enter(&state.session, signed_in)),
            None => reply,
        }
    }

    fn sign_out(&self, question: &Question) -> Reply {
        let session = self.sessions.session_of(question);
        if let Some(SignedIn { person, token }) = session.and_then(|session| self.sessions.who(&session)) {
            self.sessions.leave(&person);
            return Reply::found(&login::end_session_url(self.config.provider.as_ref(), &token));
        }
        // `intercept_header_auth`, which is on by default.
        if question.header("authorization").is_some() {
            return Reply::text(401, "Due to 'Receive header authentication' being set, no redirect is performed.");
        }
        let place = format!("{}{}", self.config.external, question.path());
        Reply::found(&format!("{}{PREFIX}/start?rd={}", self.config.external, guard::percent::encode(&place)))
    }

    /// Only the own host, or a path of it.
    fn allowed(&self, place: &str) -> Option<String> {
        if place.starts_with('/') && !place.starts_with("//") {
            return Some(format!("{}{place}", self.config.external));
        }
        let host = place.split_once("://")?.1.split(['/', '?', '#']).next()?;
        (host == self.host()).then(|| place.to_owned())
    }
}

/// A URL that is whole already.
fn whole(url: &str) -> Option<Forwarded> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    Forwarded::of(scheme, host, target)
}
