//! One side of the comparison: a proxy between a client, an outpost and Immich, and what became of one case there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::outpost::{Config, Person};
use testkit::raw::{Head, Response};
use testkit::{Immich, Outpost, RawClient, TestEnvironment};

use crate::cases::{Case, Mood, Who};

/// Who is behind every proof.
pub(crate) const PERSON: &str = "Ada";

/// What stands around one proxy, and a session of Ada's.
pub(crate) struct Side {
    pub(crate) environment: TestEnvironment<Outpost, ()>,
    session: String,
}

/// What became of a case: one fact a line, by name.
pub(crate) type Facts = BTreeMap<String, String>;

impl Side {
    pub(crate) async fn new() -> Self {
        let config = Config {
            external: "http://photos.example.com".to_owned(),
            skip_paths: vec!["/public/".to_owned()],
            ..Config::default()
        };
        let environment = TestEnvironment::without_guard(config).await;
        let session = environment.front_door.sign_in(&Person::named(PERSON));
        Self { environment, session }
    }

    /// Plays a case against the proxy at `proxy`.
    pub(crate) async fn play(&mut self, proxy: SocketAddr, case: &Case) -> Facts {
        let ada = Person::named(PERSON);
        let secrets = Secrets {
            session: self.session.clone(),
            basic: STANDARD.encode(self.environment.front_door.app_password(&ada)),
            bearer: self.environment.front_door.access_token(&ada),
        };
        let before = self.environment.immich.requests().len();
        self.environment.front_door.forget_credentials();
        self.environment.front_door.forget();
        match case.mood {
            Mood::Away => self.environment.front_door.leave().await,
            Mood::Is(behaviour) => self.environment.front_door.behave(behaviour),
        }
        let (answer, early) = exchange(proxy, case, &secrets).await;
        let mut facts = Facts::new();
        tell_answer(&mut facts, &answer, early);
        secrets.tell_questions(&mut facts, &self.environment.front_door);
        secrets.tell_immich(&mut facts, &self.environment.immich, before);
        if case.mood == Mood::Away {
            self.environment.front_door.come_back().await;
        }
        self.environment.front_door.behave(testkit::outpost::Behaviour::Well);
        facts
    }
}

/// How long a client waits for the answer to `Expect: 100-continue` before it sends its body unasked (RFC 9110, 10.1.1): curl waits 1 s.
const CURL_WAITS: Duration = Duration::from_secs(2);

/// Sends the case, reads the answer. The second value: what came before the body was sent, where the client waits for that.
async fn exchange(proxy: SocketAddr, case: &Case, secrets: &Secrets) -> (Response, Option<&'static str>) {
    let mut client = RawClient::connect(proxy).await;
    let mut head = format!("{} HTTP/1.1\r\n", case.line);
    if !case.fields.iter().any(|field| field.starts_with("Host:")) {
        head.push_str("Host: photos.example.com\r\n");
    }
    for field in case.fields {
        head.extend([field, "\r\n"]);
    }
    head.push_str(&secrets.proof(case.who));
    head.push_str("\r\n");
    client.send(&head).await;
    if !head.contains("100-continue") {
        // A proxy that has refused already may have closed.
        client.send_lossy(case.body).await;
        let is_head = case.line.starts_with("HEAD");
        return (if is_head { client.read_response_to_head().await } else { client.read_response().await }, None);
    }
    let early = match tokio::time::timeout(CURL_WAITS, client.read_response()).await {
        Ok(answer) if answer.status != 100 => return (answer, Some("the answer")),
        Ok(_) => "100",
        Err(_) => "nothing",
    };
    client.send(case.body).await;
    let mut answer = client.read_response().await;
    while answer.status == 100 {
        answer = client.read_response().await;
    }
    (answer, Some(early))
}

/// What nobody can guess, and so cannot stand in a table.
struct Secrets {
    session: String,
    basic: String,
    bearer: String,
}

impl Secrets {
    fn proof(&self, who: Who) -> String {
        match who {
            Who::Nobody => String::new(),
            Who::Session => format!("Cookie: immich_access_token=s3cret; {}\r\n", self.session),
            Who::Basic => format!("Authorization: Basic {}\r\n", self.basic),
            Who::WrongBasic => format!("Authorization: Basic {}\r\n", STANDARD.encode("ada:wrong")),
            Who::Bearer => format!("Authorization: Bearer {}\r\n", self.bearer),
        }
    }

    /// The same without what differs from run to run.
    fn plain(&self, text: &str) -> String {
        let text = [(&self.session, "SESSION"), (&self.basic, "BASIC"), (&self.bearer, "BEARER")]
            .into_iter()
            .fold(text.to_owned(), |text, (secret, name)| text.replace(secret, name));
        if text.starts_with("eyJ") { "TOKEN".to_owned() } else { text }
    }

    fn tell_questions(&self, facts: &mut Facts, outpost: &Outpost) {
        let seen = outpost.seen();
        let questions = seen.questions();
        facts.insert("asked times".to_owned(), questions.len().to_string());
        facts.insert("outpost's own".to_owned(), (seen.requests.len() - questions.len()).to_string());
        if let Some(question) = seen.requests.first() {
            self.tell_head(facts, "asked", &question.head.start_line, &question.head);
            if !question.body.is_empty() {
                facts.insert("asked body".to_owned(), format!("{} bytes", question.body.len()));
            }
        }
    }

    fn tell_immich(&self, facts: &mut Facts, immich: &Immich, before: usize) {
        let requests = immich.requests().split_off(before);
        facts.insert("immich times".to_owned(), requests.len().to_string());
        if let Some(request) = requests.into_iter().next() {
            let head = Head { raw: Vec::new(), start_line: String::new(), headers: request.headers };
            self.tell_head(facts, "immich", &format!("{} {}", request.method, request.target), &head);
            facts.insert("immich body".to_owned(), format!("{} bytes", request.body_bytes));
        }
    }

    fn tell_head(&self, facts: &mut Facts, who: &str, line: &str, head: &Head) {
        facts.insert(format!("{who} line"), self.plain(line));
        for (name, _) in &head.headers {
            let values: Vec<_> = head.all(name).iter().map(|value| self.plain(value)).collect();
            facts.insert(format!("{who} {}", name.to_lowercase()), values.join(" | "));
        }
    }
}

fn tell_answer(facts: &mut Facts, answer: &Response, early: Option<&str>) {
    let mut tell = |name: &str, value: String| facts.insert(format!("answer {name}"), value);
    tell("status", answer.status.to_string());
    if let Some(early) = early {
        tell("before the body", early.to_owned());
    }
    if !answer.complete {
        tell("body", "cut".to_owned());
    }
    for name in ["content-type", "www-authenticate", "guard-refusal", "content-range", "x-authentik-uid"] {
        for value in answer.all(name) {
            tell(name, value.to_owned());
        }
    }
    // Without the state, which is signed and new each time.
    if let Some(place) = answer.header("location") {
        tell("location", place.split("&state=").next().unwrap_or_default().to_owned());
    }
    let cookies: Vec<_> = answer.all("set-cookie").iter().filter_map(|cookie| cookie.split('=').next()).collect();
    if !cookies.is_empty() {
        tell("set-cookie", cookies.join(" "));
    }
}
