//! The admin port of a guard: its pages and its metrics.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::RawClient;
use crate::deadline::CONDITION;
use crate::raw::Response;

/// The response to a GET on the admin port.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    let mut client = RawClient::connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")).await;
    client.read_response().await
}

/// What one line of `/metrics` says: `series` is the name with its labels.
pub async fn metric(admin_address: SocketAddr, series: &str) -> String {
    let text = get(admin_address, "/metrics").await.text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in\n{text}")).to_owned()
}

/// Waits until a line of `/metrics` says `value`: a request is counted when its last byte is on its way, not when it has arrived.
pub async fn metric_becomes(admin_address: SocketAddr, series: &str, value: &str) {
    let deadline = Instant::now() + CONDITION;
    loop {
        let now = metric(admin_address, series).await;
        if now == value {
            return;
        }
        assert!(Instant::now() < deadline, "{series} is {now} and never became {value}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
