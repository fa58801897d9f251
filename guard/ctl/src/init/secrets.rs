//! The Secrets of a home: what is there and what is wanted enter, what to make or to change leaves. A value that is there is replaced only by one that
//! was given, and only after a question. No value is ever printed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guard::random;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::answers::{Internet, Token};
use super::cluster::Held;

/// The Secrets, by namespace and name.
pub(crate) const DATABASE: (&str, &str) = ("immich", "immich-postgres");
pub(crate) const TUNNEL: (&str, &str) = ("immich-edge", "cloudflared-tunnel");
pub(crate) const EDGE: (&str, &str) = ("immich-edge", "immich-edge");
const PASSWORD: &str = "POSTGRES_PASSWORD";
const TOKEN: &str = "token";
const PASSWORD_LENGTH: usize = 40;
const MANAGER: &str = "guardctl";

/// The Secrets that are there, by name.
pub(crate) type There = BTreeMap<&'static str, Held>;
type Data = BTreeMap<String, Vec<u8>>;

/// What happens to one Secret.
pub(crate) struct Step {
    namespace: &'static str,
    name: &'static str,
    action: Action,
}

enum Action {
    Keep,
    Create(Data),
    /// Only these keys; the version that was read, so that a change in between is seen.
    Change {
        data: Data,
        version: String,
        replaces: bool,
    },
}

impl Step {
    /// One line without a value.
    pub(crate) fn line(&self) -> String {
        let keys = |data: &Data| data.keys().cloned().collect::<Vec<_>>().join(", ");
        let name = format!("Secret {}/{}", self.namespace, self.name);
        match &self.action {
            Action::Keep => format!("= {name}: kept"),
            Action::Create(data) => format!("+ {name}: {}", keys(data)),
            Action::Change { data, replaces: false, .. } => format!("~ {name}: adds {}", keys(data)),
            Action::Change { data, .. } => format!("~ {name}: replaces {}", keys(data)),
        }
    }

    /// Whether something changes.
    pub(crate) const fn is_change(&self) -> bool {
        !matches!(self.action, Action::Keep)
    }

    /// Whether a value that is there gets another.
    pub(crate) const fn is_replacement(&self) -> bool {
        matches!(self.action, Action::Change { replaces: true, .. })
    }

    /// Makes or changes it.
    pub(crate) async fn apply(&self, client: Client) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(client, self.namespace);
        let place = || {
            format!(
                "the Secret {}/{} was not written: somebody else was faster, or the rights are missing",
                self.namespace, self.name
            )
        };
        match &self.action {
            Action::Keep => {}
            Action::Create(data) => {
                let mut secret = Secret { type_: Some("Opaque".to_owned()), ..Secret::default() };
                secret.metadata.name = Some(self.name.to_owned());
                secret.data = Some(data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect());
                let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
                secrets.create(&parameters, &secret).await.with_context(place)?;
            }
            Action::Change { data, version, .. } => {
                let data: BTreeMap<_, _> = data.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
                let patch = json!({"metadata": {"resourceVersion": version}, "data": data});
                let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                secrets.patch(self.name, &parameters, &Patch::Merge(patch)).await.with_context(place)?;
            }
        }
        Ok(())
    }
}

/// What happens to each Secret. Without `internet`, those of the internet are left alone.
pub(crate) fn plan(there: &There, internet: Option<&Internet>, token: Option<&Token>) -> Result<Vec<Step>> {
    let database = there.get(DATABASE.1);
    let has_password = database.is_some_and(|held| held.data.get(PASSWORD).is_some_and(|value| !value.is_empty()));
    // Another password would lock Immich out of its database: the one that is there stays, whatever it is.
    let wanted = if has_password { Data::new() } else { Data::from([(PASSWORD.to_owned(), password()?)]) };
    let mut steps = vec![step(DATABASE, database, wanted)];
    let Some(internet) = internet else { return Ok(steps) };
    let wanted: Data = token.iter().map(|token| (TOKEN.to_owned(), token.reveal().as_bytes().to_vec())).collect();
    steps.push(step(TUNNEL, there.get(TUNNEL.1), wanted));
    let optional =
        [("LAN_URL", &internet.lan_url), ("ALLOW_EMAIL", &internet.allow_email), ("ALLOW_SERVICE", &internet.allow_service)];
    let required = [("ACCESS_TEAM", &internet.team), ("ACCESS_AUD", &internet.aud), ("EXTERNAL_HOST", &internet.host)];
    let optional = optional.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let wanted = required.into_iter().chain(optional).map(|(key, value)| (key.to_owned(), value.clone().into_bytes())).collect();
    steps.push(step(EDGE, there.get(EDGE.1), wanted));
    Ok(steps)
}

