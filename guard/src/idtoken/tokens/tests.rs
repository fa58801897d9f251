//! The life of a token, with a scripted source and paused time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;

const AUDIENCE: &str = "https://ml-abc.run.example";
/// When the paused clock starts, in seconds since 1970.
const START: u64 = 1_800_000_000;

/// A source that gives what the test wishes, and counts.
struct Script {
    wish: Mutex<Wish>,
    fetches: AtomicUsize,
    gate: Semaphore,
    clock: Clock,
}

#[derive(Clone)]
enum Wish {
    Nothing,
    /// Claims over these.
    Token(Value),
    Text(String),
}

impl Source for Arc<Script> {
    async fn fetch(&self, audience: &str) -> Result<String, SourceError> {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst);
        let _passed = self.gate.acquire().await.unwrap();
        let mut claims = json!({"aud": audience, "exp": (self.clock)() + 3600, "jti": number});
        match self.wish.lock().unwrap().clone() {
            Wish::Nothing => Err(SourceError::Silent),
            Wish::Text(text) => Ok(text),
            Wish::Token(over) => {
                claims.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
                Ok(jws(&claims))
            }
        }
    }

    fn label(&self) -> &'static str {
        "script"
    }
}

fn jws(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// The clock of the wall, which runs with the paused one until the test moves it.
#[derive(Default)]
struct Wall(Mutex<i64>);

struct Life {
    tokens: Arc<Tokens>,
    script: Arc<Script>,
    wall: Arc<Wall>,
}

impl Life {
    fn begin(wish: Wish) -> Self {
        let (wall, born) = (Arc::new(Wall::default()), Instant::now());
        let hand = wall.clone();
        let clock: Clock = Arc::new(move || (START + born.elapsed().as_secs()).saturating_add_signed(*hand.0.lock().unwrap()));
        let script = Arc::new(Script {
            wish: Mutex::new(wish),
            fetches: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            clock: clock.clone(),
        });
        let tokens = Arc::new(Tokens::new(AUDIENCE, clock, TokenMetrics::default()));
        let (task, source) = (tokens.clone(), script.clone());
        tokio::spawn(async move { task.keep_fresh(&source).await });
        Self { tokens, script, wall }
    }

    fn good() -> Self {
        Self::begin(Wish::Token(json!({})))
    }

    fn wish(&self, wish: Wish) {
        *self.script.wish.lock().unwrap() = wish;
    }

    fn fetches(&self) -> usize {
        self.script.fetches.load(Ordering::SeqCst)
    }

    fn header(&self) -> HeaderValue {
        self.tokens.current().unwrap().header().clone()
    }

    /// Lets the wall's clock jump.
    fn jump(&self, seconds: i64) {
        *self.wall.0.lock().unwrap() += seconds;
    }
}

async fn minutes(count: u64) {
    tokio::time::sleep(Duration::from_secs(60 * count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_cause_one_fetch() {
    let life = Life::good();
    let closed = life.script.gate.acquire_many(u32::MAX >> 3).await.unwrap();
    let crowd: Vec<_> = (0..1_000)
        .map(|_| {
            let tokens = life.tokens.clone();
            tokio::spawn(async move { tokens.get().await.is_ok() })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(closed);
    for one in crowd {
        assert!(one.await.unwrap(), "everybody gets the token");
    }
    minutes(5).await;
    assert_eq!(life.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_for_twenty_minutes_at_any_time_fails_no_request() {
    for begin in (0..60).step_by(3) {
        let life = Life::good();
        life.tokens.attempted().await;
        for minute in 0..120 {
            if minute == begin {
                life.wish(Wish::Nothing);
            }
            if minute == begin + 20 {
                life.wish(Wish::Token(json!({})));
            }
            assert!(life.tokens.get().await.is_ok(), "minute {minute}, down from minute {begin}");
            minutes(1).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_poisons_nothing_and_nobody_waits_for_a_source_that_has_just_failed() {
    let life = Life::begin(Wish::Nothing);
    life.tokens.attempted().await;
    let before = Instant::now();
    let refused = life.tokens.get().await.err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("no identity token for https://ml-abc.run.example: no response"));
    assert_eq!(before.elapsed(), Duration::ZERO, "told at once");
    minutes(24 * 60).await;
    let attempts = life.fetches();
    assert!((24 * 60..24 * 60 * 2).contains(&attempts), "once a minute, jitter and the first few aside: {attempts}");
    life.wish(Wish::Token(json!({})));
    tokio::time::sleep(MAX_BACKOFF).await;
    assert!(life.tokens.get().await.is_ok(), "a day later it heals within a minute");
    assert_eq!(life.tokens.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn the_old_token_serves_to_its_end_and_not_beyond() {
    let life = Life::good();
    life.tokens.attempted().await;
    life.wish(Wish::Nothing);
    tokio::time::sleep(Duration::from_secs(3600 - MARGIN_SECONDS - 1)).await;
    assert!(life.tokens.get().await.is_ok());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(life.tokens.get().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_new_token_takes_over_long_before_the_old_one_ends() {
    let life = Life::good();
    life.tokens.attempted().await;
    let first = life.header();
    tokio::time::sleep(Duration::from_secs(3601).saturating_sub(REFRESH_BEFORE)).await;
    assert_ne!(life.header(), first);
    assert_eq!(life.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_metadata_server_that_keeps_its_token_is_not_asked_in_a_loop() {
    let life = Life::begin(Wish::Text(jws(&json!({"aud": AUDIENCE, "exp": START + 3600}))));
    minutes(56).await;
    assert_eq!(life.fetches(), 2, "once at the start, once 22 minutes before the end");
    life.wish(Wish::Token(json!({})));
    minutes(2).await;
    assert_eq!(life.fetches(), 3, "and then 4 minutes before the end, when it has a new one");
    assert!(life.tokens.seconds_to_expiry().unwrap() > 3000);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_what_was_asked_for_is_refused() {
    let life = Life::begin(Wish::Nothing);
    for (wish, said) in [
        (Wish::Token(json!({"aud": "https://other.run.example"})), "another audience"),
        (Wish::Token(json!({"aud": [AUDIENCE, "https://other.run.example"]})), "not a token"),
        (Wish::Token(json!({"exp": START})), "has expired"),
        (Wish::Token(json!({"exp": "soon"})), "not a token"),
        (Wish::Token(json!({"exp": null})), "not a token"),
        (Wish::Text("<html>".to_owned()), "not a token"),
        (Wish::Text("a.b.c.d".to_owned()), "not a token"),
        (Wish::Text(format!("{}\n", jws(&json!({"aud": AUDIENCE, "exp": START + 99_999})))), "not a token"),
        (Wish::Text(jws(&json!({"aud": AUDIENCE, "exp": START + 99_999, "x": "x".repeat(8192)}))), "not a token"),
    ] {
        life.wish(wish);
        tokio::time::sleep(MAX_BACKOFF * 2).await;
        let trouble = life.tokens.trouble().unwrap();
        assert!(life.tokens.current().is_none() && trouble.contains(said), "{said}: {trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_asks_anew_with_its_first_request() {
    let life = Life::good();
    life.tokens.attempted().await;
    // The lid was shut for a night: the wall's clock went on, the timers did not.
    life.jump(8 * 3600);
    assert!(life.tokens.current().is_none());
    assert!(life.tokens.get().await.is_ok(), "the request that finds it so waits for a new one");
    assert_eq!(life.fetches(), 2);
    life.jump(8 * 3600);
    tokio::time::sleep(CLOCK_CHECK * 2).await;
    assert_eq!(life.fetches(), 3, "and without any request it is noticed as well");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_makes_no_token_live_longer() {
    let life = Life::good();
    life.tokens.attempted().await;
    life.wish(Wish::Nothing);
    life.jump(-48 * 3600);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(life.tokens.current().is_none());
}
