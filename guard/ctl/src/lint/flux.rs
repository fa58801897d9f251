//! The fields of the two Flux kinds that this repository applies. Only names and types are checked: Flux itself checks the values.
//!
//! Source: the `v1` API reference of source-controller (`GitRepository`) and kustomize-controller (Kustomization), Flux 2.9.

#![allow(dead_code, reason = "only the names and types of the fields are used")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::custom::Custom;
use super::strict::{Fault, decode};

/// Returns the faults of a Flux object, or `None` for any other kind.
pub(super) fn faults(api_version: &str, kind: &str, value: &Value) -> Option<Vec<Fault>> {
    match (api_version, kind) {
        ("source.toolkit.fluxcd.io/v1", "GitRepository") => Some(decode::<Custom<GitRepository>>(value).1),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization") => Some(decode::<Custom<Kustomization>>(value).1),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GitRepository {
    url: String,
    interval: String,
    secret_ref: Option<Name>,
    provider: Option<String>,
    service_account_name: Option<String>,
    timeout: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<GitReference>,
    verify: Option<GitVerification>,
    proxy_secret_ref: Option<Name>,
    ignore: Option<String>,
    suspend: Option<bool>,
    recurse_submodules: Option<bool>,
    include: Option<Vec<GitInclude>>,
    sparse_checkout: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GitReference {
    branch: Option<String>,
    tag: Option<String>,
    semver: Option<String>,
    name: Option<String>,
    commit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GitVerification {
    mode: Option<String>,
    secret_ref: Name,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GitInclude {
    repository: Name,
    from_path: Option<String>,
    to_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Name {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kustomization {
    interval: String,
    prune: bool,
    source_ref: ObjectReference,
    path: Option<String>,
    common_metadata: Option<CommonMetadata>,
    components: Option<Vec<String>>,
    decryption: Option<Decryption>,
    deletion_policy: Option<String>,
    depends_on: Option<Vec<Dependency>>,
    force: Option<bool>,
    health_checks: Option<Vec<ObjectReference>>,
    health_check_exprs: Option<Vec<HealthExpression>>,
    ignore: Option<Vec<Value>>,
    ignore_missing_components: Option<bool>,
    images: Option<Vec<Image>>,
    kube_config: Option<KubeConfig>,
    name_prefix: Option<String>,
    name_suffix: Option<String>,
    patches: Option<Vec<Patch>>,
    post_build: Option<PostBuild>,
    retry_interval: Option<String>,
    service_account_name: Option<String>,
    suspend: Option<bool>,
    target_namespace: Option<String>,
    timeout: Option<String>,
    build_metadata: Option<Vec<String>>,
    wait: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReference {
    api_version: Option<String>,
    kind: String,
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommonMetadata {
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decryption {
    provider: String,
    secret_ref: Option<Name>,
    service_account_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    name: String,
    namespace: Option<String>,
    ready_expr: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthExpression {
    api_version: String,
    kind: String,
    current: String,
    in_progress: Option<String>,
    failed: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    name: String,
    new_name: Option<String>,
    new_tag: Option<String>,
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubeConfig {
    secret_ref: Option<SecretKey>,
    config_map_ref: Option<Name>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretKey {
    name: String,
    key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Patch {
    patch: String,
    target: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "Flux's own names")]
struct Selector {
    group: Option<String>,
    version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    annotation_selector: Option<String>,
    label_selector: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostBuild {
    substitute: Option<BTreeMap<String, String>>,
    substitute_from: Option<Vec<SubstituteReference>>,
    substitute_strategy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubstituteReference {
    kind: String,
    name: String,
    optional: Option<bool>,
}
