//! No log line, at any level, holds a token or a key: not in good days, and not when a server quotes what it was shown.

use testkit::RawClient;
use testkit::google::{Folder, google};

use super::GUARD;
use super::drop_in::{federation, listening};
use super::get;
use testkit::process::{Ended, Process};
use testkit::wait::eventually;

fn holds_no_secret(ended: &Ended, more: &[&str]) {
    for text in [&ended.stdout, &ended.stderr] {
        // Every token of the fakes begins with one of these, as the real ones do.
        for secret in ["eyJ", "ya29.", "PRIVATE KEY", "MIIE"].iter().chain(more) {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn no_line_at_trace_level_holds_a_token() {
    let ((google, cloud_run), folder) = (google(), Folder::new());
    for by_key in [false, true] {
        let mut variables = federation(&google, &cloud_run, &folder);
        variables.push(("GUARD_LOG", "trace".to_owned()));
        if by_key {
            variables.push(("GOOGLE_APPLICATION_CREDENTIALS", folder.json("key.json", &google.key_file())));
        }
        let (guard, address, _admin) = listening(Process::start(GUARD, &["idtoken"], &variables)).await;
        let secrets = "Authorization: Bearer s3cret\r\nX-Serverless-Authorization: Bearer s3cret\r\nCookie: a=s3cret\r\n";
        for path in ["/?key=s3cret", "/ping", "/redirect?to=/s3cret"] {
            let mut client = RawClient::connect(address).await;
            client.send(get(path, secrets)).await;
            client.read_response().await;
        }
        guard.terminate();
        let ended = guard.end().await;
        assert!(ended.stdout.lines().count() > 5 && ended.stdout.contains("\"path\":\"/\""), "{ended:?}");
        holds_no_secret(&ended, &["s3cret"]);
    }
}

#[tokio::test]
async fn a_refusal_that_quotes_the_token_is_told_without_it() {
    let ((google, cloud_run), folder) = (google(), Folder::new());
    let mut variables = federation(&google, &cloud_run, &folder);
    variables.push(("GUARD_LOG", "trace".to_owned()));
    google.rotate_cluster();
    let guard = Process::start(GUARD, &["idtoken"], &variables);
    eventually("the refusal in the log", || guard.stdout().contains("identity token not fetched")).await;
    guard.terminate();
    let ended = guard.end().await;
    assert!(ended.stdout.contains("The given credential is rejected: ***"), "{}", ended.stdout);
    holds_no_secret(&ended, &[]);
}
