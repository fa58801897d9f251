//! Objects that run pods: their containers with JSON paths, their variables, and their role in the stack.

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::image::Image;
use super::object::{Labels, Object};

/// A part of the stack that policies know. Each has a fixed name or image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Immich's server.
    Server,
    /// Immich's machine learning.
    MachineLearning,
    /// The database.
    Postgres,
    /// Valkey.
    Redis,
    /// A database dump or its restore.
    Backup,
    /// guard, in front of Immich.
    Guard,
    /// cloudflared, which connects to guard.
    Tunnel,
    /// The auth server that guard asks about each request.
    Outpost,
    /// immich-public-proxy, which shows share links to the public.
    PublicProxy,
    /// cloudflared, which connects to the public proxy.
    ShareTunnel,
}

/// An object that runs pods.
pub struct Workload<'o> {
    /// The Deployment, Job or other object.
    pub object: &'o Object,
    /// The JSON path of the pod template.
    pub at: &'static str,
    /// The labels of its pods.
    pub labels: Labels,
    /// The spec of its pods.
    pub spec: PodSpec,
    /// The number of pods. A `DaemonSet` counts as two, which means several.
    pub replicas: i32,
    /// The update strategy of a Deployment.
    pub strategy: Option<String>,
}

/// A container of a workload, with its JSON path.
#[derive(Clone, Copy)]
pub struct ContainerRef<'w> {
    /// The container.
    pub spec: &'w Container,
    list: &'static str,
    index: usize,
    workload: &'w Workload<'w>,
}

impl ContainerRef<'_> {
    /// Returns the JSON path of a field of this container.
    pub fn field(&self, field: &str) -> String {
        self.workload.field(&format!("{}[{}].{field}", self.list, self.index))
    }

    /// Returns the namespace of its workload.
    pub fn namespace(&self) -> &str {
        &self.workload.object.namespace
    }

    /// Returns the command and arguments of the manifest, without those of the image.
    pub fn argv(&self) -> Vec<&str> {
        let words = self.spec.command.iter().chain(&self.spec.args);
        words.flatten().map(String::as_str).collect()
    }

    /// Returns the value of a flag that is written as `--flag=value` or `--flag value`.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let argv = self.argv();
        argv.iter().enumerate().find_map(|(index, word)| match word.strip_prefix(name)? {
            "" => argv.get(index + 1).copied(),
            rest => rest.strip_prefix('='),
        })
    }
}

/// An environment variable, as far as the manifests determine it.
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value; `None` if it comes from a Secret or from the pod itself.
    pub value: Option<String>,
    /// The JSON path.
    pub field: String,
}

impl Workload<'_> {
    /// Returns the JSON path of a field of the pod spec.
    pub fn field(&self, field: &str) -> String {
        match self.at {
            "" => format!("spec.{field}"),
            at => format!("{at}.spec.{field}"),
        }
    }

    /// Returns the containers, without the init containers.
    pub fn containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.containers_of("containers", &self.spec.containers)
    }

    /// Returns the init containers and the containers.
    pub fn all_containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.init_containers().chain(self.containers())
    }

    /// Returns the init containers.
    pub fn init_containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.containers_of("initContainers", self.spec.init_containers.as_deref().unwrap_or_default())
    }

    fn containers_of<'w>(&'w self, list: &'static str, containers: &'w [Container]) -> impl Iterator<Item = ContainerRef<'w>> {
        containers.iter().enumerate().map(move |(index, spec)| ContainerRef { spec, list, index, workload: self })
    }

    /// Returns the volumes with their indexes.
    pub fn volumes(&self) -> impl Iterator<Item = (usize, &Volume)> {
        self.spec.volumes.iter().flatten().enumerate()
    }

    /// Whether its pods run until something stops them.
    pub fn is_lasting(&self) -> bool {
        !matches!(self.object.kind.as_str(), "Job" | "CronJob" | "Pod")
    }

    /// Returns the role in the stack, by the name of the object or by the image of a container.
    pub fn role(&self) -> Option<Role> {
        let by_name = match self.object.name.as_str() {
            "immich-server" => Some(Role::Server),
            "immich-machine-learning" => Some(Role::MachineLearning),
            "immich-postgres" => Some(Role::Postgres),
            "immich-redis" => Some(Role::Redis),
            "immich-origin-proxy" => Some(Role::Guard),
            "cloudflared" => Some(Role::Tunnel),
            "authentik-outpost" => Some(Role::Outpost),
            "immich-public-proxy" => Some(Role::PublicProxy),
            "cloudflared-share" => Some(Role::ShareTunnel),
            name if name.starts_with("immich-db-") => Some(Role::Backup),
            _ => None,
        };
        by_name.or_else(|| {
            self.containers().find_map(|container| role_of_image(container.spec.image.as_deref()?)).filter(|_| self.is_lasting())
        })
    }

    /// The value of an annotation of its pods.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let template = self.at.split('.').filter(|part| !part.is_empty()).fold(&self.object.value, |value, part| &value[part]);
        template["metadata"]["annotations"][name].as_str()
    }

    /// Returns the main container: the one with the image of the role, or the first one.
    pub fn main(&self) -> Option<ContainerRef<'_>> {
        let role = self.role();
        let by_image =
            self.containers().find(|container| container.spec.image.as_deref().and_then(role_of_image) == role && role.is_some());
        by_image.or_else(|| self.containers().next())
    }
}

fn role_of_image(reference: &str) -> Option<Role> {
    let repository = Image::parse(reference).repository;
    let is = |suffix: &str| repository == suffix || repository.ends_with(&format!("/{suffix}"));
    match () {
        () if is("immich-server") => Some(Role::Server),
        () if is("immich-machine-learning") => Some(Role::MachineLearning),
        () if is("immich-app/postgres") => Some(Role::Postgres),
        () if is("cloudflare/cloudflared") => Some(Role::Tunnel),
        () if is("goauthentik/proxy") => Some(Role::Outpost),
        () if is("alangrainger/immich-public-proxy") => Some(Role::PublicProxy),
        () => None,
    }
}
