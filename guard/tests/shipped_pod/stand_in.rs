//! What plays Immich's program: it says what it is allowed to do, writes a photo, and answers what the probes ask.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;

use serde_json::json;

/// The argument that makes this test's own binary play it.
pub(crate) const NAME: &str = "immich-stand-in";
/// The file below `/tmp` by which a test says that the database is away.
pub(crate) const NO_DATABASE: &str = "no-database";
/// What it writes first, below the library: Immich makes its own marker wherever it starts.
pub(crate) const MARKER: &str = "/data/library/.immich";

/// Says one line of JSON, then serves until it is ended.
pub(crate) fn main() -> ! {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let status: BTreeMap<_, _> =
        status.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let write = |path: &str| fs::write(path, "x").map_err(|error| error.to_string()).err();
    let marker = Path::new(MARKER);
    let stored = fs::create_dir_all(marker.parent().unwrap()).and_then(|()| fs::write(marker, "a photo"));
    let refused = ["/new", "/bin/new", "/guard/guard", "/proc/sys/kernel/core_pattern"].map(|path| (path, write(path)));
    let said = json!({
        "pid": std::process::id(),
        "status": status,
        "env": std::env::vars().collect::<BTreeMap<_, _>>(),
        "stored": stored.map_err(|error| error.to_string()).err(),
        "refused": refused,
        "tmp": write("/tmp/new"),
        "password": std::env::var("DB_PASSWORD_FILE").map(fs::read_to_string).unwrap().map_err(|error| error.to_string()),
    });
    println!("{said}");
    let listener = TcpListener::bind(format!("0.0.0.0:{}", std::env::var("IMMICH_PORT").unwrap())).unwrap();
    for stream in listener.incoming() {
        let mut reader = BufReader::new(stream.unwrap());
        let mut head = String::new();
        // A probe that gave up meanwhile is none of Immich's business.
        while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
        let path = head.split(' ').nth(1).unwrap_or_default();
        let status = match path {
            "/api/server/ping" => "200 OK",
            "/api/server/config" if !Path::new("/tmp").join(NO_DATABASE).exists() => "200 OK",
            "/api/server/config" => "500 Internal Server Error",
            _ => "404 Not Found",
        };
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
        drop(reader.get_mut().write_all(answer.as_bytes()));
    }
    unreachable!("a listener does not end")
}
