//! The auth server's own path: sent there before anyone is asked, and Immich never sees it.

use testkit::outpost::Config;

use super::requests::{Environment, PAGE};

#[tokio::test]
async fn the_outposts_own_path_goes_to_the_outpost() {
    let home = Environment::forward_auth().await;
    let lines = format!(
        "{PAGE}Cookie: {}=x; immich_access_token=secret\r\nx-api-key: secret\r\nX-authentik-uid: eve\r\nX-Forwarded-Host: evil.example\r\n",
        home.front_door.cookie_name()
    );
    let answer = home.get("/outpost.goauthentik.io/start?rd=%2Fphotos", &lines).await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert_eq!(home.get("/outpost.goauthentik.io/ping", "").await.status, 204);
    let seen = home.front_door.seen();
    assert_eq!((seen.questions().len(), seen.requests.len()), (0, 2));
    let first = &seen.requests[0];
    assert_eq!(first.target(), "/outpost.goauthentik.io/start?rd=%2Fphotos");
    assert_eq!(first.header("Host"), Some("photos.example.com"));
    assert_eq!(
        (first.header("X-Forwarded-Host"), first.header("X-Forwarded-Proto")),
        (Some("photos.example.com"), Some("https"))
    );
    assert_eq!(first.header("Cookie"), Some(format!("{}=x", home.front_door.cookie_name()).as_str()));
    assert_eq!((first.header("x-api-key"), first.header("X-authentik-uid")), (None, None));
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn what_only_looks_like_it_is_asked_about() {
    let home = Environment::forward_auth().await;
    for target in [
        "/outpost.goauthentik.io",
        "/outpost.goauthentik.iox/start",
        "/Outpost.goauthentik.io/start",
        "/%6futpost.goauthentik.io/start",
        "//outpost.goauthentik.io/start",
        "/api/../outpost.goauthentik.io/start",
        "/outpost.goauthentik.io/../api/albums",
        "/outpost.goauthentik.io/%2e%2e/api/albums",
        "/outpost.goauthentik.io//start",
    ] {
        assert_eq!(home.get(target, "").await.status, 401, "{target}");
    }
    assert_eq!(home.get("/a%zz", "").await.status, 400, "what an auth server cannot read is not its trouble");
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn it_carries_forms_and_no_uploads_and_no_upgrades() {
    let home = Environment::forward_auth().await;
    let post = |length: u64| {
        format!("POST /outpost.goauthentik.io/callback HTTP/1.1\r\nHost: photos.example.com\r\nContent-Length: {length}\r\n\r\n")
    };
    assert_eq!(home.send(&post(guard::origin::MAX_AUTH_SERVER_BODY + 1)).await.status, 413);
    assert_eq!(home.front_door.seen().requests.len(), 0);
    let upgrade = home.get("/outpost.goauthentik.io/ping", "Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
    assert_eq!(upgrade.status, 204);
    assert_eq!(home.front_door.seen().requests[0].header("Upgrade"), None);
}

#[tokio::test]
async fn an_outpost_that_is_away_is_named_as_such() {
    let mut home = Environment::forward_auth().await;
    home.front_door.leave().await;
    let answer = home.get("/outpost.goauthentik.io/start", PAGE).await;
    assert_eq!((answer.status, answer.header("guard-refusal")), (503, Some("auth-unreachable")));
}

#[tokio::test]
async fn a_preset_without_one_sends_nothing_unasked() {
    let home = Environment::forward_auth_with(Config::default(), |args| {
        args.auth.auth_preset = Some("custom".to_owned());
        args.auth.auth_path = Some("/outpost.goauthentik.io/auth/caddy".to_owned());
        args.auth.auth_identity_header = Some("X-authentik-uid".to_owned());
    })
    .await;
    assert_eq!(home.get("/outpost.goauthentik.io/ping", "").await.status, 401);
    assert_eq!(home.auth_requests(), 1);
}
