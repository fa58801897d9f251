//! Exactly N bytes pass, byte N+1 does not: declared before a byte is read, streamed at that byte, and whoever sent too much gets to
//! read why.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use testkit::raw::Framing::{self, Chunked, Declared};
use testkit::{TestEnvironment, noise};

/// `GUARD_MAX_BODY` as it is when nobody sets it.
const LIMIT: u64 = 104_857_600;
const MIB: u64 = 1024 * 1024;
const UPLOAD: &str = "POST /api/assets";

/// The head of an upload by a person, without framing and without the empty line.
fn upload(home: &TestEnvironment) -> String {
    open_head(&home.head(UPLOAD, ""))
}

fn open_head(head: &str) -> String {
    head.strip_suffix("\r\n").expect("a head ends in an empty line").to_owned()
}

/// The head of the same upload by a stranger.
const STRANGER: &str = "POST /api/assets HTTP/1.1\r\nHost: photos.example.com\r\n";

/// Waits until Immich has noticed the end of every connection, and makes sure that it has no whole asset.
async fn nothing_is_whole(home: &TestEnvironment) {
    home.immich.wait_until("broken uploads to end", |state| state.open_connections == 0).await;
    assert_eq!(home.immich.stored(), [], "an asset was stored");
    for request in home.immich.requests() {
        assert!(!request.complete, "Immich took a broken upload for a whole one: {request:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_100_mib_pass_byte_for_byte() {
    let home = TestEnvironment::start().await;
    for framing in [Declared, Chunked] {
        let mut client = home.connect().await;
        let sent = client.blind_upload(&upload(&home), LIMIT, framing).await;
        assert_eq!((sent.status(), sent.written), (Some(201), LIMIT), "{framing:?}: {sent:?}");
    }
    let expected = noise::sha256(LIMIT);
    let stored: Vec<_> = home.immich.stored().into_iter().map(|asset| (asset.bytes, asset.sha256)).collect();
    assert_eq!(stored, [(LIMIT, expected.clone()), (LIMIT, expected)]);
    let framings: Vec<_> = home.immich.requests().iter().map(|r| r.header("content-length").map(str::to_owned)).collect();
    assert_eq!(framings, [Some(LIMIT.to_string()), None], "Immich is told the length that the client told");
}

#[tokio::test]
async fn one_byte_more_declared_is_413_before_a_byte_is_asked_for() {
    let home = TestEnvironment::start().await;
    for expect in ["", "Expect: 100-continue\r\n"] {
        for length in [LIMIT + 1, 2 * LIMIT, u64::from(u32::MAX), u64::MAX - 2] {
            let mut client = home.connect().await;
            client.send(home.head(UPLOAD, &format!("{expect}Content-Length: {length}\r\n"))).await;
            // No byte of the body is sent, so the answer can wait for none.
            let answer = client.read_response().await;
            assert_eq!(answer.status, 413, "{length}");
            let (rest, error) = client.read_to_end().await;
            assert!(rest.is_empty() && error.is_none(), "{length}: {error:?}");
        }
    }
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_more_streamed_is_413_and_nothing_is_stored() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    let sent = client.blind_upload(&upload(&home), LIMIT + 1, Chunked).await;
    assert_eq!(sent.status(), Some(413), "{sent:?}");
    assert_eq!(sent.answer.unwrap().header("guard-refusal"), Some("body-too-large"));
    nothing_is_whole(&home).await;
    assert_eq!(home.immich.aborted_uploads(), 1);
    assert!(home.immich.last_request().body_bytes <= LIMIT);
}

#[tokio::test]
async fn a_413_names_itself_the_limit_and_the_way_for_large_files() {
    let home = TestEnvironment::with(|args| args.lan_url = Some("http://nas.lan:30283".to_owned())).await;
    let over = format!("Content-Length: {}\r\n", LIMIT + 1);
    for chunked in [false, true] {
        let small;
        let answer = if chunked {
            small = TestEnvironment::with(|args| {
                args.lan_url = Some("http://nas.lan:30283".to_owned());
                args.max_body = Some("10".to_owned());
            })
            .await;
            let mut client = small.connect().await;
            client.blind_upload(&upload(&small), 11, Chunked).await.answer.unwrap()
        } else {
            let mut client = home.connect().await;
            client.send(home.head(UPLOAD, &over)).await;
            client.read_response().await
        };
        assert_eq!(answer.head.start_line, "HTTP/1.1 413 Payload Too Large");
        assert_eq!(answer.all("guard-refusal"), ["body-too-large"]);
        assert_eq!(answer.all("connection"), ["close"]);
        assert_eq!(answer.all("cache-control"), ["no-store"]);
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        let id = answer.header("guard-request-id").unwrap();
        let limit = if chunked { "10 bytes" } else { "100 MiB" };
        assert_eq!(
            answer.json(),
            serde_json::json!({
                "statusCode": 413,
                "error": "Payload Too Large",
                "message": format!(
                    "Too large. Upload it at home: http://nas.lan:30283 (the limit over the internet is {limit})."
                ),
                "correlationId": id,
            })
        );
    }
    let mut browser = home.connect().await;
    browser.send(home.head(UPLOAD, &format!("Accept: text/html\r\n{over}"))).await;
    let page = browser.read_response().await;
    assert!(page.status == 413 && page.text().contains("http://nas.lan:30283"), "{}", page.text());
}

/// Of 40 clients that send 200 MiB without a look at the answer, each reads it, and none meets a write error.
async fn every_blind_client_reads(home: &TestEnvironment, head: &str, framing: Framing, status: u16) {
    for attempt in 1..=40 {
        let mut client = home.connect().await;
        let sent = client.blind_upload(head, 200 * MIB, framing).await;
        assert_eq!(sent.status(), Some(status), "{framing:?}, attempt {attempt}: {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_declares_and_sends_200_mib_blindly_reads_its_413() {
    let home = TestEnvironment::start().await;
    every_blind_client_reads(&home, &upload(&home), Declared, 413).await;
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_streams_200_mib_blindly_reads_its_413() {
    let home = TestEnvironment::with(|args| args.max_body = Some("4MiB".to_owned())).await;
    every_blind_client_reads(&home, &upload(&home), Chunked, 413).await;
    nothing_is_whole(&home).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_proof_that_sends_200_mib_blindly_reads_its_401() {
    let home = TestEnvironment::start().await;
    every_blind_client_reads(&home, STRANGER, Chunked, 401).await;
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn immich_has_the_whole_body_if_and_only_if_it_is_within_the_limit() {
    const LIMITS: [u64; 6] = [1, 10, 4_095, 8_192, 10_007, 65_536];
    let mut homes = Vec::new();
    for limit in LIMITS {
        homes.push(TestEnvironment::with(|args| args.max_body = Some(limit.to_string())).await);
    }
    // Lengths close to the limit above all; pieces are chunks, and writes of their own.
    let case = (0..LIMITS.len()).prop_flat_map(|which| {
        let limit = LIMITS[which];
        let near = limit.saturating_sub(3)..=limit + 3;
        let length = prop_oneof![3 => near, 1 => 0..=limit, 1 => limit..=3 * limit + 20];
        (Just(which), length, any::<bool>(), prop::collection::vec(1..=20_000_u64, 1..6))
    });
    let mut runner = TestRunner::deterministic();
    for number in 0..400 {
        let (which, length, chunked, pieces) = case.new_tree(&mut runner).unwrap().current();
        let (home, limit) = (&homes[which], LIMITS[which]);
        let name = format!("case {number}: {length} bytes, limit {limit}, chunked {chunked}, pieces {pieces:?}");
        let framing = if chunked { "Transfer-Encoding: chunked\r\n".to_owned() } else { format!("Content-Length: {length}\r\n") };

        let before = home.immich.stored().len();
        let mut client = home.connect().await;
        client.send(home.head(UPLOAD, &framing)).await;
        let mut at = 0;
        for piece in pieces.iter().cycle() {
            let end = length.min(at + piece);
            let bytes = noise::bytes(at, end);
            at = end;
            let written = match (chunked, bytes.is_empty()) {
                (true, _) => [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat(),
                (false, _) => bytes,
            };
            // A refused client may find the connection closed: never before it could read the answer.
            let is_last = if chunked { at == length && written.starts_with(b"0") } else { at == length };
            let (_, error) = client.send_lossy(&written).await;
            assert!(error.is_none(), "{name}: {error:?}");
            if is_last {
                break;
            }
        }
        let answer = client.read_response().await;
        let stored = home.immich.stored().split_off(before);
        if length <= limit {
            assert_eq!(answer.status, 201, "{name}");
            let expected = (length, noise::sha256(length));
            assert_eq!(stored.into_iter().map(|asset| (asset.bytes, asset.sha256)).collect::<Vec<_>>(), [expected], "{name}");
        } else {
            assert_eq!((answer.status, answer.header("guard-refusal")), (413, Some("body-too-large")), "{name}");
            assert_eq!(stored, [], "{name}");
        }
    }
    for (home, limit) in homes.iter().zip(LIMITS) {
        for request in home.immich.requests() {
            assert!(request.body_bytes <= limit, "limit {limit}: {request:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_limit_any_size_passes() {
    let home = TestEnvironment::with(|args| args.max_body = Some("0".to_owned())).await;
    for framing in [Declared, Chunked] {
        let sent = home.connect().await.blind_upload(&upload(&home), LIMIT + 1, framing).await;
        assert_eq!(sent.status(), Some(201), "{sent:?}");
    }
    assert!(home.immich.stored().iter().all(|asset| asset.bytes == LIMIT + 1 && asset.sha256 == noise::sha256(LIMIT + 1)));
    assert_eq!(home.immich.stored().len(), 2);
}

#[tokio::test]
async fn an_upload_within_the_limit_is_asked_for_its_body_and_a_refused_one_never() {
    let home = TestEnvironment::with(|args| args.max_body = Some("10".to_owned())).await;
    let mut client = home.connect().await;
    for framing in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
        client.send(home.head(UPLOAD, &format!("Expect: 100-continue\r\n{framing}"))).await;
        assert_eq!(client.read_response().await.status, 100, "{framing}");
        let bytes = noise::bytes(0, 10);
        let body = if framing.starts_with('C') { bytes } else { [b"a\r\n", &bytes[..], b"\r\n0\r\n\r\n"].concat() };
        client.send(body).await;
        assert_eq!(client.read_response().await.status, 201, "{framing}");
        assert_eq!(home.immich.last_request().header("expect"), None);
    }
    assert_eq!(home.immich.stored().len(), 2);

    let dials = home.immich.dials();
    let waiting = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    for (name, head, status) in [
        ("no proof", format!("{STRANGER}{waiting}\r\n"), 401),
        ("no Host", home.head(UPLOAD, waiting).replace("Host: photos.example.com\r\n", ""), 400),
        ("too large", home.head(UPLOAD, "Expect: 100-continue\r\nContent-Length: 11\r\n"), 413),
    ] {
        let mut refused = home.connect().await;
        refused.send(head).await;
        assert_eq!(refused.read_response().await.status, status, "{name}");
        assert_eq!(refused.read_to_end().await.0, b"", "{name}");
    }
    assert_eq!(home.immich.dials(), dials);
}

#[tokio::test]
async fn framing_is_decided_before_identity_and_identity_before_size() {
    let home = TestEnvironment::with(|args| {
        args.max_body = Some("10".to_owned());
        args.door.allow_email = Some("ada@example.com".to_owned());
    })
    .await;
    let too_large = "Content-Length: 11\r\n";
    let both = "Content-Length: 11\r\nTransfer-Encoding: chunked\r\n";
    let eve = format!("Cf-Access-Jwt-Assertion: {}\r\n", home.front_door.token_for("eve@example.com"));
    for (name, head, status) in [
        ("bad framing, no proof, too large", format!("{STRANGER}{both}\r\n"), 400),
        ("bad framing, not on the list, too large", format!("{STRANGER}{eve}{both}\r\n"), 400),
        ("no proof, too large", format!("{STRANGER}{too_large}\r\n"), 401),
        ("not on the list, too large", format!("{STRANGER}{eve}{too_large}\r\n"), 403),
        ("too large", home.head(UPLOAD, too_large), 413),
    ] {
        let mut client = home.connect().await;
        client.send(head).await;
        let answer = client.read_response().await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.header("connection"), Some("close"), "{name}: a body may follow");
    }
    assert_eq!(home.immich.dials(), 0);
}
