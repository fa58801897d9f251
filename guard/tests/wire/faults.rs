//! Either side goes away, or is slow, at any point: the other side is told so, never that a broken message was whole, and guard holds
//! no more than its buffers.

use std::net::Ipv4Addr;

use socket2::SockRef;
use testkit::immich::Config;
use testkit::raw::End;
use testkit::{Immich, RawUpstream, TestEnvironment, noise};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const MIB: u64 = 1024 * 1024;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A guard with one worker, and so one pool, in front of `upstream`.
async fn one_worker(upstream: String) -> TestEnvironment {
    TestEnvironment::with(|args| {
        args.upstream = Some(upstream);
        args.process.workers = Some("1".to_owned());
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_at_once() {
    let nowhere = RawUpstream::nowhere().await;
    let home = TestEnvironment::with(|args| args.upstream = Some(format!("http://{nowhere}"))).await;
    let mut client = home.connect().await;
    for _ in 0..2 {
        client.send(home.head("GET /", "")).await;
        let answer = client.read_response().await;
        assert_eq!((answer.status, answer.header("guard-refusal")), (502, Some("upstream-unreachable")));
        assert_eq!(answer.json()["correlationId"], answer.header("guard-request-id").unwrap());
        assert!(!answer.text().contains(&nowhere.to_string()), "where Immich is, is nobody's business: {}", answer.text());
    }
    // With a body that nobody takes, the connection closes behind it, and the client gets to read why.
    let head = home.head("POST /api/assets", "");
    let sent = client.blind_upload(head.strip_suffix("\r\n").unwrap(), 20 * MIB, testkit::raw::Framing::Declared).await;
    assert_eq!(sent.status(), Some(502), "{sent:?}");
    assert_eq!(sent.answer.unwrap().header("connection"), Some("close"));
}

#[tokio::test]
async fn an_upstream_that_dies_before_its_head_is_a_502() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    client.send(home.head("GET /api/die-before-head", "")).await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.header("guard-refusal")), (502, Some("upstream-unreachable")));
    client.send(home.head("GET /api/server/ping", "")).await;
    assert_eq!(client.read_response().await.status, 200, "the client's connection lives on");
}

