//! Plain requests through the whole chain.

use testkit::edge::CLIENT;

use crate::{Chain, StorySetup};

pub(crate) async fn without_a_proof_it_is_401(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: photos.example.com\r\n\r\n",
        "POST /api/assets HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let mut client = chain.connect().await;
        client.send(request).await;
        let answer = client.read_response().await;
        assert_eq!((answer.status, answer.header("guard-refusal")), (401, Some("unauthorized")), "{answer:?}");
        assert_eq!(answer.header("cf-cloudflared-response-meta"), Some(r#"{"src":"origin"}"#), "{answer:?}");
    }
    assert_eq!(chain.environment.immich.dials(), 0);
}

pub(crate) async fn with_a_proof_it_is_200_and_immich_sees_the_client(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    let mut client = chain.connect().await;
    client.send(chain.head("GET /api/anything?a=b%2Fc", "Cookie: CF_Authorization=x; immich_access_token=y\r\n\r\n")).await;
    let answer = client.read_response().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = chain.environment.immich.last_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/api/anything?a=b%2Fc"));
    for (name, value) in [
        ("host", "photos.example.com"),
        ("x-forwarded-for", CLIENT),
        ("x-real-ip", CLIENT),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "photos.example.com"),
        ("cookie", "immich_access_token=y"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}: {seen:#?}");
    }
    assert!(!seen.headers.iter().any(|(name, _)| name.starts_with("cf-access")), "{seen:#?}");

    client.send(chain.head("GET /api/cookies", "\r\n")).await;
    assert_eq!(client.read_response().await.all("set-cookie").len(), 3, "each on its own line, in the answer");
    client.send(chain.head("HEAD /api/assets/1/original?size=1000000", "\r\n")).await;
    assert_eq!(client.read_response_to_head().await.header("content-length"), Some("1000000"));
}

pub(crate) async fn each_line_of_a_stream_arrives_at_once(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    let mut client = chain.connect().await;
    client.send(chain.head("POST /api/sync/stream", "Content-Length: 2\r\n\r\n{}")).await;
    // The next line is not written before the last one has arrived.
    for line in ["{\"one\":1}", "{\"two\":2}", "{\"three\":3}"] {
        chain.environment.immich.sync_line(line);
        client.read_through(line.as_bytes()).await;
    }
    chain.environment.immich.sync_end();
    client.read_through(b"0\r\n\r\n").await;
}

pub(crate) async fn a_client_that_goes_leaves_immich_without_a_whole_asset(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    for (before, framing) in
        ["Content-Length: 1000000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"].into_iter().enumerate()
    {
        let mut client = chain.connect().await;
        client.send(chain.head("POST /api/assets", framing)).await;
        chain
            .environment
            .immich
            .wait_until("the first bytes", |state| state.requests.get(before).is_some_and(|upload| upload.body_bytes == 5))
            .await;
        drop(client);
        chain.environment.immich.wait_until("the upload to break", |state| state.aborted_uploads == before + 1).await;
    }
    assert_eq!(chain.environment.immich.stored(), []);
}
