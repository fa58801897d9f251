//! What several wire tests need beside the testkit: conditions that come soon, and the admin port.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this one")]

pub(crate) mod binary;

use std::net::SocketAddr;
use std::time::Duration;

use testkit::RawClient;
use testkit::raw::Response;
use tokio::time::Instant;

/// For a condition that follows from what the test has already done.
const SOON: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; panics with `what` after 10 s.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {} s in vain: {what}", SOON.as_secs());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The answer to a GET on the admin port.
pub(crate) async fn admin(address: SocketAddr, path: &str) -> Response {
    let mut client = RawClient::connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")).await;
    client.read_response().await
}

/// What one line of `/metrics` says: `series` is the name with its labels.
pub(crate) async fn metric(admin_address: SocketAddr, series: &str) -> String {
    let text = admin(admin_address, "/metrics").await.text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in\n{text}")).to_owned()
}

/// Waits until a line of `/metrics` says `value`: a request is counted when its last byte is on its way, not when it has arrived.
pub(crate) async fn metric_becomes(admin_address: SocketAddr, series: &str, value: &str) {
    let deadline = Instant::now() + SOON;
    loop {
        let now = metric(admin_address, series).await;
        if now == value {
            return;
        }
        assert!(Instant::now() < deadline, "{series} is {now} and never became {value}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
