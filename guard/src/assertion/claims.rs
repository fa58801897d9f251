//! The header and the claims of a token, parsed strictly: a member of the wrong type, or one that appears twice, is an error.
//!
//! RFC 7515 section 4 (header), RFC 7519 section 4 (claims).

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};

/// The header of a token, with the members that AWS load balancers add.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) crit: bool,
    pub(super) signer: Option<String>,
    pub(super) client: Option<String>,
    pub(super) iss: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) exp: Option<NumericDate>,
}

/// The claims of a token.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) aud: Option<Audience>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) exp: Option<NumericDate>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) iat: Option<NumericDate>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) email_verified: Option<Flag>,
    pub(super) common_name: Option<String>,
}

/// Returns true for a member that is present, with any value, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Reads a member that may be absent but not `null`: a claim of the wrong type is an error, never an absent claim (CVE-2026-25537).
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// `true` or `false`, also as text: Amazon Cognito and others write `"false"`. Any other value counts as false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value == true || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))))
    }
}

/// `aud`: one string or an array of strings (RFC 7519, 4.1.3).
pub(super) struct Audience(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(aud) => Self(vec![aud]),
            Form::Many(auds) => Self(auds),
        })
    }
}

/// Seconds since 1970 as a JSON number, fractions cut off (RFC 7519, section 2). Negative dates count as 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NumericDate(pub(super) u64);

impl<'de> Deserialize<'de> for NumericDate {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is the meaning wanted")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(|seconds| Self(seconds as u64))
    }
}

/// Returns the string value of the member `name` in a JSON object. A member that appears twice is an error.
pub(super) fn member(object: &[u8], name: &str) -> Result<Option<String>, serde_json::Error> {
    struct Member<'n>(&'n str);

    impl<'de> Visitor<'de> for Member<'_> {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "an object with at most one member `{}`", self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<String>()? {
                if key != self.0 {
                    map.next_value::<IgnoredAny>()?;
                } else if found.replace(map.next_value::<String>()?).is_some() {
                    return Err(A::Error::custom("a member that appears twice"));
                }
            }
            Ok(found)
        }
    }

    impl<'de> DeserializeSeed<'de> for Member<'_> {
        type Value = Option<String>;

        fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_slice(object);
    let found = Member(name).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::member;

    #[test]
    fn a_chosen_claim_is_one_string_or_nothing() {
        let find = |json: &str| member(json.as_bytes(), "upn").map_err(|_| ());
        assert_eq!(find(r#"{"a":{"upn":"x"},"upn":"ada@example.com"}"#), Ok(Some("ada@example.com".to_owned())));
        assert_eq!(find(r#"{"a":1}"#), Ok(None));
        for bad in [r#"{"upn":7}"#, r#"{"upn":null}"#, r#"{"upn":"a","upn":"b"}"#, r#"["upn"]"#, r#"{"upn":"a"}x"#] {
            assert_eq!(find(bad), Err(()), "{bad}");
        }
    }
}
