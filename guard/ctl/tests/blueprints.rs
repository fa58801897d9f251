//! The shipped Authentik blueprints keep every rule, and each slip in them is found by its rule. (One small fixture a rule is in `lint/`.)

#![allow(clippy::expect_used, reason = "helpers of tests; clippy knows only the tests themselves")]

use std::collections::BTreeSet;

use guardctl::lint::check;
use guardctl::lint::object::Object;
use serde_json::json;

const OIDC: &str = "immich-oidc.yaml";
const GATE: &str = "immich-gate.yaml";

fn shipped(name: &str) -> String {
    let path = format!("{}/../../apps/identity/authentik-blueprints/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rules that a blueprint breaks.
fn broken(name: &str, text: &str) -> BTreeSet<&'static str> {
    let labels = json!({
        "app.kubernetes.io/name": "immich-blueprints",
        "app.kubernetes.io/component": "identity",
        "app.kubernetes.io/part-of": "immich",
    });
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "immich-blueprints", "namespace": "authentik", "labels": labels},
        "data": {name: text},
    });
    check(&[Object::new(0, "test", map).expect("an object")]).iter().map(|finding| finding.id).collect()
}

#[test]
fn the_shipped_blueprints_keep_every_rule() {
    for name in [OIDC, GATE] {
        assert_eq!(broken(name, &shipped(name)), BTreeSet::new(), "{name}");
    }
}

