//! Large uploads: tus 1.0 over real sockets. The file is whole at Immich, or not there at all.

mod cuts;
mod protocol;
mod refused;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::raw::Response;
use testkit::{RawClient, TestEnvironment, noise};

/// A guard with large uploads, and Immich.
async fn home() -> TestEnvironment {
    TestEnvironment::with(|args| args.uploads.large_uploads = Some("on".to_owned())).await
}

/// `Upload-Metadata` of a file.
fn metadata(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
}

/// A client of one person: an access token, and a session at Immich.
#[derive(Clone)]
struct Person {
    address: std::net::SocketAddr,
    lines: String,
}

impl Person {
    fn new(home: &TestEnvironment, email: &str) -> Self {
        let token = home.front_door.token_for(email);
        let lines = format!(
            "Host: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\nCookie: immich_access_token=session-of-{email}\r\n\
             Tus-Resumable: 1.0.0\r\n"
        );
        Self { address: home.guard.address, lines }
    }

    fn head(&self, line: &str, extra: &str) -> String {
        format!("{line} HTTP/1.1\r\n{}{extra}\r\n", self.lines)
    }

    async fn send(&self, line: &str, extra: &str, body: &[u8]) -> Response {
        let mut client = RawClient::connect(self.address).await;
        client.send(self.head(line, extra)).await;
        client.send_lossy(body).await;
        if line.starts_with("HEAD") { client.read_response_to_head().await } else { client.read_response().await }
    }

    /// Begins an upload of so many bytes. Its path.
    async fn begin(&self, length: u64) -> String {
        let response = self.create(length, &metadata(&[("filename", "holiday.mov"), ("filetype", "video/quicktime")])).await;
        assert_eq!((response.status, response.header("upload-offset")), (201, Some("0")), "{response:?}");
        response.header("location").unwrap().to_owned()
    }

    async fn create(&self, length: u64, metadata: &str) -> Response {
        let extra = format!("Upload-Length: {length}\r\nUpload-Metadata: {metadata}\r\nContent-Length: 0\r\n");
        self.send("POST /.guard/uploads", &extra, b"").await
    }

    /// A part of the [`noise`] file.
    async fn part(&self, path: &str, from: u64, to: u64) -> Response {
        let extra = part_head(from, to - from);
        self.send(&format!("PATCH {path}"), &extra, &noise::bytes(from, to)).await
    }

    async fn offset(&self, path: &str) -> Response {
        self.send(&format!("HEAD {path}"), "", b"").await
    }
}

fn part_head(from: u64, length: u64) -> String {
    format!("Content-Type: application/offset+octet-stream\r\nUpload-Offset: {from}\r\nContent-Length: {length}\r\n")
}

/// The one file at Immich is the first so many bytes of the noise.
#[track_caller]
fn is_whole(home: &TestEnvironment, length: u64) {
    let stored = home.immich.stored();
    let [stored] = stored.as_slice() else { panic!("wanted one file, found {stored:#?}") };
    let file = stored.file.as_ref().expect("a form that ended well");
    assert_eq!((file.bytes, &file.sha256), (length, &noise::sha256(length)));
}
