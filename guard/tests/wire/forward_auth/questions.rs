//! What an auth server is asked: about the request, by guard's own words, and with nothing that is Immich's.

use super::requests::{Environment, PAGE, ada};

#[tokio::test]
async fn the_question_is_a_get_about_the_request_and_says_only_what_guard_knows() {
    let home = Environment::forward_auth().await;
    let session = home.front_door.sign_in(&ada());
    let lines = format!(
        "Cookie: {session}; immich_access_token=secret; theme=dark\r\n\
         User-Agent: Immich_Android_3.1\r\nAccept: application/json\r\nAccept-Language: de\r\nX-Requested-With: XMLHttpRequest\r\n\
         X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Uri: /evil\r\n\
         X-Forwarded-Method: TRACE\r\nX-Original-URL: https://evil.example/\r\nX-Original-URI: /evil\r\nX_Forwarded_Host: evil.example\r\n\
         X-authentik-uid: eve\r\nX-Real-IP: 203.0.113.66\r\nForwarded: for=203.0.113.66\r\n\
         Range: bytes=0-1\r\nIf-None-Match: \"x\"\r\nIf-Modified-Since: Tue, 24 Nov 2026 00:00:00 GMT\r\nTE: trailers\r\n\
         x-api-key: secret\r\nx-immich-user-token: secret\r\nConnection: X-Nominated\r\nX-Nominated: x\r\n\
         Expect: 100-continue\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n"
    );
    let request = format!("POST /api/assets?key=a%20b&x=1 HTTP/1.1\r\nHost: photos.example.com\r\n{lines}\r\n");
    let mut client = testkit::RawClient::connect(home.guard.address).await;
    client.send(&request).await;
    let question = {
        home.front_door.wait_until("a question", |seen| !seen.questions().is_empty()).await;
        home.front_door.last_question()
    };
    client.send("jpeg").await;

    assert_eq!((question.method(), question.target()), ("GET", "/outpost.goauthentik.io/auth/caddy"));
    let mut names: Vec<_> = question.head.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "accept",
            "accept-language",
            "cookie",
            "host",
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-method",
            "x-forwarded-proto",
            "x-forwarded-uri",
            "x-original-method",
            "x-original-url",
            "x-requested-with",
        ]
    );
    for (name, value) in [
        ("Host", "photos.example.com"),
        ("X-Forwarded-Host", "photos.example.com"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Method", "POST"),
        ("X-Original-Method", "POST"),
        ("X-Forwarded-Uri", "/api/assets?key=a%20b&x=1"),
        ("X-Original-URL", "https://photos.example.com/api/assets?key=a%20b&x=1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Cookie", &session),
        ("User-Agent", "Immich_Android_3.1"),
        ("Accept", "application/json"),
    ] {
        assert_eq!(question.header(name), Some(value), "{name}");
    }
}

/// A path that the auth server is not told of would be judged as another one.
#[tokio::test]
async fn a_target_with_letters_of_other_alphabets_is_told_as_escapes_or_refused() {
    let home = Environment::forward_auth().await;
    assert_eq!(home.get("/fotos/ä?ö=\u{212a}", "").await.status, 400, "browsers send escapes (RFC 9112, 3.2)");
    assert_eq!(home.get("/fotos/%C3%A4?x=%C3%B6", "").await.status, 401);
    assert_eq!(home.front_door.last_question().header("x-forwarded-uri"), Some("/fotos/%C3%A4?x=%C3%B6"));
}

#[tokio::test]
async fn every_request_is_asked_about_and_only_with_a_yes_reaches_immich() {
    let home = Environment::forward_auth().await;
    for _ in 0..3 {
        let answer = home.get("/api/server/ping", "").await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!((home.auth_requests(), home.immich.dials()), (3, 0));
    let session = home.front_door.sign_in(&ada());
    for _ in 0..3 {
        assert_eq!(home.get("/api/server/ping", &format!("Cookie: {session}\r\n")).await.status, 200);
    }
    assert_eq!(home.auth_requests(), 6, "a session is asked about each time: signing out counts at once");
}

#[tokio::test]
async fn a_body_is_not_asked_for_before_the_yes() {
    let home = Environment::forward_auth().await;
    let mut client = testkit::RawClient::connect(home.guard.address).await;
    client
        .send("POST /api/assets HTTP/1.1\r\nHost: photos.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let answer = client.read_response().await;
    assert_eq!(answer.status, 401, "the final answer, and no 100 before it: {:?}", answer.head);
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn what_immich_gets_is_what_the_auth_server_said_and_nothing_that_the_client_did() {
    let home = Environment::forward_auth().await;
    let session = home.front_door.sign_in(&ada());
    let spoofed = "X-authentik-uid: eve\r\nx_authentik_uid: eve\r\nX-Authentik_Username: eve\r\nX-authentik-anything: eve\r\nRemote-User: eve\r\n\
                   X-Forwarded-User: eve\r\nX-Guard-Authorization-Extra: eve\r\nConnection: X-authentik-email\r\n";
    let answer = home.get("/photos", &format!("{PAGE}Cookie: {session}; immich_access_token=a\r\n{spoofed}")).await;
    assert_eq!(answer.status, 200);
    let seen = home.immich.requests().pop().unwrap();
    assert_eq!(seen.header("x-authentik-username"), Some("ada"));
    assert_eq!(seen.header("x-authentik-email"), Some("ada@example.com"));
    assert_eq!(seen.all("x-authentik-uid").len(), 1);
    assert_eq!(seen.header("x-authentik-jwt"), None, "a token is nobody's business");
    assert_eq!(seen.header("cookie"), Some("immich_access_token=a"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    let eve: Vec<_> = seen.headers.iter().filter(|(_, value)| value == "eve").collect();
    assert!(eve.is_empty(), "{eve:?}");
}

#[tokio::test]
async fn a_name_of_ones_own_is_protected_like_the_others() {
    let home = Environment::forward_auth_with(testkit::outpost::Config::default(), |args| {
        args.auth.auth_preset = Some("custom".to_owned());
        args.auth.auth_path = Some("/outpost.goauthentik.io/auth/caddy".to_owned());
        args.auth.auth_identity_header = Some("X-authentik-uid".to_owned());
        args.auth.auth_copy_headers = Some("X-authentik-name,X-Household".to_owned());
        args.auth.auth_cookies = Some("authentik_proxy_*".to_owned());
    })
    .await;
    let session = home.front_door.sign_in(&ada());
    let spoofed = "X-Household: eve\r\nX_Household: eve\r\n";
    assert_eq!(home.get("/photos", &format!("Cookie: {session}\r\n{spoofed}")).await.status, 200);
    let seen = home.immich.requests().pop().unwrap();
    let leaked: Vec<_> = seen.headers.iter().filter(|(_, value)| value == "eve").collect();
    assert!(leaked.is_empty(), "the auth server did not say it, so nobody does: {leaked:?}");
    assert_eq!(seen.header("x-authentik-name"), Some("Ada"));
    assert_eq!(seen.header("cookie"), None);
    // In a body's trailers, too.
    let chunked = format!(
        "POST /api/assets HTTP/1.1\r\nHost: photos.example.com\r\nCookie: {session}\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Household, X-Sum\r\n\r\n1\r\nx\r\n0\r\nX-Household: eve\r\nX_Household: eve\r\nX-Sum: 1\r\n\r\n"
    );
    home.send(&chunked).await;
}
