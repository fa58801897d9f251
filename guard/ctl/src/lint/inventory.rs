//! The objects of one cluster, decoded and grouped by kind. Every policy reads from it.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, PodSpec, PodTemplateSpec, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::de::DeserializeOwned;

use super::blueprint::Blueprint;
use super::object::{Labels, Object, Typed};
use super::schema;
use super::strict::{Fault, decode};
use super::workload::{ContainerRef, Role, Variable, Workload};

/// All objects in the manifests of one cluster.
pub struct Inventory<'o> {
    /// All objects.
    pub objects: &'o [Object],
    /// The objects that run pods.
    pub workloads: Vec<Workload<'o>>,
    /// The services.
    pub services: Vec<Typed<'o, Service>>,
    /// The network policies.
    pub network_policies: Vec<Typed<'o, NetworkPolicy>>,
    /// The pod disruption budgets.
    pub budgets: Vec<Typed<'o, PodDisruptionBudget>>,
    /// The config maps.
    pub config_maps: Vec<Typed<'o, ConfigMap>>,
    /// The Authentik blueprints in the config maps.
    pub blueprints: Vec<Blueprint<'o>>,
    /// The persistent volume claims.
    pub claims: Vec<Typed<'o, PersistentVolumeClaim>>,
    /// The faults of each object; `None` if guardctl has no type for its kind.
    pub faults: Vec<(&'o Object, Option<Vec<Fault>>)>,
}

impl<'o> Inventory<'o> {
    /// Decodes and groups the objects. An object that cannot be decoded is in `faults`, and in no list of its kind.
    pub fn of(objects: &'o [Object]) -> Self {
        let config_maps = typed(objects, "v1", "ConfigMap");
        Self {
            objects,
            workloads: objects.iter().filter_map(workload).collect(),
            services: typed(objects, "v1", "Service"),
            network_policies: typed(objects, "networking.k8s.io/v1", "NetworkPolicy"),
            budgets: typed(objects, "policy/v1", "PodDisruptionBudget"),
            blueprints: Blueprint::all(&config_maps),
            config_maps,
            claims: typed(objects, "v1", "PersistentVolumeClaim"),
            faults: objects
                .iter()
                .map(|object| {
                    // What sops has encrypted is no Secret yet; `secret-object` judges it.
                    let is_encrypted = object.kind == "Secret" && object.value.get("sops").is_some();
                    let faults = || schema::faults(&object.api_version, &object.kind, &object.value);
                    (object, if is_encrypted { Some(Vec::new()) } else { faults() })
                })
                .collect(),
        }
    }

    /// Returns the objects of one kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &'o Object> {
        self.objects.iter().filter(move |object| object.kind == kind)
    }

    /// Returns the workloads with one role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Workload<'o>> {
        self.workloads.iter().filter(move |workload| workload.role() == Some(role))
    }

    /// Returns a config map by its namespace and name.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&Typed<'o, ConfigMap>> {
        self.config_maps.iter().find(|map| map.object.namespace == namespace && map.object.name == name)
    }

    /// Returns the environment variables of a container: its own, and those of each `ConfigMap` that its `envFrom` names.
    pub fn variables(&self, container: ContainerRef<'_>) -> Vec<Variable> {
        let mut variables = Vec::new();
        for (index, from) in container.spec.env_from.iter().flatten().enumerate() {
            let Some(reference) = &from.config_map_ref else { continue };
            let Some(map) = self.config_map(container.namespace(), &reference.name) else { continue };
            let prefix = from.prefix.as_deref().unwrap_or_default();
            variables.extend(map.typed.data.iter().flatten().map(|(key, value)| Variable {
                name: format!("{prefix}{key}"),
                value: Some(value.clone()),
                field: container.field(&format!("envFrom[{index}]")),
            }));
        }
        variables.extend(container.spec.env.iter().flatten().enumerate().map(|(index, variable)| Variable {
            name: variable.name.clone(),
            value: if variable.value_from.is_some() { None } else { Some(variable.value.clone().unwrap_or_default()) },
            field: container.field(&format!("env[{index}]")),
        }));
        variables
    }

    /// Returns one environment variable of a container. If a name occurs twice, the last one applies, as in Kubernetes.
    pub fn variable(&self, container: ContainerRef<'_>, name: &str) -> Option<Variable> {
        self.variables(container).into_iter().rev().find(|variable| variable.name == name)
    }

    /// Returns the labels of a namespace, with the name label that Kubernetes adds.
    pub fn namespace_labels(&self, name: &str) -> Labels {
        let mut labels = self.of_kind("Namespace").find(|object| object.name == name).map(Object::labels).unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        labels
    }
}

fn typed<'o, T: DeserializeOwned>(objects: &'o [Object], api_version: &str, kind: &str) -> Vec<Typed<'o, T>> {
    let of_kind = objects.iter().filter(|object| object.api_version == api_version && object.kind == kind);
    of_kind.filter_map(|object| Some(Typed { object, typed: decode::<T>(&object.value).0? })).collect()
}

fn workload(object: &Object) -> Option<Workload<'_>> {
    fn read<T: DeserializeOwned>(object: &Object) -> Option<T> {
        decode(&object.value).0
    }
    let of_template = |template: PodTemplateSpec| (template.metadata.and_then(|meta| meta.labels), template.spec);
    let (at, (labels, spec), replicas, strategy): (_, (Option<Labels>, Option<PodSpec>), _, _) = match object.kind.as_str() {
        "Deployment" => {
            let spec = read::<Deployment>(object)?.spec;
            let strategy = spec.strategy.and_then(|strategy| strategy.type_).unwrap_or_else(|| "RollingUpdate".to_owned());
            ("spec.template", of_template(spec.template), spec.replicas.unwrap_or(1), Some(strategy))
        }
        "StatefulSet" => {
            let spec = read::<StatefulSet>(object)?.spec;
            ("spec.template", of_template(spec.template), spec.replicas.unwrap_or(1), None)
        }
        "DaemonSet" => ("spec.template", of_template(read::<DaemonSet>(object)?.spec.template), 2, None),
        "Job" => ("spec.template", of_template(read::<Job>(object)?.spec?.template), 1, None),
        "CronJob" => {
            let template = read::<CronJob>(object)?.spec.job_template.spec?.template;
            ("spec.jobTemplate.spec.template", of_template(template), 1, None)
        }
        "Pod" => {
            let pod: Pod = read(object)?;
            ("", (pod.metadata.labels, pod.spec), 1, None)
        }
        _ => return None,
    };
    Some(Workload { object, at, labels: labels.unwrap_or_default(), spec: spec?, replicas, strategy })
}
