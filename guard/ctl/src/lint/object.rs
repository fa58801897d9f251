//! A Kubernetes object as it was read, and an object with its decoded type.

use std::collections::BTreeMap;

use serde_json::Value;

/// The labels of an object or a pod.
pub type Labels = BTreeMap<String, String>;

/// A Kubernetes object as it was read.
#[derive(Clone, Debug)]
pub struct Object {
    /// The index in the stream.
    pub index: usize,
    /// The file, directory or stream that it was read from.
    pub source: String,
    /// The API version, for example `apps/v1`.
    pub api_version: String,
    /// The kind, for example `Deployment`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; empty if it is not set.
    pub namespace: String,
    /// The whole object.
    pub value: Value,
}

impl Object {
    /// Creates an object from a value. Returns `None` if apiVersion, kind or name is missing.
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

    /// Returns kind, namespace and name, for example `Deployment immich/immich-server`.
    pub fn title(&self) -> String {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.kind, self.namespace, self.name)
    }

    /// Returns a label or annotation: `map` is `labels` or `annotations`.
    pub fn metadata(&self, map: &str, key: &str) -> Option<&str> {
        self.value.get("metadata")?.get(map)?.get(key)?.as_str()
    }

    /// Returns the labels of the object.
    pub fn labels(&self) -> Labels {
        let map = self.value.pointer("/metadata/labels").and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// Whether Kubernetes itself defines the kind. The API group of a custom resource has a dot and does not end with `k8s.io`.
    pub fn is_built_in(&self) -> bool {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        !group.contains('.') || group.ends_with(".k8s.io")
    }
}

/// An object with its decoded type.
pub struct Typed<'o, T> {
    /// The object as it was read.
    pub object: &'o Object,
    /// The decoded object.
    pub typed: T,
}
