//! The fields that every object of a custom resource has around its `spec`.

#![allow(dead_code, reason = "only the names and types of the fields are used")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

/// An object with this `spec`. Its status is the controller's, and may be anything.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Custom<S> {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: S,
    status: Option<Value>,
}
