//! Tests of every rule of the verification: valid tokens, and one invalid token for each rule.

use serde_json::{Value, json};

use super::*;
use crate::jwks::KeySet;
use testkit::signer::{KeyPair, sign_hs256, unsigned};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://family.cloudflareaccess.com";

fn rules() -> Rules {
    Rules {
        algorithms: vec![Algorithm::RS256],
        issuers: Some(vec![ISSUER.to_owned()]),
        audience: Audience::Claim(vec!["ours".to_owned(), "also-ours".to_owned()]),
        names_key: true,
        naming: Naming::CloudflareAccess,
        unverified_email: Vec::new(),
        max_life: None,
    }
}

fn person() -> Value {
    json!({"iss": ISSUER, "aud": ["ours"], "type": "app", "exp": NOW + 60, "iat": NOW, "nbf": NOW, "sub": "7335d417", "email": "ada@example.com"})
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = person();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = person();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

fn check(signer: &KeyPair, token: &str) -> Result<Verified, AssertionError> {
    let keys = KeySet::parse(json!({"keys": [signer.jwk()]}).to_string().as_bytes(), &[Algorithm::RS256]).unwrap();
    let unverified = rules().read(token, NOW)?;
    let key = keys.find(unverified.kid()).ok_or(AssertionError::UnknownKey)?;
    unverified.verify(key)
}

#[test]
fn a_person_and_a_service_token_pass() {
    let signer = KeyPair::generate();
    let who = |claims: &Value| check(&signer, &signer.mint(claims)).map(|verified| (*verified.identity).clone());
    let person_identity =
        Identity::Person { sub: "7335d417".to_owned(), email: "ada@example.com".to_owned(), email_is_verified: true };
    assert_eq!(who(&person()), Ok(person_identity.clone()));
    assert_eq!(
        who(&with("aud", json!("also-ours"))),
        Ok(person_identity.clone()),
        "aud as a string, as service tokens once had it"
    );
    assert_eq!(who(&with("aud", json!(["another", "ours"]))), Ok(person_identity.clone()));
    assert_eq!(who(&without("nbf")), Ok(person_identity.clone()));
    assert_eq!(who(&without("type")), Ok(person_identity.clone()));
    assert_eq!(who(&with("exp", json!(1_800_000_060.5))), Ok(person_identity.clone()), "NumericDate may have a fraction");
    assert_eq!(who(&with("exp", json!(NOW - LEEWAY_SECONDS + 1))), Ok(person_identity), "within the leeway");

    let service = json!({"iss": ISSUER, "aud": ["ours"], "type": "app", "exp": NOW + 60, "iat": NOW, "sub": "", "common_name": "0a.access"});
    assert_eq!(who(&service), Ok(Identity::Service { common_name: "0a.access".to_owned() }));
}

#[test]
fn an_address_is_verified_unless_the_issuer_says_that_it_is_not() {
    let is_verified = |rules: &Rules, claims: &Value| {
        let token = unsigned(&json!({"alg": "RS256", "kid": "k"}), claims) + "c2ln";
        match rules.read(&token, NOW).map(|unverified| unverified.identity) {
            Ok(Identity::Person { email_is_verified, .. }) => email_is_verified,
            other => panic!("{:?}", other.err()),
        }
    };
    assert!(is_verified(&rules(), &person()));
    for (value, wanted) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(0), false),
        (json!("yes"), false),
    ] {
        assert_eq!(is_verified(&rules(), &with("email_verified", value.clone())), wanted, "{value}");
        let exempt = Rules { unverified_email: vec![ISSUER.to_owned()], ..rules() };
        assert!(is_verified(&exempt, &with("email_verified", value)), "its issuer is named");
        let other = Rules { unverified_email: vec!["https://other.example".to_owned()], ..rules() };
        assert!(!is_verified(&other, &with("email_verified", json!(false))));
        let named = Rules { naming: Naming::Subject { email: "email".to_owned() }, ..rules() };
        assert!(!is_verified(&named, &with("email_verified", json!(false))), "at every door that takes addresses from claims");
    }
}

#[test]
fn every_wrong_claim_is_refused_for_its_own_reason() {
    use AssertionError as E;
    let signer = KeyPair::generate();
    let types = E::Malformed("the claims are not a JSON object of the right types");
    for (claims, wanted) in [
        (with("iss", json!("https://other.cloudflareaccess.com")), E::Issuer),
        (with("iss", json!("https://family.cloudflareaccess.com/")), E::Issuer),
        (with("iss", json!([ISSUER])), types),
        (without("iss"), E::Issuer),
        (with("aud", json!(["another"])), E::Audience),
        (with("aud", json!([])), E::Audience),
        (with("aud", json!(7)), types),
        (with("aud", json!(null)), types),
        (without("aud"), E::Audience),
        (with("type", json!("org")), E::NotApplication),
        (with("exp", json!(NOW - LEEWAY_SECONDS)), E::Expired),
        (with("exp", json!(-1)), E::Expired),
        (with("exp", json!("1900000000")), types),
        (with("exp", json!(null)), types),
        (without("exp"), E::NoExpiry),
        (with("nbf", json!(NOW + LEEWAY_SECONDS + 1)), E::NotYet),
        (with("nbf", json!("soon")), types),
        (with("nbf", json!(null)), types),
        (with("iat", json!(NOW + LEEWAY_SECONDS + 1)), E::NotYet),
        (with("iat", json!({})), types),
        (without("email"), E::NoIdentity),
        (with("email", json!("")), E::NoIdentity),
        (without("sub"), E::NoIdentity),
        (json!([]), types),
        (json!("text"), types),
    ] {
        assert_eq!(check(&signer, &signer.mint(&claims)).map(|_| ()), Err(wanted), "{claims}");
    }
}

