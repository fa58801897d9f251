//! The tour: real requests over real sockets, each with the answer it got and what that proves. Wrong answers make it fail.

mod entry;
mod framing;
mod keys;
mod loads;
mod operator;
mod tunnels;

use std::fmt::Display;
use std::io::{self, IsTerminal as _};

use super::Home;
use super::client::{Answer, Client};

/// Runs every part; `true` if every step was as wanted.
pub async fn run(home: &Home) -> bool {
    let mut tour = Tour { home, color: io::stdout().is_terminal(), steps: 0, wrong: 0 };
    println!(
        "guard demo: a front door, a guard and a photo server on loopback. Every line below is a request that was really sent."
    );
    entry::run(&mut tour).await;
    framing::run(&mut tour).await;
    loads::run(&mut tour).await;
    keys::run(&mut tour).await;
    tunnels::run(&mut tour).await;
    operator::run(&mut tour).await;
    let Tour { steps, wrong, .. } = tour;
    println!("\n{} of {steps} steps were as wanted.", steps - wrong);
    wrong == 0
}

/// What the parts of the tour share.
struct Tour<'h> {
    home: &'h Home,
    color: bool,
    steps: usize,
    wrong: usize,
}

impl Tour<'_> {
    /// A new part.
    fn part(&self, title: &str) {
        if self.color { println!("\n\x1b[1m{title}\x1b[0m") } else { println!("\n{title}") }
    }

    /// One step: what was done, what came of it, whether that is right, and what it proves.
    fn step(&mut self, done: &str, got: impl Display, right: bool, proves: &str) {
        self.steps += 1;
        let mark = match (right, self.color) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (true, false) => "✓",
            (false, true) => "\x1b[31m✗\x1b[0m",
            (false, false) => "✗",
        };
        if !right {
            self.wrong += 1;
        }
        let got = got.to_string();
        let line = format!("  {mark} {got:<22} {done:<62} {proves}");
        println!("{}", line.trim_end());
    }

    /// A step that must get `wanted`.
    fn wants(&mut self, wanted: u16, done: &str, answer: &io::Result<Answer>, proves: &str) {
        match answer {
            Ok(answer) => self.step(done, answer.status, answer.status == wanted, proves),
            Err(error) => self.step(done, error, false, proves),
        }
    }

    /// Asks once, on a connection of its own.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> io::Result<Answer> {
        Client::connect(self.home.door.address).await?.ask(bytes).await
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
