//! Large bodies through the whole chain: over the limit, and just below what the edge itself lets through.

use testkit::noise;
use testkit::raw::Framing::{self, Chunked, Declared};

use crate::{Chain, StorySetup};

const MIB: u64 = 1024 * 1024;
/// How often a client has to see its 413. With a connection that was cut after the answer, cloudflared made a 502 of most of them.
const ATTEMPTS: u32 = 20;
/// Below 100 MB, where the edge's own limit is on its free plan.
const LARGE: u64 = 90_000_000;

async fn every_client_reads_its_413(chain: &Chain, sizes: [u64; 2], framing: Framing) {
    for size in sizes {
        for attempt in 1..=ATTEMPTS {
            let mut client = chain.connect().await;
            let sent = client.blind_upload(&chain.head("POST /api/assets", ""), size, framing).await;
            assert_eq!(sent.status(), Some(413), "{framing:?}, {size} bytes, attempt {attempt}: {sent:?}");
            assert_eq!(sent.answer.unwrap().header("guard-refusal"), Some("body-too-large"));
        }
    }
    assert_eq!(chain.environment.immich.stored(), []);
}

pub(crate) async fn declared_uploads_over_the_limit_get_their_413_each_time(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    every_client_reads_its_413(&chain, [101 * MIB, 200 * MIB], Declared).await;
    assert_eq!(chain.environment.immich.dials(), 0);
}

pub(crate) async fn streamed_uploads_over_the_limit_get_their_413_each_time(setup: StorySetup) {
    // A lower limit: each of these uploads goes through the whole chain up to it.
    let chain = Chain::with(setup, &[("GUARD_MAX_BODY", "4MiB")]).await;
    every_client_reads_its_413(&chain, [5 * MIB, 200 * MIB], Chunked).await;
    chain.environment.immich.wait_until("broken uploads to end", |state| state.open_connections == 0).await;
    assert!(chain.environment.immich.requests().iter().all(|upload| !upload.complete && upload.body_bytes <= 4 * MIB));
}

pub(crate) async fn ninety_megabytes_go_up_byte_for_byte(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    for framing in [Declared, Chunked] {
        let mut client = chain.connect().await;
        let sent = client.blind_upload(&chain.head("POST /api/assets", ""), LARGE, framing).await;
        assert_eq!((sent.status(), sent.written), (Some(201), LARGE), "{framing:?}: {sent:?}");
    }
    let expected = noise::sha256(LARGE);
    let stored: Vec<_> = chain.environment.immich.stored().into_iter().map(|asset| (asset.bytes, asset.sha256)).collect();
    assert_eq!(stored, [(LARGE, expected.clone()), (LARGE, expected)]);
    let lengths: Vec<_> =
        chain.environment.immich.requests().iter().map(|upload| upload.header("content-length").map(str::to_owned)).collect();
    assert_eq!(lengths, [Some(LARGE.to_string()), None], "a length that is told stays told, a stream stays a stream");
}

pub(crate) async fn ninety_megabytes_come_down_byte_for_byte(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    let expected = noise::bytes(0, LARGE);
    for (target, length) in [("/api/assets/1/original", Some(LARGE.to_string())), ("/api/download/archive", None)] {
        let mut client = chain.connect().await;
        client.send(chain.head(&format!("GET {target}?size={LARGE}"), "\r\n")).await;
        let answer = client.read_response().await;
        assert_eq!((answer.status, answer.complete), (200, true), "{target}");
        assert_eq!(answer.header("content-length").map(str::to_owned), length, "{target}");
        assert!(answer.body == expected, "{target}: other bytes than Immich sent");
    }
}
