//! Who gets in: nobody without a proof, the family with one.

use serde_json::{Value, json};

use super::{Tour, get};
use testkit::issuer::unix_now;
use testkit::photos::Photos;
use testkit::signer::{KeyPair, sign_hs256, unsigned};

pub(super) async fn run(tour: &mut Tour<'_>) {
    tour.part("Who gets in");
    let home = tour.home;
    let (signer, stranger) = (home.issuer.signer(), KeyPair::generate());
    let good = home.person("ada@family.example");
    let token = signer.mint(&good);
    let with = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        signer.mint(&claims)
    };
    let without = |member: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().map(|claims| claims.remove(member));
        signer.mint(&claims)
    };
    let header = json!({"alg": "RS256", "kid": signer.kid(), "typ": "JWT"});
    let hs256 = json!({"alg": "HS256", "kid": signer.kid(), "typ": "JWT"});
    let none = json!({"alg": "none", "kid": signer.kid(), "typ": "JWT"});
    let critical = json!({"alg": "RS256", "kid": signer.kid(), "crit": ["exp"]});
    let now = unix_now();

    let seen_before = tour.home.photos.as_ref().map(Photos::requests);
    let bare = tour.ask(get("/", "")).await;
    tour.wants(401, "no proof at all", &bare, "a stranger stays outside");
    for (done, token, proves) in [
        ("garbage for a proof", "garbage".to_owned(), "it must be a signed token"),
        ("signed by a stranger under the right key's name", stranger.sign(&header, &good), "the signature counts, not the name"),
        ("not signed (alg none)", unsigned(&none, &good), "the token does not choose the algorithm"),
        (
            "signed with our public key as a password (HS256)",
            sign_hs256(signer.public_pem().as_bytes(), &hs256, &good),
            "nor in this way",
        ),
        ("expired an hour ago", with("exp", json!(now - 3600)), "a proof runs out"),
        ("valid only in an hour", with("nbf", json!(now + 3600)), "nor is it good too early"),
        ("for another application", with("aud", json!(["0".repeat(64)])), "a proof for something else is none here"),
        ("from another team", with("iss", json!("https://other.cloudflareaccess.com")), "only our own front door vouches"),
        ("for no application", without("aud"), "what must be said may not be left out"),
        ("without an end", without("exp"), "no proof is for ever"),
        ("with its end as text", with("exp", json!("1999999999")), "a claim of the wrong type is an error"),
        ("with critical extensions", signer.sign(&critical, &good), "what is not understood is not accepted"),
    ] {
        let answer = tour.ask_with(&token).await;
        tour.wants(401, done, &answer, proves);
    }
    for (done, lines, proves) in [
        (
            "two proofs at once",
            format!("Cf-Access-Jwt-Assertion: {token}\r\nCf-Access-Jwt-Assertion: {token}\r\n"),
            "nobody can tell which one counts",
        ),
        (
            "a good proof under an alias with underscores",
            format!("Cf_Access_Jwt_Assertion: {token}\r\n"),
            "some servers cannot tell these names apart",
        ),
        (
            "a good proof in the cookie only",
            format!("Cookie: CF_Authorization={token}\r\n"),
            "another site's page could send that",
        ),
    ] {
        let answer = tour.ask(get("/", &lines)).await;
        tour.wants(401, done, &answer, proves);
    }
    if let (Some(photos), Some(before)) = (&tour.home.photos, seen_before) {
        let seen = photos.requests() - before;
        tour.step(
            "what the photo server saw of all these",
            format!("{seen} requests"),
            seen == 0,
            "refused means: not even passed on",
        );
    }

    let answer = tour.ask_with(&token).await;
    tour.wants(200, "Ada of the family", &answer, "the family gets in");
    let service = json!({
        "iss": good["iss"], "aud": good["aud"], "type": "app", "iat": now, "exp": now + 3600, "sub": "",
        "common_name": "e367826f93b8d71185e03fe518aff3b4.access",
    });
    let answer = tour.ask_with(&signer.mint(&service)).await;
    tour.wants(200, "a service token, as a phone's app has one", &answer, "so does the app");
    let answer = tour.ask_with(&signer.mint(&home.person("eve@elsewhere.example"))).await;
    tour.wants(403, "signed in, but not of the family", &answer, "GUARD_ALLOW_EMAIL says who");
}