#[test]
fn each_slip_in_a_shipped_blueprint_is_found_by_its_rule() {
    let mut wrong = Vec::new();
    for (name, before, after, rule) in [
        (OIDC, "version: 1", "version: 2", "blueprint-shape"),
        (OIDC, "metadata:\n  name", "metadata:\n  title", "blueprint-shape"),
        (OIDC, "entries:\n", "entries:\n  - id: x\n    identifiers: {}\n", "blueprint-shape"),
        (OIDC, "!KeyOf provider\n      policy", "!KyOf provider\n      policy", "blueprint-shape"),
        (OIDC, "slug: immich\n", "slug: immich\n    id: twice\n", "blueprint-shape"),
        (OIDC, "    id: users\n", "    id: users\n    id: users\n", "blueprint-shape"),
        (OIDC, "model: authentik_core.application", "model: authentik_core.applicaton", "blueprint-model"),
        (OIDC, "description: Role", "descripton: Role", "blueprint-field"),
        (OIDC, "      client_id: !Env [IMMICH_OIDC_CLIENT_ID, immich]\n", "", "blueprint-field"),
        (OIDC, "      slug: immich\n", "      name: immich\n", "blueprint-field"),
        (OIDC, "      invalidation_flow:", "      authentication_flow:", "blueprint-flows"),
        (GATE, "      authorization_flow:", "      authentication_flow:", "blueprint-flows"),
        // Only one side of the `!If`: both count.
        (OIDC, "          - {matching_mode: strict, url: !Format [\"%s/user-settings\", !Context immich_lan_url]}\n", "", ""),
        (
            OIDC,
            "        - - {matching_mode: strict, url: \"app.immich:///oauth-callback\"}\n          - {matching_mode: strict, url: !Format [\"%s/auth/login\", !Context immich_url]}\n          - {matching_mode: strict, url: !Format [\"%s/user-settings\", !Context immich_url]}\n\n",
            "        - - {matching_mode: strict, url: \"app.immich:///oauth-callback\"}\n\n",
            "blueprint-redirects",
        ),
        (OIDC, "app.immich:///oauth-callback", "app.immich://oauth-callback", "blueprint-redirects"),
        (
            OIDC,
            "matching_mode: strict, url: !Format [\"%s/auth",
            "matching_mode: regex, url: !Format [\"%s/auth",
            "blueprint-redirects",
        ),
        (OIDC, "[\"%s/auth/login\"", "[\"%s/auth/.*\"", "blueprint-redirects"),
        (OIDC, "https://photos.example.com", "http://photos.example.com", "blueprint-redirects"),
        (
            OIDC,
            "      signing_key: !Find [authentik_crypto.certificatekeypair, [name, authentik Self-signed Certificate]]\n",
            "",
            "blueprint-signing",
        ),
        (OIDC, "include_claims_in_id_token: true", "include_claims_in_id_token: false", "blueprint-signing"),
        (OIDC, "client_type: confidential", "client_type: public", "blueprint-signing"),
        (OIDC, " and quota > 0:", ":", "blueprint-quota"),
        (
            OIDC,
            "      name: immich-users\n",
            "      name: immich-users\n    attrs: {attributes: {immich_quota: 0}}\n",
            "blueprint-quota",
        ),
        (OIDC, "!File /run/secrets/immich/oidc-client-secret", "correct-horse", "blueprint-secret literal-credential"),
        (OIDC, "!File /run/secrets/immich/oidc-client-secret", "!File [/run/secrets/x, correct-horse]", "blueprint-secret"),
        (OIDC, "!File /run/secrets/immich/oidc-client-secret", "!Context secret", "blueprint-secret literal-credential"),
        (GATE, "!File /run/secrets/immich/phone-2", "correct-horse", "blueprint-secret"),
        (OIDC, "group: !KeyOf admins", "group: !KeyOf admin", "blueprint-reference"),
        (OIDC, "    id: users\n", "    id: users\n    state: absent\n", "blueprint-reference"),
        (OIDC, "[slug, default-provider-invalidation-flow]", "[slug, my-own-flow]", "blueprint-reference"),
        (OIDC, "[managed, goauthentik.io/providers/oauth2/scope-profile]", "[scope_name, profile]", "blueprint-reference"),
        (
            GATE,
            "name: immich-gate\n    attrs:\n      type",
            "name: authentik Embedded Outpost\n    attrs:\n      type",
            "blueprint-outpost",
        ),
        (GATE, "      type: proxy\n", "      type: ldap\n", "blueprint-outpost"),
        (GATE, "      config:\n", "      managed: goauthentik.io/outposts/embedded\n      config:\n", "blueprint-outpost"),
        (GATE, "      expiring: false\n", "", "blueprint-token"),
        (GATE, "intent: app_password", "intent: api", "blueprint-token"),
        (GATE, "user: !KeyOf phone-2", "user: !KeyOf phone-1", "blueprint-token"),
        (GATE, "type: service_account", "type: internal", "blueprint-token"),
        (GATE, "      target: !KeyOf application\n", "      target: !KeyOf provider\n", "blueprint-binding"),
        (GATE, "      group: !KeyOf users\n", "      group: !KeyOf users\n      user: !KeyOf admins\n", "blueprint-binding"),
        (GATE, "      group: !KeyOf users\n", "      group: !KeyOf users\n      negate: true\n", "blueprint-binding"),
        (GATE, "mode: forward_single", "mode: forward_domain", "blueprint-gate"),
        (GATE, "      mode:", "      skip_path_regex: ^/share\n      mode:", "blueprint-gate"),
        (GATE, "      mode:", "      basic_auth_enabled: true\n      mode:", "blueprint-gate"),
        (GATE, "\"https://photos.example.com\"", "\"https://photos.example.com/\"", "blueprint-gate"),
        (GATE, "\"https://photos.example.com\"", "\"http://photos.example.com\"", "blueprint-gate"),
    ] {
        let text = shipped(name);
        assert!(text.contains(before), "{name} has no {before:?} any more");
        let wanted: BTreeSet<_> = rule.split_whitespace().collect();
        let found = broken(name, &text.replace(before, after));
        if found != wanted {
            wrong.push(format!("{name}: {before:?} -> {after:?}: found {found:?}, wanted {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_yaml_is_a_finding_and_no_crash() {
    assert_eq!(
        broken(OIDC, "entries:\n  - model: authentik_core.group\n  identifiers: [\n"),
        BTreeSet::from(["blueprint-shape"])
    );
}
