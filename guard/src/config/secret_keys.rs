//! The keys of the Secret from which a pod takes private values. A misspelt key of an optional value, such as a list of addresses, would be
//! ignored without a word, and everyone would get in.
//!
//! The manifests import the whole Secret with the prefix [`PREFIX`] (`envFrom`), only for the names of its keys.

/// The beginning of the variables that stand for the keys of the Secret.
pub const PREFIX: &str = "GUARD_SECRET_";
/// The keys that the manifests use without a variable of guard of the same name. `tests/docs.rs` holds them to the manifests.
pub const OTHERS: [&str; 2] = ["EXTERNAL_HOST", "SHARE_URL"];

/// Checks that each key of the Secret is read by a variable: the key `ALLOW_EMAIL` by `GUARD_ALLOW_EMAIL`. `names` are the variables that are
/// set, `known` those that guard reads.
///
/// # Errors
/// If a key is read by nothing. The text names the key, and no value.
pub fn check<'n>(names: impl Iterator<Item = &'n str>, known: &[&str]) -> Result<(), String> {
    let is_read = |key: &str| OTHERS.contains(&key) || known.iter().any(|name| name.strip_prefix("GUARD_") == Some(key));
    let mut unread: Vec<_> = names.filter_map(|name| name.strip_prefix(PREFIX)).filter(|key| !is_read(key)).collect();
    unread.sort_unstable();
    if unread.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the Secret has keys that no variable reads: {}. Correct or remove them: a key is the name of a variable without GUARD_, such as ALLOW_EMAIL, \
         ALLOW_SERVICE or LAN_URL; nothing was started",
        unread.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_misspelt_key_is_named_and_a_right_one_is_not() {
        let known = ["GUARD_ALLOW_EMAIL", "GUARD_LAN_URL"];
        let check = |names: &[&'static str]| check(names.iter().copied(), &known);
        assert_eq!(check(&["GUARD_SECRET_ALLOW_EMAIL", "GUARD_SECRET_LAN_URL", "GUARD_SECRET_EXTERNAL_HOST", "PATH"]), Ok(()));
        let error = check(&["GUARD_SECRET_ALLOW_EMAILS", "GUARD_SECRET_ALLOW_EMAIL", "GUARD_SECRET_lan_url"]).unwrap_err();
        assert!(error.contains("ALLOW_EMAILS, lan_url"), "{error}");
    }
}
