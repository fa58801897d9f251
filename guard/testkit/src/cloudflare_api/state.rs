//! An account: one domain, a Zero Trust team, one login method. Every collection is the JSON that the API shows, and a test may change it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The account's id.
pub const ACCOUNT: &str = "0a11ce0a11ce0a11ce0a11ce0a11ce00";
/// The zone's id.
pub const ZONE: &str = "20e020e020e020e020e020e020e020e0";
/// The domain.
pub const ZONE_NAME: &str = "example.com";
/// The Zero Trust team.
pub const TEAM: &str = "your-team";
/// When everything was made.
pub(super) const THEN: &str = "2026-11-01T12:00:00Z";

/// An account.
pub struct State {
    /// The zones that a token sees.
    pub zones: Vec<Value>,
    /// Whether Zero Trust was ever switched on.
    pub has_zero_trust: bool,
    /// The organization.
    pub organization: Value,
    /// The login methods.
    pub login_methods: Vec<Value>,
    /// The rule groups.
    pub groups: Vec<Value>,
    /// The reusable policies.
    pub policies: Vec<Value>,
    /// The applications; their `policies` are links, `{id, precedence}`, or whole policies of the application alone.
    pub apps: Vec<Value>,
    /// The service tokens.
    pub service_tokens: Vec<Value>,
    /// The tunnels, the deleted ones among them.
    pub tunnels: Vec<Value>,
    /// The configurations of remotely managed tunnels, by id.
    pub configurations: BTreeMap<String, Value>,
    /// The DNS records of all zones.
    pub records: Vec<Value>,
    /// The cache rules, once there was one.
    pub ruleset: Option<Value>,
    /// The switches.
    pub settings: BTreeMap<String, Value>,
    /// The bot settings.
    pub bots: Value,
    /// The certificates.
    pub certificates: Vec<Value>,
    /// Every secret that was given out.
    pub secrets: Vec<String>,
    tokens: BTreeMap<String, Vec<String>>,
    /// Whether tokens expire, and when.
    pub token_expires: Option<String>,
    count: u64,
}

impl State {
    pub(super) fn new() -> Self {
        let on_off = [
            ("websockets", "off"),
            ("rocket_loader", "off"),
            ("security_level", "medium"),
            ("browser_check", "off"),
            ("always_use_https", "on"),
            ("development_mode", "off"),
        ];
        let mut state = Self {
            zones: vec![zone(ZONE, ZONE_NAME)],
            has_zero_trust: true,
            organization: json!({
                "name": "Your team", "auth_domain": format!("{TEAM}.cloudflareaccess.com"), "session_duration": "24h",
                "strict_service_token_auth": false, "deny_unmatched_requests": false, "is_ui_read_only": false,
                "auto_redirect_to_identity": false, "created_at": THEN, "updated_at": THEN,
            }),
            login_methods: Vec::new(),
            groups: Vec::new(),
            policies: Vec::new(),
            apps: Vec::new(),
            service_tokens: Vec::new(),
            tunnels: Vec::new(),
            configurations: BTreeMap::new(),
            records: Vec::new(),
            ruleset: None,
            settings: on_off
                .into_iter()
                .map(|(id, value)| (id.to_owned(), json!({"id": id, "value": value, "editable": true, "modified_on": THEN})))
                .collect(),
            bots: json!({"fight_mode": false, "enable_js": false, "ai_bots_protection": "disabled", "using_latest_model": true}),
            certificates: vec![json!({
                "id": "3822ff90-ea29-44df-9e55-21300bb9419b", "type": "universal", "status": "active", "hosts": [ZONE_NAME, "*.example.com"],
                "certificates": [], "primary_certificate": "0",
            })],
            secrets: Vec::new(),
            tokens: BTreeMap::new(),
            token_expires: None,
            count: 0,
        };
        let google =
            json!({"id": state.uuid(), "name": "Google", "type": "google", "config": {"client_id": "family.apps.example"}});
        state.login_methods.push(google);
        state
    }

    /// The next id of the form of a UUID.
    pub fn uuid(&mut self) -> String {
        self.count += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.count, self.count)
    }

    /// The next id of 32 hexadecimal digits.
    pub fn hex(&mut self) -> String {
        self.count += 1;
        format!("{:032x}", 0xabcd_0000_0000_0000_u128 + u128::from(self.count))
    }

    /// A number that was never given before.
    pub(super) fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// A secret of this form; it is remembered.
    pub(super) fn secret(&mut self, prefix: &str) -> String {
        let secret = format!("{prefix}{:048}", self.number());
        self.secrets.push(secret.clone());
        secret
    }

    /// A tunnel's token: its whole credential.
    pub(super) fn tunnel_token(&mut self, id: &str) -> String {
        let token = STANDARD.encode(json!({"a": ACCOUNT, "t": id, "s": STANDARD.encode(format!("secret of {id}"))}).to_string());
        if !self.secrets.contains(&token) {
            self.secrets.push(token.clone());
        }
        token
    }

    pub(super) fn new_token(&mut self, prefix: &str, permissions: &[&str]) -> String {
        let token = format!("{prefix}_{:040}{:08x}", self.number(), 0x00c0_ffee);
        self.secrets.push(token.clone());
        self.tokens.insert(token.clone(), permissions.iter().map(|name| (*name).to_owned()).collect());
        token
    }

    /// What a token may do; `None` for one that was never given out.
    pub(super) fn permissions(&self, token: &str) -> Option<&Vec<String>> {
        self.tokens.get(token)
    }

    /// Adds an object with an id to a collection, and returns the id.
    pub fn add(&mut self, choose: impl FnOnce(&mut Self) -> &mut Vec<Value>, mut object: Value) -> String {
        let id = self.uuid();
        if object["id"].is_null() {
            object["id"] = json!(id);
        }
        let id = text(&object, "id").to_owned();
        choose(self).push(object);
        id
    }
}

/// A zone as the API shows it.
pub(super) fn zone(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "status": "active", "paused": false, "type": "full", "development_mode": 0,
        "name_servers": ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"], "original_name_servers": [], "original_registrar": null,
        "original_dnshost": null, "created_on": THEN, "modified_on": THEN, "activated_on": THEN,
        "meta": {"step": 4, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": false},
        "owner": {"id": null, "type": "user", "email": null}, "account": {"id": ACCOUNT, "name": "Your account"},
        "permissions": [], "plan": {"id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "name": "Free Website", "price": 0, "legacy_id": "free"},
    })
}

pub(super) fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

pub(super) fn items<'v>(value: &'v Value, member: &str) -> impl Iterator<Item = &'v Value> {
    value[member].as_array().into_iter().flatten()
}
