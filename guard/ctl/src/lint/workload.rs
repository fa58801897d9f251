//! What runs pods: its containers with their JSON paths, its variables, and which part of the stack it is.

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::image::Image;
use super::object::{Labels, Object};

/// A part of the stack that policies know by name. The names are fixed: see specs and docs.
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
    /// The guard before Immich.
    Guard,
    /// cloudflared, to the guard.
    Tunnel,
    /// The auth server that the guard asks.
    Outpost,
    /// What shows shared links to strangers.
    PublicProxy,
    /// cloudflared, to the public proxy.
    ShareTunnel,
}

/// What runs pods.
pub struct Workload<'o> {
    /// The Deployment, Job, ...
    pub object: &'o Object,
    /// JSON path of the pod template.
    pub at: &'static str,
    /// Labels of its pods.
    pub labels: Labels,
    /// Its pods.
    pub spec: PodSpec,
    /// How many pods; a `DaemonSet` counts as several.
    pub replicas: i32,
    /// A Deployment's strategy.
    pub strategy: Option<String>,
}

/// A container with its place in a workload.
#[derive(Clone, Copy)]
pub struct ContainerRef<'w> {
    /// The container.
    pub spec: &'w Container,
    list: &'static str,
    index: usize,
    workload: &'w Workload<'w>,
}

impl ContainerRef<'_> {
    /// JSON path of one of its fields.
    pub fn field(&self, field: &str) -> String {
        self.workload.field(&format!("{}[{}].{field}", self.list, self.index))
    }

    /// Returns the namespace of its workload.
    pub fn namespace(&self) -> &str {
        &self.workload.object.namespace
    }

    /// Command and arguments, as they would be in argv.
    pub fn argv(&self) -> Vec<&str> {
        let words = self.spec.command.iter().chain(&self.spec.args);
        words.flatten().map(String::as_str).collect()
    }

    /// The value of a flag, written `--flag=value` or `--flag value`.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let argv = self.argv();
        argv.iter().enumerate().find_map(|(index, word)| match word.strip_prefix(name)? {
            "" => argv.get(index + 1).copied(),
            rest => rest.strip_prefix('='),
        })
    }
}

/// One environment variable with a value that is known before anything runs.
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None` if it comes from a Secret or from the pod itself.
    pub value: Option<String>,
    /// JSON path.
    pub field: String,
}

impl Workload<'_> {
    /// JSON path of a field of the pod's spec.
    pub fn field(&self, field: &str) -> String {
        match self.at {
            "" => format!("spec.{field}"),
            at => format!("{at}.spec.{field}"),
        }
    }

    /// Its containers, without those that end before them.
    pub fn containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.containers_of("containers", &self.spec.containers)
    }

    /// Its containers, also those that run first.
    pub fn all_containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.init_containers().chain(self.containers())
    }

    /// Its containers that run first.
    pub fn init_containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.containers_of("initContainers", self.spec.init_containers.as_deref().unwrap_or_default())
    }

    fn containers_of<'w>(&'w self, list: &'static str, containers: &'w [Container]) -> impl Iterator<Item = ContainerRef<'w>> {
        containers.iter().enumerate().map(move |(index, spec)| ContainerRef { spec, list, index, workload: self })
    }

    /// Its volumes with their places.
    pub fn volumes(&self) -> impl Iterator<Item = (usize, &Volume)> {
        self.spec.volumes.iter().flatten().enumerate()
    }

    /// Whether its pods run until they are told to stop.
    pub fn is_lasting(&self) -> bool {
        !matches!(self.object.kind.as_str(), "Job" | "CronJob" | "Pod")
    }

    /// Which part of the stack it is: by its name, or by the image that it runs.
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

    /// The container that makes it what it is: the one with the role's image, or the first.
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
