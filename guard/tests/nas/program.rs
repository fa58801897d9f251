//! A probe that asks the program behind the gate, too: the disk first, then one GET.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testkit::nas::{Mode, Propagation};
use testkit::tests;

use super::{host, refused};

/// Not under an emulator.
pub(super) const NATIVE: &[(&str, fn())] = tests![readiness_is_the_disk_and_an_answer_of_the_program];

pub(super) const TESTS: &[(&str, fn())] =
    tests![a_refusing_disk_is_not_made_good_by_the_program, what_is_no_question_is_wrong_usage,];

/// A program that gives every request this answer, and keeps the connection open if there is none. And how many asked.
fn program(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/server/config", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /api/server/config HTTP/1.0\r\nHost: 127.0.0.1:"));
            counter.fetch_add(1, Ordering::SeqCst);
            if answer.is_empty() {
                open.push(stream);
            } else {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (url, asked)
}

fn readiness_is_the_disk_and_an_answer_of_the_program() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for (answer, code, message) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 0, ""),
        // Immich with its database down.
        ("HTTP/1.1 500 Internal Server Error\r\n\r\n", 1, "status 500"),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", 1, "status 302"),
        ("SSH-2.0-OpenSSH_9.2\r\n", 1, "not HTTP"),
        ("", 1, "no response within 0.3 s"),
    ] {
        let (url, asked) = program(answer);
        // Short only where it is waited for.
        let timeout = if answer.is_empty() { "300ms" } else { "20s" };
        let outcome = container.guard(&["nas", "probe", "--http", &url]).env("GUARD_NAS_TIMEOUT", timeout).run();
        assert_eq!(outcome.code(), code, "{outcome:#?}");
        let events = outcome.events();
        // One line, and it says what is wrong: an event of the kubelet shows the first.
        assert_eq!(events.len(), 1, "{outcome:#?}");
        if code == 0 {
            assert_eq!(events[0]["code"], "NAS_OK", "{outcome:#?}");
        } else {
            assert_eq!(events[0]["event"], "nas_probe_http", "{outcome:#?}");
            assert!(events[0]["message"].as_str().unwrap().contains(message), "{outcome:#?}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = container.guard(&["nas", "probe", "--http", &format!("http://{nobody}/")]).run();
    assert_eq!(outcome.code(), 1, "{outcome:#?}");
    assert!(outcome.stderr.contains("refused"), "{outcome:#?}");
}

fn a_refusing_disk_is_not_made_good_by_the_program() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let (url, asked) = program("HTTP/1.1 200 OK\r\n\r\n");
    nas.set(Mode::Stale);
    refused(&container.guard(&["nas", "probe", "--definite", "--http", &url]).run(), 49);
    nas.set(Mode::Full);
    refused(&container.guard(&["nas", "probe", "--http", &url]).run(), 46);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // What liveness forgives, it still asks behind.
    let outcome = container.guard(&["nas", "probe", "--definite", "--http", &url]).run();
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

fn what_is_no_question_is_wrong_usage() {
    let host = host();
    let container = host.container(&host.disk(), Propagation::Private);
    for url in ["immich:2283", "http://immich:2283/", "https://127.0.0.1:2283/"] {
        let outcome = container.guard(&["nas", "probe", "--http", url]).run();
        assert_eq!(outcome.code(), 2, "{outcome:#?}");
        assert!(outcome.stderr.contains("http://127.0.0.1:2283/api/server/config"), "{outcome:#?}");
    }
}
