//! A map of a manifest that is read to its end: a field that nobody took fails the test, since a kubelet would have done something with it.

use std::collections::BTreeMap;

use serde_json::Value;

/// The fields of one map that nobody has taken yet.
pub(crate) struct Fields<'v> {
    at: String,
    left: BTreeMap<&'v str, &'v Value>,
}

impl<'v> Fields<'v> {
    /// All fields of `value`, which is found at `at`.
    pub(crate) fn of(value: &'v Value, at: &str) -> Self {
        let map = value.as_object().unwrap_or_else(|| panic!("{at}: wanted a map, found {value}"));
        Self { at: at.to_owned(), left: map.iter().map(|(name, value)| (name.as_str(), value)).collect() }
    }

    /// A field that may be absent.
    pub(crate) fn may(&mut self, name: &str) -> Option<&'v Value> {
        self.left.remove(name)
    }

    /// A field that has to be there.
    pub(crate) fn must(&mut self, name: &str) -> &'v Value {
        self.may(name).unwrap_or_else(|| panic!("{}: no {name}", self.at))
    }

    /// A text that has to be there.
    pub(crate) fn text(&mut self, name: &str) -> &'v str {
        let value = self.must(name);
        value.as_str().unwrap_or_else(|| panic!("{}.{name}: wanted a text, found {value}", self.at))
    }

    /// A switch; off where it is absent.
    pub(crate) fn on(&mut self, name: &str) -> bool {
        self.may(name).is_some_and(|value| value.as_bool().unwrap_or_else(|| panic!("{}.{name}: found {value}", self.at)))
    }

    /// A list; empty where it is absent.
    pub(crate) fn list(&mut self, name: &str) -> &'v [Value] {
        self.may(name).map_or(&[], |value| value.as_array().unwrap_or_else(|| panic!("{}.{name}: found {value}", self.at)))
    }

    /// A list of texts; empty where it is absent.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{name}: wanted texts, found {value}")).to_owned();
        self.list(name).iter().map(text).collect()
    }

    /// Nothing is left.
    pub(crate) fn done(self) {
        let names: Vec<_> = self.left.keys().collect();
        assert!(names.is_empty(), "{}: this test does not know what a kubelet makes of {names:?}: teach it", self.at);
    }
}