#[test]
fn the_token_never_chooses_the_algorithm_or_the_key() {
    use AssertionError as E;
    let (signer, stranger) = (KeyPair::generate(), KeyPair::generate());
    let kid = signer.kid();
    let pem = signer.public_pem();
    let foreign_kid = json!({"alg": "RS256", "kid": kid, "typ": "JWT"});
    let embedded = json!({"alg": "RS256", "kid": stranger.kid(), "jwk": stranger.jwk(), "jku": "https://evil.example/keys"});
    for (token, wanted) in [
        (stranger.sign(&foreign_kid, &person()), E::Signature),
        (unsigned(&json!({"alg": "none", "kid": kid}), &person()), E::Malformed("not three parts")),
        (format!("{}AA", unsigned(&json!({"alg": "none", "kid": kid}), &person())), E::Algorithm),
        (sign_hs256(pem.as_bytes(), &json!({"alg": "HS256", "kid": kid, "typ": "JWT"}), &person()), E::Algorithm),
        (sign_hs256(pem.as_bytes(), &foreign_kid, &person()), E::Signature),
        (signer.sign(&json!({"alg": "RS512", "kid": kid}), &person()), E::Algorithm),
        (signer.sign(&json!({"alg": "rs256", "kid": kid}), &person()), E::Algorithm),
        (signer.sign(&json!({"alg": "RS256", "kid": kid, "crit": ["exp"]}), &person()), E::Critical),
        (signer.sign(&json!({"alg": "RS256", "kid": kid, "crit": null}), &person()), E::Critical),
        (signer.sign(&json!({"alg": "RS256", "kid": kid, "typ": "at+jwt"}), &person()), E::Type),
        (signer.sign(&json!({"alg": "RS256"}), &person()), E::Malformed("no kid")),
        (
            signer.sign(&json!({"alg": "RS256", "kid": 7}), &person()),
            E::Malformed("the header is not a JSON object of the right types"),
        ),
        (stranger.sign(&embedded, &person()), E::UnknownKey),
    ] {
        assert_eq!(check(&signer, &token).map(|_| ()), Err(wanted), "{token}");
    }
    assert!(check(&signer, &signer.sign(&json!({"alg": "RS256", "kid": kid}), &person())).is_ok(), "typ may be absent");
}

#[test]
fn text_that_is_not_a_token_is_refused_without_a_panic() {
    let signer = KeyPair::generate();
    let good = signer.mint(&person());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let header_twice = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"{}\"}}", signer.kid()));
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}.{signature}"),
        format!("{message}."),
        format!("{header_twice}.{}", good.split_once('.').unwrap().1),
        "x".repeat(MAX_TOKEN_BYTES + 1),
        "é.é.é".to_owned(),
    ] {
        assert!(check(&signer, &token).is_err(), "{token:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    /// A token with one changed character is refused, unless it decodes to the same bytes.
    #[test]
    fn one_changed_character_is_one_token_less(place in 0..600_usize, other in "[A-Za-z0-9_.=+/-]") {
        static SIGNER: std::sync::LazyLock<KeyPair> = std::sync::LazyLock::new(KeyPair::generate);
        let good = SIGNER.mint(&person());
        let place = place % good.len();
        let mut bad = good.clone();
        bad.replace_range(place..=place, &other);
        if bad != good {
            proptest::prop_assert!(check(&SIGNER, &bad).is_err(), "changed at {}", place);
        }
    }

    /// No text makes the parser panic.
    #[test]
    fn any_text_is_read_without_a_panic(token in "\\PC{0,200}") {
        proptest::prop_assert!(rules().read(&token, NOW).is_err());
    }
}

/// RFC 8725, 3.1: a key with an `alg` is used for no other algorithm, even if that algorithm is configured too.
#[test]
fn a_key_of_one_algorithm_verifies_no_other() {
    let signer = KeyPair::generate();
    let both = [Algorithm::RS256, Algorithm::PS256];
    let rules = Rules { algorithms: both.to_vec(), ..rules() };
    let verdict = |alg: &str| {
        let mut jwk = signer.jwk();
        jwk["alg"] = json!(alg);
        let keys = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes(), &both).unwrap();
        let token = signer.mint(&person());
        rules.read(&token, NOW).unwrap().verify(keys.find(signer.kid()).unwrap()).map(|_| ())
    };
    assert_eq!(verdict("RS256"), Ok(()));
    assert_eq!(verdict("PS256"), Err(AssertionError::Signature));
}

#[test]
fn every_cause_has_a_label_that_the_metrics_expect() {
    use AssertionError as E;
    let all = [
        E::Missing,
        E::Repeated,
        E::TooLong,
        E::Malformed(""),
        E::Algorithm,
        E::Type,
        E::Critical,
        E::Issuer,
        E::Audience,
        E::NoExpiry,
        E::Expired,
        E::NotYet,
        E::NotApplication,
        E::Lifetime,
        E::NoIdentity,
        E::UnknownKey,
        E::Signature,
    ];
    assert_eq!(all.map(AssertionError::label), AssertionError::LABELS);
}
