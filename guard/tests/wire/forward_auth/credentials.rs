//! What a request proves itself with: a session, a password, a token that may be Immich's; and what of it Immich sees.

use testkit::outpost::Config;

use super::requests::{Environment, ada, basic, phone};

#[tokio::test]
async fn a_password_is_the_auth_servers_and_never_reaches_immich() {
    let home = Environment::forward_auth().await;
    let password = home.front_door.app_password(&phone());
    let answer = home.get("/api/albums", &format!("{}Cookie: immich_access_token=a\r\n", basic(&password))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("set-cookie").unwrap().starts_with(home.front_door.cookie_name()), "{:?}", answer.head);
    let seen = home.immich.requests().pop().unwrap();
    assert_eq!((seen.header("authorization"), seen.header("cookie")), (None, Some("immich_access_token=a")));
    // Not from the memory of a minute, either.
    assert_eq!(home.get("/api/albums", &basic(&password)).await.status, 200);
    assert_eq!(home.immich.requests().pop().unwrap().header("authorization"), None);
    assert_eq!(home.auth_requests(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_asked_about_each_time_and_gets_401() {
    let home = Environment::forward_auth().await;
    for _ in 0..3 {
        assert_eq!(home.get("/api/albums", &basic("phone-of-ada:wrong")).await.status, 401);
    }
    assert_eq!((home.auth_requests(), home.immich.dials()), (3, 0));
}

#[tokio::test]
async fn a_session_beside_a_wrong_password_opens_no_door_for_that_password() {
    let home = Environment::forward_auth().await;
    let (session, wrong) = (home.front_door.sign_in(&ada()), basic("phone-of-ada:guess"));
    assert_eq!(home.get("/api/albums", &format!("{wrong}Cookie: {session}\r\n")).await.status, 200, "by the session");
    assert_eq!(home.get("/api/albums", &wrong).await.status, 401, "not by what was sent beside it");
    assert_eq!(home.get("/api/albums", &format!("{wrong}Cookie: {}=other\r\n", home.front_door.cookie_name())).await.status, 401);
}

#[tokio::test]
async fn immichs_own_token_passes_beside_a_session_and_is_never_asked_about() {
    let home = Environment::forward_auth().await;
    let session = home.front_door.sign_in(&ada());
    let lines = format!("Cookie: {session}\r\nAuthorization: Bearer immichs-own\r\nx-api-key: key\r\n");
    assert_eq!(home.get("/api/albums", &lines).await.status, 200);
    let seen = home.immich.requests().pop().unwrap();
    assert_eq!((seen.header("authorization"), seen.header("x-api-key")), (Some("Bearer immichs-own"), Some("key")));
    assert_eq!(home.auth_requests(), 1);
    assert_eq!(home.front_door.last_question().header("authorization"), None, "it is none of the auth server's business");
}

#[tokio::test]
async fn a_token_that_was_the_proof_is_spent() {
    let home = Environment::forward_auth().await;
    let token = home.front_door.access_token(&ada());
    assert_eq!(home.get("/api/albums", &format!("Authorization: Bearer {token}\r\n")).await.status, 200);
    assert_eq!(home.immich.requests().pop().unwrap().header("authorization"), None);
    // A session that has ended is no proof; the token beside it is.
    let stale = format!("{}=ended", home.front_door.cookie_name());
    assert_eq!(home.get("/api/albums", &format!("Cookie: {stale}\r\nAuthorization: Bearer {token}\r\n")).await.status, 200);
    assert_eq!(home.immich.requests().pop().unwrap().header("authorization"), None);
    assert_eq!(home.get("/api/albums", "Authorization: Bearer immichs-own\r\n").await.status, 401);
}

#[tokio::test]
async fn a_header_of_its_own_leaves_authorization_to_immich() {
    let home = Environment::forward_auth().await;
    let password = home.front_door.app_password(&phone());
    let own = basic(&password).replace("Authorization", "X-Guard-Authorization");
    assert_eq!(home.get("/api/albums", &format!("{own}Authorization: Bearer immichs-own\r\n")).await.status, 200);
    let seen = home.immich.requests().pop().unwrap();
    assert_eq!(seen.header("authorization"), Some("Bearer immichs-own"));
    assert!(seen.headers.iter().all(|(name, _)| !name.contains("guard")), "{:?}", seen.headers);
    assert_eq!(
        home.front_door.last_question().header("authorization"),
        Some(basic(&password).trim_end().split_once(": ").unwrap().1)
    );
}

#[tokio::test]
async fn two_credentials_are_none() {
    let home = Environment::forward_auth().await;
    let password = home.front_door.app_password(&phone());
    for lines in [basic(&password).repeat(2), basic(&password).replace("Authorization", "X-Guard-Authorization").repeat(2)] {
        assert_eq!(home.get("/api/albums", &lines).await.status, 401);
    }
    assert_eq!((home.auth_requests(), home.immich.dials()), (0, 0));
}

#[tokio::test]
async fn where_rules_differ_by_path_a_yes_is_good_for_one_request() {
    let home = Environment::forward_auth_with(Config::default(), |args| {
        args.auth.auth_preset = Some("authelia".to_owned());
        args.auth.auth_path = Some("/outpost.goauthentik.io/auth/caddy".to_owned());
        args.auth.auth_identity_header = Some("X-authentik-uid".to_owned());
    })
    .await;
    let password = home.front_door.app_password(&phone());
    for _ in 0..3 {
        assert_eq!(home.get("/api/albums", &basic(&password)).await.status, 200);
    }
    assert_eq!(home.auth_requests(), 3);
}
