//! One Kubernetes object as it was read, and an object with its decoded type.

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels of an object or a pod.
pub type Labels = BTreeMap<String, String>;

/// One object as it was read.
#[derive(Clone, Debug)]
pub struct Object {
    /// Place in the stream.
    pub index: usize,
    /// Where it was read from.
    pub source: String,
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; empty if it has none.
    pub namespace: String,
    /// All of it.
    pub value: Value,
}

impl Object {
    /// An object of a value; `None` if it has no apiVersion, kind and name.
    pub fn new(index: usize, source: &str, value: Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            index,
            source: source.to_owned(),
            api_version: text("/apiVersion")?,
            kind: text("/kind")?,
            name: text("/metadata/name")?,
            namespace: text("/metadata/namespace").unwrap_or_default(),
            value,
        })
    }

    /// Kind and name, as people write them.
    pub fn title(&self) -> String {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.kind, self.namespace, self.name)
    }

    /// A label or annotation.
    pub fn metadata(&self, map: &str, key: &str) -> Option<&str> {
        self.value.get("metadata")?.get(map)?.get(key)?.as_str()
    }

    /// All labels.
    pub fn labels(&self) -> Labels {
        let map = self.value.pointer("/metadata/labels").and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// Whether Kubernetes itself knows the kind: a custom resource's group has a dot that is not `k8s.io`'s.
    pub fn is_built_in(&self) -> bool {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        !group.contains('.') || group.ends_with(".k8s.io")
    }
}

/// An object beside its type.
pub struct Typed<'o, T> {
    /// As it was read.
    pub object: &'o Object,
    /// As Kubernetes understands it.
    pub typed: T,
}
