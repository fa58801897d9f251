//! Tests of the key set, with a scripted source and paused time.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use testkit::signer::KeyPair;

/// A source that returns the documents of the test, and counts the fetches.
#[derive(Clone)]
struct Script(Arc<Scripted>);

struct Scripted {
    answer: Mutex<Option<String>>,
    fetches: AtomicUsize,
    gate: tokio::sync::Semaphore,
}

impl Script {
    fn new(answer: Option<String>) -> Self {
        let gate = tokio::sync::Semaphore::new(tokio::sync::Semaphore::MAX_PERMITS);
        Self(Arc::new(Scripted { answer: Mutex::new(answer), fetches: AtomicUsize::new(0), gate }))
    }

    fn now_answers(&self, answer: Option<String>) {
        *self.0.answer.lock().unwrap() = answer;
    }

    fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::SeqCst)
    }
}

impl Source for Script {
    async fn fetch(&self) -> Result<Bytes, FetchError> {
        self.0.fetches.fetch_add(1, Ordering::SeqCst);
        let _passed = self.0.gate.acquire().await.unwrap();
        self.0.answer.lock().unwrap().clone().map(Bytes::from).ok_or_else(|| FetchError::Timeout("script".to_owned()))
    }
}

fn document(keys: &[Value]) -> String {
    json!({ "keys": keys, "public_certs": [], "something": "new" }).to_string()
}

fn start(source: &Script) -> Arc<Keys> {
    let keys = Arc::new(Keys::new(vec![Algorithm::RS256], Arc::new(Metrics::new())));
    let (task, source) = (keys.clone(), source.clone());
    tokio::spawn(async move { task.keep_fresh(source).await });
    keys
}

#[tokio::test(start_paused = true)]
async fn not_ready_until_the_first_key_set_then_ready() {
    let source = Script::new(None);
    let keys = start(&source);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(keys.current().is_none());
    source.now_answers(Some(document(&[KeyPair::generate().jwk()])));
    keys.ready().await;
    assert_eq!(keys.current().unwrap().keys().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_key_server_changes_nothing_and_a_day_closes_the_door() {
    let source = Script::new(Some(document(&[KeyPair::generate().jwk()])));
    let keys = start(&source);
    keys.ready().await;
    source.now_answers(None);
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    assert!(keys.current().is_some(), "the last good set serves on");
    assert!(source.fetches() > 10, "and it kept asking: {}", source.fetches());
    tokio::time::sleep(MAX_AGE).await;
    assert!(keys.current().is_none(), "its age is bounded");
    source.now_answers(Some(document(&[KeyPair::generate().jwk()])));
    tokio::time::sleep(MAX_BACKOFF * 2).await;
    assert!(keys.current().is_some(), "and it comes back by itself");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_causes_one_fetch_a_minute() {
    let source = Script::new(Some(document(&[KeyPair::generate().jwk()])));
    let keys = start(&source);
    keys.ready().await;
    tokio::task::yield_now().await;
    let before = source.fetches();
    let started = Instant::now();
    for _ in 0..10_000 {
        keys.refetched().await;
    }
    assert_eq!(source.fetches() - before, 1, "ten thousand in a row");
    let crowd: Vec<_> = (0..1_000)
        .map(|_| {
            tokio::spawn({
                let keys = keys.clone();
                async move { keys.refetched().await }
            })
        })
        .collect();
    for caller in crowd {
        caller.await.unwrap();
    }
    assert_eq!(source.fetches() - before, 1, "a thousand at once");
    assert!(started.elapsed() < REFETCH_INTERVAL, "nobody was made to wait for the floor");
    tokio::time::sleep(REFETCH_INTERVAL).await;
    keys.refetched().await;
    assert_eq!(source.fetches() - before, 2, "a minute later, one more");
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_join_the_one_fetch_in_flight() {
    let (old, new) = (KeyPair::generate(), KeyPair::generate());
    let source = Script::new(Some(document(&[old.jwk()])));
    let keys = start(&source);
    keys.ready().await;
    tokio::task::yield_now().await;
    let before = source.fetches();
    let closed = source.0.gate.acquire_many(u32::MAX >> 3).await.unwrap();
    source.now_answers(Some(document(&[new.jwk(), old.jwk()])));
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let (keys, kid) = (keys.clone(), new.kid().to_owned());
            tokio::spawn(async move {
                keys.refetched().await;
                keys.current().unwrap().find(&kid).is_some()
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(closed);
    for caller in crowd {
        assert!(caller.await.unwrap(), "every one of them sees the new key");
    }
    assert_eq!(source.fetches() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_set_is_replaced_whole_so_a_revoked_key_is_gone() {
    let (old, new) = (KeyPair::generate(), KeyPair::generate());
    let source = Script::new(Some(document(&[old.jwk()])));
    let keys = start(&source);
    keys.ready().await;
    source.now_answers(Some(document(&[new.jwk()])));
    tokio::time::sleep(REFRESH + REFRESH / 5).await;
    let set = keys.current().unwrap();
    assert!(set.find(old.kid()).is_none() && set.find(new.kid()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_bad_document_never_replaces_a_good_set() {
    let signer = KeyPair::generate();
    let source = Script::new(Some(document(&[signer.jwk()])));
    let keys = start(&source);
    keys.ready().await;
    for bad in
        ["", "{}", "[]", "{\"keys\":[]}", "{\"keys\":{}}", "<html>", "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"aa\"}]}"]
    {
        source.now_answers(Some(bad.to_owned()));
        tokio::time::sleep(REFRESH + REFRESH / 5).await;
        assert!(keys.current().unwrap().find(signer.kid()).is_some(), "after {bad:?}");
    }
}

#[test]
fn only_keys_that_may_verify_rs256_are_read() {
    let signer = KeyPair::generate();
    let changed = |member: &str, value: Value| {
        let mut jwk = signer.jwk();
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(member);
        } else {
            jwk[member] = value;
        }
        KeySet::parse(document(&[jwk]).as_bytes(), &[Algorithm::RS256]).is_ok()
    };
    assert!(changed("use", Value::Null), "use may be absent");
    assert!(changed("alg", Value::Null), "alg may be absent");
    for (member, value) in [
        ("use", json!("enc")),
        ("alg", json!("RS512")),
        ("alg", json!("HS256")),
        ("kty", json!("oct")),
        ("kid", Value::Null),
        ("kid", json!("")),
        ("kid", json!(7)),
        ("key_ops", json!(["sign"])),
        ("e", json!("AQ")),
        ("e", json!("")),
        ("n", json!("AQAB")),
        ("n", json!("not base64url!")),
        ("n", json!(URL_SAFE_NO_PAD.encode([0xc5_u8; 128]))),
    ] {
        assert!(!changed(member, value.clone()), "{member}: {value}");
    }
}

#[test]
fn a_kid_that_two_keys_claim_is_nobodys() {
    let (first, second, third) = (KeyPair::generate(), KeyPair::generate(), KeyPair::generate());
    let mut twin = second.jwk();
    twin["kid"] = json!(first.kid());
    let set = KeySet::parse(document(&[first.jwk(), twin, third.jwk(), third.jwk()]).as_bytes(), &[Algorithm::RS256]).unwrap();
    assert!(set.find(first.kid()).is_none());
    assert_eq!(set.keys().len(), 1, "the same key twice is one key");
}
