//! Checks that Immich's configuration file (`IMMICH_CONFIG_FILE`) comes from a Secret, because it contains the OIDC client secret. docs/oidc.md.

use std::path::Path;

use k8s_openapi::api::core::v1::{Volume, VolumeMount};

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::{ContainerRef, Role, Variable, Workload};

/// The variable with the path of the file (Immich, "Environment variables").
const VARIABLE: &str = "IMMICH_CONFIG_FILE";

/// The Secret that contains the file. The manifests of this repository use this name.
const SECRET: &str = "immich-oidc";

/// The wanted source of the file.
const WANTED: &str = "an absolute path in a volume of a Secret, for example of immich-oidc";

/// `immich-config-source`
pub fn source(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in readers(inventory) {
        for container in workload.all_containers() {
            let Some(variable) = inventory.variable(container, VARIABLE) else { continue };
            if let Some(found) = fault(workload, container, &variable) {
                sink.add(workload.object, variable.field, found, WANTED);
            }
        }
    }
}

/// `immich-config-waits`
pub fn waits(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in readers(inventory) {
        let files: Vec<_> = workload
            .all_containers()
            .filter_map(|container| {
                let path = inventory.variable(container, VARIABLE)?.value?;
                Some(mount_of(container, &path)?.0.name.clone())
            })
            .collect();
        for (place, volume) in workload.volumes() {
            let at = |field: &str| workload.field(&format!("volumes[{place}].{field}"));
            let is_file = files.contains(&volume.name);
            let mut optional = Vec::new();
            if let Some(secret) = &volume.secret
                && secret.optional == Some(true)
            {
                optional.push((secret.secret_name.as_deref(), at("secret.optional")));
            }
            let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()).enumerate();
            for (index, secret) in sources.filter_map(|(index, source)| Some((index, source.secret.as_ref()?))) {
                if secret.optional == Some(true) {
                    optional.push((Some(secret.name.as_str()), at(&format!("projected.sources[{index}].secret.optional"))));
                }
            }
            for (_, field) in optional.into_iter().filter(|(name, _)| is_file || *name == Some(SECRET)) {
                sink.add(
                    workload.object,
                    field,
                    "true: without the Secret, the pod starts without the file",
                    "unset, so that the pod waits for the Secret",
                );
            }
        }
    }
}

/// Returns the workloads that may read the file. Another policy checks that machine learning does not.
fn readers<'i, 'o>(inventory: &'i Inventory<'o>) -> impl Iterator<Item = &'i Workload<'o>> {
    inventory.workloads.iter().filter(|workload| workload.role() != Some(Role::MachineLearning))
}

/// Returns why the file does not come from a Secret, or `None` if it does.
fn fault(workload: &Workload<'_>, container: ContainerRef<'_>, variable: &Variable) -> Option<String> {
    let path = match variable.value.as_deref() {
        None => return Some(format!("{VARIABLE} with valueFrom: the manifest does not show which file it is")),
        Some(path) if !path.starts_with('/') => return Some(format!("`{path}`, which is not an absolute path")),
        Some(path) => path,
    };
    let Some((mount, file)) = mount_of(container, path) else { return Some(format!("`{path}`, where no volume is mounted")) };
    // The API server refuses a mount without its volume.
    let (_, volume) = workload.volumes().find(|(_, volume)| volume.name == mount.name)?;
    source_fault(volume, &file).map(|found| format!("`{path}`, {found}"))
}

/// Returns the innermost mount that contains a path, and the rest of the path inside the volume.
fn mount_of<'s>(container: ContainerRef<'s>, path: &str) -> Option<(&'s VolumeMount, String)> {
    let mounts = container.spec.volume_mounts.iter().flatten();
    let (mount, rest) = mounts
        .filter_map(|mount| Some((mount, Path::new(path).strip_prefix(&mount.mount_path).ok()?)))
        .max_by_key(|(mount, _)| Path::new(&mount.mount_path).components().count())?;
    let file = Path::new(mount.sub_path.as_deref().unwrap_or_default()).join(rest);
    Some((mount, file.to_string_lossy().trim_end_matches('/').to_owned()))
}

fn source_fault(volume: &Volume, file: &str) -> Option<String> {
    let missing = |items: Option<&[k8s_openapi::api::core::v1::KeyToPath]>| {
        // Without a list, every key is a file.
        items.is_some_and(|items| !items.is_empty() && items.iter().all(|item| item.path != file))
    };
    if let Some(secret) = &volume.secret {
        return missing(secret.items.as_deref()).then(|| format!("but the volume {} has no file `{file}`", volume.name));
    }
    if let Some(projected) = &volume.projected {
        let sources: Vec<_> = projected.sources.iter().flatten().collect();
        if sources.iter().any(|source| source.config_map.as_ref().is_some_and(|map| !missing(map.items.as_deref()))) {
            return Some("which may come from a ConfigMap".to_owned());
        }
        let from_secret = sources.iter().any(|source| source.secret.as_ref().is_some_and(|it| !missing(it.items.as_deref())));
        return (!from_secret).then(|| format!("but the volume {} has no file `{file}`", volume.name));
    }
    Some(match &volume.config_map {
        Some(map) => format!("from the ConfigMap {}", map.name),
        None => format!("from the volume {}, which is not a Secret", volume.name),
    })
}
