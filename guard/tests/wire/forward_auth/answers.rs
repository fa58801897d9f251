//! What the answers of an auth server do: yes with a name, no and the way to sign in, and everything that is neither.

use testkit::outpost::{Behaviour, Config};

use super::requests::{Environment, PAGE, ada, phone};

#[tokio::test]
async fn a_browser_is_sent_to_sign_in_and_everyone_else_hears_401() {
    let home = Environment::forward_auth().await;
    let page = home.get("/photos?at=1", PAGE).await;
    assert_eq!(page.status, 302);
    assert!(page.header("location").unwrap().contains("redirect_uri="), "{:?}", page.head);
    assert!(page.header("set-cookie").unwrap().starts_with(home.front_door.cookie_name()), "{:?}", page.head);
    assert!(page.header("guard-refusal").is_none());

    let mut client = testkit::RawClient::connect(home.guard.address).await;
    client.send(format!("HEAD / HTTP/1.1\r\nHost: photos.example.com\r\nConnection: close\r\n{PAGE}\r\n")).await;
    assert!(client.read_head().await.start_line.contains(" 302 "), "a HEAD has no body, and the same head");

    for (what, target, lines) in [
        ("an API", "/api/albums", PAGE),
        ("a fetch of a page's script", "/photos", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n"),
        ("an app", "/photos", "Accept: */*\r\n"),
        (
            "a WebSocket",
            "/api/socket.io/?EIO=4&transport=websocket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nAccept: text/html\r\n",
        ),
        ("the app's first question", "/.well-known/immich", ""),
        ("a wrong password", "/photos", "Accept: text/html\r\nAuthorization: Basic ZXZlOmV2ZQ==\r\n"),
    ] {
        let answer = home.get(target, lines).await;
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!(answer.header("guard-refusal"), Some("unauthorized"), "{what}");
        assert!(answer.header("location").is_none() && answer.header("set-cookie").is_none(), "{what}");
        assert!(
            !answer.header("www-authenticate").unwrap_or_default().contains("Basic"),
            "{what}: no browser may ask for a password"
        );
    }
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn a_yes_without_a_name_is_no_yes() {
    for behaviour in [Behaviour::Nobody, Behaviour::Blank] {
        let home = Environment::forward_auth().await;
        home.front_door.behave(behaviour);
        for lines in ["", PAGE] {
            let answer = home.get("/photos", lines).await;
            assert_eq!((answer.status, answer.header("guard-refusal")), (401, Some("unauthorized")), "{behaviour:?}");
        }
        assert_eq!(home.immich.dials(), 0, "{behaviour:?}");
    }
    // A path that the provider leaves open for everybody is not open here.
    let home =
        Environment::forward_auth_with(Config { skip_paths: vec!["/share".to_owned()], ..Config::default() }, |_args| {}).await;
    assert_eq!(home.get("/share/abc", PAGE).await.status, 401);
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn whatever_is_no_answer_closes_the_door() {
    let mut home = Environment::forward_auth().await;
    for behaviour in [
        Behaviour::Fail(500),
        Behaviour::Fail(404),
        Behaviour::Fail(400),
        Behaviour::Fail(429),
        Behaviour::WrongHost,
        Behaviour::Giant,
        Behaviour::HalfHead,
        Behaviour::HalfBody,
    ] {
        home.front_door.behave(behaviour);
        for lines in ["", PAGE] {
            let answer = home.get("/photos", lines).await;
            assert_eq!((answer.status, answer.header("guard-refusal")), (503, Some("auth-unreachable")), "{behaviour:?}");
            assert!(answer.header("retry-after").is_some(), "{behaviour:?}");
            assert!(!answer.text().contains("photos.example.com"), "no refusal says more than it must: {}", answer.text());
        }
    }
    home.front_door.leave().await;
    assert_eq!(home.get("/photos", PAGE).await.status, 503);
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn the_lists_decide_by_address_and_an_account_without_one_must_be_named() {
    let home = Environment::forward_auth_with(Config::default(), |args| {
        args.door.allow_email = Some("ada@example.com".to_owned());
        args.door.allow_service = Some("phone-of-ada".to_owned());
    })
    .await;
    let knock = async |person: &testkit::outpost::Person| {
        let session = home.front_door.sign_in(person);
        home.get("/api/server/ping", &format!("Cookie: {session}\r\n")).await.status
    };
    assert_eq!(knock(&ada()).await, 200);
    assert_eq!(knock(&testkit::outpost::Person::named("Eve")).await, 403);
    assert_eq!(knock(&phone()).await, 200);
    let nameless = testkit::outpost::Person { email: String::new(), ..testkit::outpost::Person::named("eve") };
    assert_eq!(knock(&nameless).await, 403, "an address taken out of a profile opens nothing");
}

#[tokio::test]
async fn the_end_of_a_sign_in_is_handled_where_it_is_asked_about() {
    let home = Environment::forward_auth().await;
    let begun = home.get("/photos?at=1", PAGE).await;
    let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let location = begun.header("location").unwrap().to_owned();
    let state = location.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let code = home.front_door.grant(&ada());
    let back = format!("/?X-authentik-auth-callback=true&code={code}&state={state}");
    let answer = home.get(&back, &format!("{PAGE}Cookie: {cookie}\r\n")).await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    let session = answer.header("set-cookie").map_or(cookie, |line| line.split(';').next().unwrap().to_owned());
    assert_eq!(home.get("/photos?at=1", &format!("{PAGE}Cookie: {session}\r\n")).await.status, 200);
}

/// Whoever sat before the sign-in page for too long is told so by the auth server, not that it is away.
#[tokio::test]
async fn a_sign_in_that_cannot_be_ended_is_told_by_the_auth_server() {
    let home = Environment::forward_auth().await;
    let stale = "/photos?X-authentik-auth-callback=true&code=c&state=stale";
    let answer = home.get(stale, PAGE).await;
    assert_eq!((answer.status, answer.header("guard-refusal")), (400, None), "{}", answer.text());
    assert_eq!(home.get(stale, "").await.status, 401);
    home.front_door.behave(Behaviour::WrongHost);
    assert_eq!(home.get(stale, PAGE).await.status, 503, "a host that it does not know is still a mistake of the set-up");
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn where_a_401_names_no_way_a_browser_is_told_one() {
    let home = Environment::forward_auth_not_ready(Config::default(), |args| {
        args.auth.auth_path = Some("/outpost.goauthentik.io/auth/nginx".to_owned());
        args.auth.auth_sign_in = Some("/outpost.goauthentik.io/start?rd={uri}".to_owned());
    })
    .await;
    home.guard.trust_source.ready().await;
    let page = home.get("/photos?a=b&c=d e".replace(' ', "%20").as_str(), PAGE).await;
    assert_eq!(page.status, 302);
    assert_eq!(page.header("location"), Some("/outpost.goauthentik.io/start?rd=%2Fphotos%3Fa%3Db%26c%3Dd%2520e"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(home.get("/api/albums", PAGE).await.status, 401);
}

#[tokio::test]
async fn too_much_is_still_too_much() {
    let home = Environment::forward_auth().await;
    let session = home.front_door.sign_in(&ada());
    let head = "POST /api/assets HTTP/1.1\r\nHost: photos.example.com\r\nContent-Length: 104857601\r\n";
    assert_eq!(home.send(&format!("{head}\r\n")).await.status, 401, "identity comes before size");
    assert_eq!(home.send(&format!("{head}Cookie: {session}\r\n\r\n")).await.status, 413);
    assert_eq!(home.immich.dials(), 0);
    let elsewhere = home.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert_eq!(elsewhere.status, 421);
    assert_eq!(home.auth_requests(), 2, "what is not for this host is asked of nobody");
}
