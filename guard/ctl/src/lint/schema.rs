//! Chooses the type of an object by its apiVersion and kind, and returns what does not fit this type.

use k8s_openapi::Resource;
use k8s_openapi::api::{admissionregistration, apps, batch, core, networking, policy, rbac, scheduling, storage};
use serde_json::Value;

use super::flux;
use super::prometheus;
use super::strict::{Fault, decode};

macro_rules! kinds {
    ($($type:ty),+ $(,)?) => {
        /// Returns what does not fit the type of the object, or `None` if the kind is not in the table.
        pub fn faults(api_version: &str, kind: &str, value: &Value) -> Option<Vec<Fault>> {
            $(if api_version == <$type as Resource>::API_VERSION && kind == <$type as Resource>::KIND {
                return Some(decode::<$type>(value).1);
            })+
            flux::faults(api_version, kind, value).or_else(|| prometheus::faults(api_version, kind, value))
        }
    };
}

kinds! {
    core::v1::Namespace,
    core::v1::ServiceAccount,
    core::v1::Pod,
    core::v1::Service,
    core::v1::ConfigMap,
    core::v1::Secret,
    core::v1::PersistentVolume,
    core::v1::PersistentVolumeClaim,
    core::v1::ResourceQuota,
    core::v1::LimitRange,
    apps::v1::Deployment,
    apps::v1::StatefulSet,
    apps::v1::DaemonSet,
    batch::v1::Job,
    batch::v1::CronJob,
    networking::v1::NetworkPolicy,
    networking::v1::Ingress,
    networking::v1::IngressClass,
    policy::v1::PodDisruptionBudget,
    rbac::v1::Role,
    rbac::v1::RoleBinding,
    rbac::v1::ClusterRole,
    rbac::v1::ClusterRoleBinding,
    admissionregistration::v1::ValidatingAdmissionPolicy,
    admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    scheduling::v1::PriorityClass,
    storage::v1::StorageClass,
}
