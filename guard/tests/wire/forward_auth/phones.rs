//! Immich's app behind forward auth: 64 requests at once, an app password on each, and a cookie jar.

use std::collections::HashSet;
use std::time::Duration;

use testkit::environment::{forward_auth_args, open};
use testkit::outpost::Behaviour;
use testkit::raw::Response;
use testkit::ws::{self, Message};
use testkit::{Immich, RawClient};
use tokio::time::Instant;

use super::requests::{Environment, basic, phone};

const APP: &str = "User-Agent: Immich_Android_3.2.2\r\nAccept: application/json\r\n";

/// The most that the app opens to one host.
const CONNECTIONS: usize = 64;

/// `name=value` of the cookies that an answer sets.
fn cookies(answer: &Response) -> Vec<String> {
    answer.all("set-cookie").iter().map(|cookie| cookie.split(';').next().unwrap().to_owned()).collect()
}

/// What the outpost did: questions, token requests, logins, sessions.
fn cost(home: &Environment) -> (usize, usize, usize, usize) {
    let seen = home.front_door.seen();
    (seen.questions().len(), seen.token_requests, seen.logins, seen.sessions)
}

/// Waits until so many requests are under way in guard.
async fn under_way(home: &Environment, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while home.guard.metrics.inflight.get() != i64::try_from(count).unwrap() {
        assert!(Instant::now() < deadline, "{} of {count} requests are under way", home.guard.metrics.inflight.get());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_requests_at_once_cause_one_question_and_one_session() {
    let home = Environment::forward_auth().await;
    let password = basic(&home.front_door.app_password(&phone()));
    let head = format!("GET /api/albums HTTP/1.1\r\nHost: photos.example.com\r\n{APP}{password}\r\n");
    home.front_door.hold();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = RawClient::connect(home.guard.address).await;
        client.send(&head).await;
        clients.push(client);
    }
    under_way(&home, CONNECTIONS).await;
    home.front_door.release();
    let mut jar = HashSet::new();
    for client in &mut clients {
        let answer = client.read_response().await;
        assert_eq!(answer.status, 200);
        jar.extend(cookies(&answer));
    }
    assert_eq!(jar.len(), 1, "one session, and its cookie reaches the app: {jar:?}");
    assert_eq!(cost(&home), (1, 1, 1, 1));
    assert_eq!(home.immich.requests().len(), CONNECTIONS);
    assert!(home.immich.requests().iter().all(|request| request.header("authorization").is_none()));

    for client in &mut clients {
        client.send(&head).await;
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!(cost(&home), (1, 1, 1, 1), "and none for the next ones");
}

#[tokio::test]
async fn the_cookie_of_the_session_saves_every_other_sign_in() {
    let home = Environment::forward_auth().await;
    let password = basic(&home.front_door.app_password(&phone()));
    let jar = cookies(&home.get("/api/albums", &format!("{APP}{password}")).await);
    let [cookie] = jar.as_slice() else { panic!("one cookie: {jar:?}") };
    assert!(cookie.starts_with(home.front_door.cookie_name()), "{cookie}");
    assert_eq!(cost(&home), (1, 1, 1, 1));

    let answer = home.get("/api/albums", &format!("{APP}Cookie: {cookie}\r\n")).await;
    assert_eq!((answer.status, cookies(&answer).len()), (200, 0), "alone");
    // A minute later, behind a guard that was started anew: the app brings both.
    home.front_door.forget_credentials();
    let immich = Immich::start().await;
    let successor = open(&forward_auth_args(&home.front_door.url(), "https://photos.example.com", &immich.url()));
    successor.trust_source.ready().await;
    home.front_door.forget();
    let mut client = RawClient::connect(successor.address).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: photos.example.com\r\n{password}Cookie: {cookie}\r\n\r\n")).await;
    assert_eq!(client.read_response().await.status, 200);
    assert_eq!(cost(&home), (1, 0, 0, 0), "asked, and no one signed in again");
    successor.stop();
}

#[tokio::test]
async fn a_wrong_password_is_a_401_that_the_app_can_read() {
    let home = Environment::forward_auth().await;
    let wrong = basic("phone-of-ada:wrong");
    for line in ["GET /.well-known/immich", "GET /api/server/ping", "POST /api/assets", "GET /api/socket.io/?EIO=4"] {
        for lines in [wrong.clone(), wrong.replace("Authorization", "X-Guard-Authorization")] {
            let lines = format!("Host: photos.example.com\r\n{APP}Content-Length: 0\r\n{lines}");
            let answer = home.send(&format!("{line} HTTP/1.1\r\n{lines}\r\n")).await;
            assert_eq!((answer.status, answer.json()["statusCode"].as_u64()), (401, Some(401)), "{line}");
            assert_eq!((answer.header("location"), answer.header("set-cookie")), (None, None), "{line}");
        }
    }
    assert_eq!((home.front_door.seen().logins, home.immich.dials()), (0, 0));
}

#[tokio::test]
async fn its_socket_and_its_uploads_come_in_by_password_too() {
    let home = Environment::forward_auth().await;
    let password = basic(&home.front_door.app_password(&phone()));
    let (_, value) = password.trim_end().split_once(": ").unwrap();
    let fields = [("host", "photos.example.com"), ("authorization", value)];
    let mut socket = ws::connect_with(home.guard.address, ws::SOCKET_IO, &fields).await.expect("a tunnel");
    assert_eq!(ws::exchange(&mut socket, Message::text("42[\"hello\"]")).await, Message::text("42[\"hello\"]"));
    assert_eq!(
        ws::connect_with(home.guard.address, ws::SOCKET_IO, &fields[..1]).await.err(),
        Some(401),
        "without it there is none"
    );
    let upload = "POST /api/assets HTTP/1.1\r\nHost: photos.example.com\r\nContent-Length: 5\r\n";
    assert_eq!(home.send(&format!("{upload}{password}\r\nhello")).await.status, 201);
    assert_eq!(home.front_door.seen().token_requests, 1, "for all of it");
    assert!(home.immich.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn while_the_outpost_is_away_known_passwords_open_and_new_ones_do_not() {
    let mut home = Environment::forward_auth().await;
    let [known, fresh] = [(); 2].map(|()| basic(&home.front_door.app_password(&phone())));
    assert_eq!(home.get("/api/albums", &known).await.status, 200);
    home.front_door.leave().await;
    assert_eq!(home.get("/api/albums", &known).await.status, 200, "for a minute");
    let answer = home.get("/api/albums", &fresh).await;
    assert_eq!((answer.status, answer.header("guard-refusal")), (503, Some("auth-unreachable")));
    home.front_door.come_back().await;
    assert_eq!(home.get("/api/albums", &fresh).await.status, 200);
}

/// Ten seconds of real time pass here: the limit is guard's, and has no variable.
#[tokio::test]
async fn an_outpost_that_never_answers_keeps_nobody_waiting_for_ever() {
    let home = Environment::forward_auth().await;
    home.front_door.behave(Behaviour::Silent);
    let answer = home.get("/api/albums", "").await;
    assert_eq!((answer.status, answer.header("guard-refusal")), (503, Some("auth-unreachable")));
    assert_eq!(home.immich.dials(), 0);
}
