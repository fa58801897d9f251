//! The tour: real requests over real sockets, each with the answer it got and what that proves. Wrong answers make it fail.

mod entry;
mod framing;
mod keys;
mod loads;
mod operator;
mod tunnels;

use std::fmt::Display;
use std::io;

use super::Home;
use super::client::{Answer, Client};
use super::steps::Steps;

/// Runs every part; `true` if every step was as wanted.
pub async fn run(home: &Home) -> bool {
    let mut tour = Tour { home, steps: Steps::new() };
    println!(
        "guard-demo: a front door, a guard and a photo server on loopback. Every line below is a request that was really sent."
    );
    entry::run(&mut tour).await;
    framing::run(&mut tour).await;
    loads::run(&mut tour).await;
    keys::run(&mut tour).await;
    tunnels::run(&mut tour).await;
    operator::run(&mut tour).await;
    tour.steps.end()
}

/// What the parts of the tour share.
struct Tour<'h> {
    home: &'h Home,
    steps: Steps,
}

impl Tour<'_> {
    fn part(&self, title: &str) {
        self.steps.part(title);
    }

    fn step(&mut self, done: &str, got: impl Display, right: bool, proves: &str) {
        self.steps.step(done, got, right, proves);
    }

    fn wants(&mut self, wanted: u16, done: &str, answer: &io::Result<Answer>, proves: &str) {
        self.steps.wants(wanted, done, answer, proves);
    }

    /// Asks once, on a connection of its own.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> io::Result<Answer> {
        Client::connect(self.home.guard.address()).await?.ask(bytes).await
    }

    /// Asks for the ping with this token.
    async fn ask_with(&self, token: &str) -> io::Result<Answer> {
        self.ask(get("/api/server/ping", &format!("Cf-Access-Jwt-Assertion: {token}\r\n"))).await
    }
}

/// A GET with these header lines.
fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: photos.example.com\r\n{lines}\r\n")
}

/// The head of an upload, without its framing.
fn upload_head(token: &str) -> String {
    format!("POST /api/assets HTTP/1.1\r\nHost: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\n")
}