fn step((namespace, name): (&'static str, &'static str), there: Option<&Held>, wanted: Data) -> Step {
    let action = match there {
        None if wanted.is_empty() => Action::Keep,
        None => Action::Create(wanted),
        Some(held) => {
            let data: Data = wanted.into_iter().filter(|(key, value)| held.data.get(key) != Some(value)).collect();
            let replaces = data.keys().any(|key| held.data.get(key).is_some_and(|value| !value.is_empty()));
            if data.is_empty() { Action::Keep } else { Action::Change { data, version: held.version.clone(), replaces } }
        }
    };
    Step { namespace, name, action }
}

/// A password that nobody sees: letters and digits, which need no quotes anywhere.
fn password() -> Result<Vec<u8>> {
    const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let limit = u8::try_from(256 / CHARACTERS.len() * CHARACTERS.len()).unwrap_or(u8::MAX);
    let mut password = Vec::with_capacity(PASSWORD_LENGTH);
    while password.len() < PASSWORD_LENGTH {
        // Above the limit, some characters would come more often.
        let bytes = random::bytes::<64>()?;
        password.extend(bytes.iter().filter(|byte| **byte < limit).map(|byte| CHARACTERS[usize::from(*byte) % CHARACTERS.len()]));
    }
    password.truncate(PASSWORD_LENGTH);
    Ok(password)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use super::*;

    fn held(pairs: &[(&str, &str)]) -> Held {
        let data = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Held { data, version: "7".to_owned() }
    }

    fn internet() -> Internet {
        Internet {
            host: "photos.family.test".to_owned(),
            team: "family".to_owned(),
            aud: "a".repeat(64),
            lan_url: None,
            allow_email: None,
            allow_service: None,
        }
    }

    fn token(secret: &str) -> Token {
        Token::parse(&STANDARD.encode(format!(r#"{{"a":"1","s":"{secret}","t":"2"}}"#))).ok().unwrap()
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        steps.iter().map(Step::line).collect()
    }

    #[test]
    fn a_new_home_gets_a_password_and_a_home_for_the_internet_all_three() {
        let steps = plan(&There::new(), None, None).unwrap();
        assert_eq!(lines(&steps), ["+ Secret immich/immich-postgres: POSTGRES_PASSWORD"]);
        let steps = plan(&There::new(), Some(&internet()), Some(&token("planted"))).unwrap();
        assert_eq!(
            lines(&steps)[1..],
            [
                "+ Secret immich-edge/cloudflared-tunnel: token",
                "+ Secret immich-edge/immich-edge: ACCESS_AUD, ACCESS_TEAM, EXTERNAL_HOST"
            ]
        );
    }

    #[test]
    fn the_second_time_nothing_changes() {
        let (internet, token) = (internet(), token("planted"));
        let there = There::from([
            (DATABASE.1, held(&[(PASSWORD, "mine")])),
            (TUNNEL.1, held(&[(TOKEN, token.reveal())])),
            (
                EDGE.1,
                held(&[("ACCESS_TEAM", "family"), ("ACCESS_AUD", &internet.aud), ("EXTERNAL_HOST", &internet.host), ("X", "y")]),
            ),
        ]);
        for token in [Some(&token), None] {
            let steps = plan(&there, Some(&internet), token).unwrap();
            assert!(steps.iter().all(|step| !step.is_change()), "{:?}", lines(&steps));
        }
    }

    #[test]
    fn the_password_of_a_database_is_never_replaced() {
        let there = There::from([(DATABASE.1, held(&[(PASSWORD, "mine")]))]);
        assert_eq!(lines(&plan(&there, None, None).unwrap()), ["= Secret immich/immich-postgres: kept"]);
    }

    #[test]
    fn another_value_is_a_replacement_of_that_key_only() {
        let there = There::from([
            (TUNNEL.1, held(&[(TOKEN, token("old").reveal())])),
            (EDGE.1, held(&[("ACCESS_TEAM", "other"), ("ACCESS_AUD", &internet().aud)])),
        ]);
        let steps = plan(&there, Some(&internet()), Some(&token("planted"))).unwrap();
        assert!(steps[1].is_replacement() && steps[2].is_replacement());
        assert_eq!(steps[2].line(), "~ Secret immich-edge/immich-edge: replaces ACCESS_TEAM, EXTERNAL_HOST");
        assert!(lines(&steps).iter().all(|line| !line.contains("planted") && !line.contains("family")));
    }

    #[test]
    fn a_password_is_40_letters_and_digits_and_no_two_are_alike() {
        let (one, two) = (password().unwrap(), password().unwrap());
        assert!(one.len() == PASSWORD_LENGTH && one != two);
        assert!(one.iter().all(u8::is_ascii_alphanumeric));
    }
}
