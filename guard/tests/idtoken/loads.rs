//! Bodies: byte for byte through two hops, streamed both ways, and no more than Cloud Run takes.

use testkit::google::Via;
use testkit::raw::Framing;
use testkit::{CloudRunSetup, TestEnvironment, noise};

use super::GUARD;
use super::{drop_in, refusal};
use testkit::process::Process;

const MIB: u64 = 1024 * 1024;
/// A preview, as Immich sends it.
const PICTURE: u64 = 500 * 1024;

fn predict(lines: &str) -> String {
    format!("POST /predict HTTP/1.1\r\nHost: ml-proxy:8080\r\n{lines}")
}

#[tokio::test]
async fn a_picture_arrives_byte_for_byte_through_two_hops() {
    let abroad = CloudRunSetup::start().await;
    // The way in before the way out: what a browser sends could go all the way.
    let home = TestEnvironment::with(|args| args.upstream = Some(format!("http://{}", abroad.egress_proxy.addresses[0]))).await;
    for framing in [Framing::Declared, Framing::Chunked] {
        for (address, lines) in [
            (abroad.egress_proxy.addresses[0], String::new()),
            (home.guard.address, format!("Cf-Access-Jwt-Assertion: {}\r\n", home.token())),
        ] {
            let mut client = testkit::RawClient::connect(address).await;
            let sent = client.blind_upload(&predict(&lines), PICTURE, framing).await;
            let answer = sent.answer.unwrap();
            assert_eq!(answer.status, 200, "{framing:?} {}", answer.text());
            assert_eq!(answer.json()["sha256"], noise::sha256(PICTURE));
        }
    }
}

#[tokio::test]
async fn more_than_cloud_run_takes_is_refused_at_once_or_at_the_byte_too_many() {
    let abroad = CloudRunSetup::start().await;
    let mut client = abroad.connect().await;
    client.send(predict(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", 32 * MIB + 1))).await;
    let answer = client.read_response().await;
    assert_eq!(refusal(&answer), (413, "body-too-large"));
    assert!(answer.text().contains("32 MiB") && answer.text().contains("backend"), "{}", answer.text());
    assert_eq!(abroad.cloud_run.seen().connections, 0, "not even dialled");

    let mut client = abroad.connect().await;
    let sent = client.blind_upload(&predict(""), 32 * MIB + 1, Framing::Chunked).await;
    assert_eq!(sent.status(), Some(413));
    let mut client = abroad.connect().await;
    let sent = client.blind_upload(&predict(""), 32 * MIB, Framing::Declared).await;
    assert_eq!(sent.status(), Some(200), "exactly so much passes");
}

#[tokio::test]
async fn what_is_streamed_passes_piece_by_piece_in_both_directions() {
    let abroad = CloudRunSetup::start().await;
    let mut client = abroad.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    client.read_head().await;
    for piece in ["first", "again", "and on"] {
        // The echo of one piece is there before the next is sent.
        let echo = client.read_through(format!("\r\n{piece}\r\n").as_bytes()).await;
        assert!(echo.ends_with(format!("{piece}\r\n").as_bytes()));
        let next = match piece {
            "first" => "5\r\nagain\r\n",
            "again" => "6\r\nand on\r\n",
            _ => "0\r\n\r\n",
        };
        client.send(next).await;
    }
    client.read_through(b"0\r\n\r\n").await;
}

#[tokio::test]
async fn a_transfer_of_any_size_holds_no_more_than_buffers() {
    let (google, cloud_run) = testkit::google::google();
    let folder = testkit::google::Folder::new();
    let mut variables = drop_in::federation(&google, &cloud_run, &folder);
    variables.push(("GUARD_MAX_BODY", "0".to_owned()));
    let (guard, address, _admin) = drop_in::listening(Process::start(GUARD, &["idtoken"], &variables)).await;
    let mut client = testkit::RawClient::connect(address).await;
    client.send("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
    let before = guard.highest_memory_kib();

    let sent = client.blind_upload(&predict(""), 256 * MIB, Framing::Chunked).await;
    assert_eq!(sent.answer.unwrap().json()["bytes"], 256 * MIB);
    client.send(format!("GET /original?size={} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 256 * MIB)).await;
    client.read_head().await;
    let mut read = 0;
    while let Ok(bytes @ [_, ..]) = client.read_some().await.as_deref() {
        read += bytes.len() as u64;
    }
    assert_eq!(read, 256 * MIB);
    let grown = guard.highest_memory_kib() - before;
    assert!(grown < 8 * 1024, "{grown} KiB more for 512 MiB");
}

#[tokio::test]
async fn a_client_that_breaks_off_leaves_no_request_behind() {
    let abroad = CloudRunSetup::with(Via::KeyFile, |_args| {}).await;
    let mut client = abroad.connect().await;
    client.send(predict("Content-Length: 1000\r\n\r\nhalf")).await;
    client.half_close().await;
    let (bytes, _) = client.read_to_end().await;
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(abroad.cloud_run.seen().requests, 0, "a body that is kept is whole before it is sent");
}
