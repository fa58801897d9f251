//! Compares the objects that kustomize renders with the objects in the cluster, field by field.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::discovery::{Discovery, Scope};
use serde_json::Value;

use crate::process::run;

/// Renders a folder with kustomize and returns its objects.
pub(crate) fn render(kustomize: &Path, folder: &Path) -> Result<Vec<Value>> {
    let yaml = run(Command::new(kustomize).arg("build").arg(folder))?;
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&yaml).with_context(|| format!("the rendered manifests of {}", folder.display()))?;
    Ok(objects)
}

/// Returns `Kind namespace/name`.
pub(crate) fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

/// Finds objects of any kind.
pub(crate) struct Finder {
    client: Client,
    discovery: Discovery,
}

impl Finder {
    /// Creates a finder, with the kinds that the API server knows.
    pub(crate) async fn new(client: Client) -> Result<Self> {
        Ok(Self { discovery: Discovery::new(client.clone()).run().await?, client })
    }

    /// Returns the API for the kind and namespace of an object.
    pub(crate) fn api(&self, object: &Value) -> Result<Api<DynamicObject>> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (version, kind) = (text("/apiVersion").context("no apiVersion")?, text("/kind").context("no kind")?);
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let Some((resource, capabilities)) = self.discovery.resolve_gvk(&gvk) else {
            bail!("the API server does not know {gvk:?}");
        };
        Ok(match (capabilities.scope, text("/metadata/namespace")) {
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            _ => Api::all_with(self.client.clone(), &resource),
        })
    }

    /// Returns the object in the cluster, if it exists.
    pub(crate) async fn live(&self, object: &Value) -> Result<Option<Value>> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).context("no name")?;
        Ok(self.api(object)?.get_opt(name).await?.map(serde_json::to_value).transpose()?)
    }

    /// Returns the differences between rendered objects and the cluster. Fields that the API server adds are no differences.
    pub(crate) async fn differences(&self, rendered: &[Value]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for object in rendered {
            match self.live(object).await? {
                None => found.push(format!("{} does not exist", title(object))),
                Some(live) => compare(object, &live, &mut PathBuf::from(title(object)), &mut found),
            }
        }
        Ok(found)
    }

    /// Returns all objects of a kind, in all namespaces.
    pub(crate) async fn all(&self, version: &str, kind: &str) -> Result<Vec<DynamicObject>> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = self
            .discovery
            .resolve_gvk(&GroupVersionKind::gvk(group, version, kind))
            .map_or_else(|| ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)), |(resource, _)| resource);
        Ok(Api::<DynamicObject>::all_with(self.client.clone(), &resource).list(&ListParams::default()).await?.items)
    }
}

/// Adds to `found` each wanted field that is missing or different.
fn compare(wanted: &Value, live: &Value, at: &mut PathBuf, found: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (key, value) in wanted {
                at.push(key);
                match live.get(key) {
                    Some(live) => compare(value, live, at, found),
                    // The API server does not keep an empty map or list.
                    None if value.as_object().is_some_and(serde_json::Map::is_empty) => {}
                    None if value.as_array().is_some_and(Vec::is_empty) => {}
                    None => found.push(format!("{}: found nothing, wanted {value}", at.display())),
                }
                at.pop();
            }
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            for (index, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                at.push(index.to_string());
                compare(wanted, live, at, found);
                at.pop();
            }
        }
        _ if wanted == live => {}
        _ => found.push(format!("{}: found {live}, wanted {wanted}", at.display())),
    }
}
