//! Refusal pages in the visitor's language; JSON for programs, as ever.

use guard::config::ForwardAuthArgs;
use testkit::TestEnvironment;
use testkit::environment::forward_auth_args;

#[tokio::test]
async fn a_page_is_in_the_language_that_the_browser_asks_for() {
    let home = TestEnvironment::start().await;
    for (wanted, language, heading) in [
        ("", "en", "Please sign in"),
        ("Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\n", "de", "Bitte melde dich an"),
        ("Accept-Language: en;q=0.1, fr;q=0.2\r\n", "fr", "Veuillez vous connecter"),
        ("Accept-Language: es-MX\r\n", "es", "Inicia sesión, por favor"),
        ("Accept-Language: el\r\n", "el", "Παρακαλούμε συνδεθείτε"),
        ("Accept-Language: zh-CN,zh;q=0.9\r\n", "zh-Hans", "请先登录"),
        ("Accept-Language: tlh, *;q=0.5\r\n", "en", "Please sign in"),
        ("Accept-Language: <script>alert(1)</script>\r\n", "en", "Please sign in"),
    ] {
        let answer = home.get("/", &format!("Accept: text/html\r\n{wanted}")).await;
        assert_eq!((answer.status, answer.header("content-language")), (401, Some(language)), "{wanted}");
        assert_eq!(answer.header("vary"), Some("accept, accept-language"));
        let page = answer.text();
        assert!(page.contains(&format!("<html lang={language}>")) && page.contains(heading), "{wanted}: {page}");
        assert!(!page.contains("alert"), "{page}");
    }
}

#[tokio::test]
async fn a_program_gets_the_same_json_in_every_language() {
    let home = TestEnvironment::start().await;
    let answer = home.get("/", "Accept: application/json\r\nAccept-Language: de\r\n").await;
    assert_eq!(
        (answer.header("content-language"), answer.header("vary"), answer.header("cache-control")),
        (None, None, Some("no-store"))
    );
    assert!(
        answer.text().contains("\"message\":\"Sign in first: this request does not show who sent it.\""),
        "{}",
        answer.text()
    );
}

#[test]
fn a_403_links_the_sign_out_of_the_front_doors_that_have_a_known_one() {
    let sign_out = |change: fn(&mut ForwardAuthArgs)| {
        let mut args = forward_auth_args("http://127.0.0.1:1", "https://photos.example.com", "http://127.0.0.1:2");
        change(&mut args.auth);
        args.check().unwrap().front_door.sign_out()
    };
    assert_eq!(sign_out(|_args| {}), Some("/outpost.goauthentik.io/sign_out"));
    assert_eq!(sign_out(|args| args.auth_preset = Some("oauth2-proxy".to_owned())), Some("/oauth2/sign_out"));
    assert_eq!(sign_out(|args| args.auth_preset = Some("authelia".to_owned())), None);
    assert_eq!(sign_out(|args| args.auth_own_path = Some("/elsewhere/".to_owned())), None, "another path could mean anything");
}

#[tokio::test]
async fn a_403_names_the_visitors_own_verified_address_and_no_other() {
    let home = TestEnvironment::with(|args| args.door.allow_email = Some("ada@example.com".to_owned())).await;
    let page = async |claims: &serde_json::Value| {
        let line = format!("Accept: text/html\r\nCf-Access-Jwt-Assertion: {}\r\n", home.front_door.mint(claims));
        let answer = home.get("/", &line).await;
        assert_eq!(answer.status, 403);
        answer.text()
    };
    let mut eve = home.front_door.person("eve<b>@example.com");
    let text = page(&eve).await;
    assert!(text.contains("You are signed in as <b><bdi>eve&lt;b&gt;@example.com</bdi></b>."), "{text}");
    assert!(text.contains("<a href=\"/cdn-cgi/access/logout\">Use another account</a>") && !text.contains("ada@"), "{text}");
    eve["email_verified"] = false.into();
    let text = page(&eve).await;
    assert!(
        text.contains("an account that has no access") && !text.contains("eve"),
        "an address that nobody has checked: {text}"
    );
    let stranger = home.get("/", "Accept: text/html\r\nCf-Access-Authenticated-User-Email: ada@example.com\r\n").await;
    assert!(!stranger.text().contains("ada@"), "{}", stranger.text());
}