#[tokio::test]
async fn half_a_head_or_no_http_is_a_502() {
    let upstream = RawUpstream::start().await;
    let home = one_worker(upstream.url()).await;
    let mut client = home.connect().await;
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Le",
        "220 smtp ready\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        client.send(home.head("GET /", "")).await;
        let mut server = upstream.accept().await;
        server.read_head().await;
        server.send(answer).await;
        drop(server);
        let answered = client.read_response().await;
        assert_eq!((answered.status, answered.header("guard-refusal")), (502, Some("upstream-unreachable")), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_cut_short_is_cut_short_for_the_client_too() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    client.send(home.head("GET /api/die-mid-body", "")).await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.end, answer.complete), (200, End::Length, false));
    assert!(answer.body.len() <= 524_288 && noise::bytes(0, answer.body.len() as u64) == answer.body);

    let upstream = RawUpstream::start().await;
    let home = one_worker(upstream.url()).await;
    for framing in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "Content-Length: 9\r\n\r\nhello",
    ] {
        let mut client = home.connect().await;
        client.send(home.head("GET /", "")).await;
        let mut server = upstream.accept().await;
        server.read_head().await;
        server.send(format!("HTTP/1.1 200 OK\r\n{framing}")).await;
        drop(server);
        let answer = client.read_response().await;
        assert!(!answer.complete && b"hello".starts_with(&answer.body), "{framing}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_to_immich_is_used_again() {
    let immich = Immich::start_with(Config { idle: None, ..Config::default() }).await;
    let home = one_worker(immich.url()).await;
    let mut client = home.connect().await;
    for round in 0..10 {
        for (head, body) in [
            (home.head("GET /api/server/ping", ""), ""),
            (home.head("POST /api/assets", "Content-Length: 5\r\n"), "hello"),
            (home.head("POST /api/assets", "Transfer-Encoding: chunked\r\n"), "5\r\nhello\r\n0\r\n\r\n"),
            (home.head("GET /api/download/archive?size=100000", ""), ""),
        ] {
            client.send(format!("{head}{body}")).await;
            let answer = client.read_response().await;
            assert!(answer.complete && answer.status < 300, "round {round}: {answer:?}");
        }
    }
    assert_eq!((immich.requests().len(), immich.dials()), (40, 1));
}

#[tokio::test]
async fn a_pooled_connection_that_immich_has_closed_is_no_502() {
    let upstream = RawUpstream::start().await;
    let home = one_worker(upstream.url()).await;
    let mut client = home.connect().await;
    for round in 0..30 {
        // Each connection serves two requests, then closes where it waits for a third.
        let mut server = None;
        for (head, body) in [(home.head("GET /one", ""), ""), (home.head("POST /two", "Content-Length: 5\r\n"), "hello")] {
            client.send(format!("{head}{body}")).await;
            let mut connection = match server.take() {
                Some(connection) => connection,
                None => upstream.accept().await,
            };
            connection.read_head().await;
            assert_eq!(connection.read_exact(body.len()).await, body.as_bytes());
            connection.send(OK).await;
            server = Some(connection);
            let answer = client.read_response().await;
            assert_eq!(answer.status, 200, "round {round}, {head}");
        }
        // In turn with FIN and with RST.
        let server = server.unwrap();
        if round % 2 == 0 {
            drop(server);
        } else {
            server.reset();
        }
        if round % 3 == 0 {
            client.send(format!("{}hello", home.head("POST /three", "Content-Length: 5\r\n"))).await;
            let mut fresh = upstream.accept().await;
            assert_eq!(fresh.read_head().await.start_line, "POST /three HTTP/1.1");
            assert_eq!(fresh.read_exact(5).await, b"hello");
            fresh.send(OK).await;
            assert_eq!(client.read_response().await.status, 200, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_inside_its_upload_leaves_immich_with_a_broken_one() {
    let home = TestEnvironment::start().await;
    for (number, framing) in ["Content-Length: 1000000\r\n", "Transfer-Encoding: chunked\r\n"].repeat(2).into_iter().enumerate() {
        let mut client = home.connect().await;
        client.send(home.head("POST /api/assets", framing)).await;
        let piece = noise::bytes(0, 50_000);
        client.send(if framing.starts_with('C') { piece } else { [b"c350\r\n", &piece[..], b"\r\n"].concat() }).await;
        home.immich.wait_until("half the upload", |state| state.requests.last().is_some_and(|r| r.body_bytes == 50_000)).await;
        if number < 2 {
            drop(client);
        } else {
            client.reset();
        }
        home.immich.wait_until("the upload to break", |state| state.aborted_uploads == number + 1).await;
        home.immich.wait_until("its connection to close", |state| state.open_connections == 0).await;
        assert!(!home.immich.last_request().complete, "{framing}");
    }
    assert_eq!(home.immich.stored(), []);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_no_longer_waited_for_at_immich() {
    let home = TestEnvironment::start().await;
    for number in 0..2 {
        let mut client = home.connect().await;
        client.send(home.head("GET /api/slow", "")).await;
        home.immich.wait_until("the request", |state| state.requests.len() == number + 1).await;
        if number == 0 {
            drop(client);
        } else {
            client.reset();
        }
        home.immich.wait_until("it to be cancelled", |state| state.requests[number].cancelled).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_inside_its_download_closes_the_upstream_connection() {
    let upstream = RawUpstream::start().await;
    let home = one_worker(upstream.url()).await;
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = home.connect().await;
        client.send(home.head("GET /", "")).await;
        let mut server = upstream.accept().await;
        server.read_head().await;
        server.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhello\r\n")).await;
        client.read_head().await;
        client.read_through(b"hello").await;
        drop(client);
        // FIN or RST: the connection is gone, and not in the pool.
        assert_eq!(server.read_to_end().await.0, b"", "{framing}");
    }
}

/// Writes into `stream` until guard takes no more, and returns how much it took. Guard has had its turn when it answers a request of
/// somebody else on its only worker; when 200 answers in a row have made no room, nothing will.
async fn fill(home: &TestEnvironment, stream: &TcpStream) -> u64 {
    let piece = noise::bytes(0, 64 * 1024);
    let mut other = home.connect().await;
    let (mut written, mut turns) = (0, 0);
    while turns < 200 && written < 256 * MIB {
        match stream.try_write(&piece) {
            Ok(count) => {
                written += count as u64;
                turns = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "after {written} bytes");
                other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                assert_eq!(other.read_response().await.status, 401);
                turns += 1;
            }
        }
    }
    written
}

/// The most that a transfer which nobody drains may take: guard's buffers are a few times 64 KiB, and the rest are those of the kernel
/// between four sockets.
const STUCK: u64 = 16 * MIB;

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_download_at_immich() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let home = one_worker(format!("http://{}", listener.local_addr().unwrap())).await;
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(64 * 1024).unwrap();
    let mut client = client.connect(home.guard.address).await.unwrap();
    client.write_all(home.head("GET /", "").as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    SockRef::from(&server).set_send_buffer_size(64 * 1024).unwrap();
    assert!(server.read(&mut [0; 4096]).await.unwrap() > 0);
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n").await.unwrap();
    let taken = fill(&home, &server).await;
    assert!(taken < STUCK, "guard took {taken} bytes for a client that reads nothing");
    // It goes on where it stopped.
    let mut drained = vec![0; usize::try_from(taken).unwrap()];
    client.read_exact(&mut drained).await.unwrap();
    server.write_all(b"more").await.unwrap();
}

#[tokio::test]
async fn an_immich_that_does_not_read_stops_the_upload_at_the_client() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let home = TestEnvironment::with(|args| {
        args.upstream = Some(upstream);
        args.process.workers = Some("1".to_owned());
        args.max_body = Some("0".to_owned());
    })
    .await;
    let mut client = TcpStream::connect(home.guard.address).await.unwrap();
    SockRef::from(&client).set_send_buffer_size(64 * 1024).unwrap();
    client.write_all(home.head("POST /", "Content-Length: 10000000000\r\n").as_bytes()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let taken = fill(&home, &client).await;
    assert!(taken < STUCK, "guard took {taken} bytes for an upstream that reads nothing");
    drop(server);
}
