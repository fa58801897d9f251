//! Checks that a pod fits the database image of Immich.

use k8s_openapi::api::core::v1::Volume;

use crate::lint::finding::Sink;
use crate::lint::image::Image;
use crate::lint::inventory::Inventory;
use crate::lint::quantity;
use crate::lint::workload::{ContainerRef, Role, Workload};

/// Immich's documentation: a memory limit below it makes large imports fail.
const MIN_MEMORY_BYTES: u64 = 2 << 30;

/// The configuration that the image's entrypoint writes: it loads the vector extension.
const CONFIG_FILE: &str = "/etc/postgresql/postgresql.conf";

/// The first major version whose image keeps its data in a directory with the number of the version.
const FIRST_WITH_OWN_DIRECTORY: u32 = 18;
const BASE: &str = "/var/lib/postgresql";
const OLD_DATA: &str = "/var/lib/postgresql/data";

fn each<'i>(inventory: &'i Inventory<'_>) -> impl Iterator<Item = (&'i Workload<'i>, ContainerRef<'i>)> {
    let databases = inventory.workloads.iter().filter(|workload| workload.role() == Some(Role::Postgres));
    databases.filter_map(|workload| Some((workload, workload.main()?)))
}

/// `postgres-major`
pub fn major(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        let tag = container.spec.image.as_deref().and_then(|image| Image::parse(image).tag).unwrap_or_default();
        if !tag.starts_with(|c: char| c.is_ascii_digit()) {
            sink.add(
                workload.object,
                container.field("image"),
                format!("tag `{tag}`"),
                "a tag that begins with the major version, for example 18-…: another major version cannot read the data",
            );
            continue;
        }
        let major: u32 = tag.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse().ok()).unwrap_or_default();
        // The image keeps its data in /var/lib/postgresql/MAJOR/docker from version 18 on (docker-library/postgres#1259).
        let (wanted, wrong) = if major >= FIRST_WITH_OWN_DIRECTORY { (BASE, OLD_DATA) } else { (OLD_DATA, BASE) };
        let mounts = || container.spec.volume_mounts.iter().flatten().enumerate();
        let sets_its_own = container.spec.env.iter().flatten().any(|variable| variable.name == "PGDATA");
        if let Some((place, _)) = mounts().find(|(_, mount)| mount.mount_path == wrong) {
            let found =
                format!("{wrong} with version {major}: the data would be lost with the container, or the image does not start");
            sink.add(workload.object, container.field(&format!("volumeMounts[{place}].mountPath")), found, wanted);
        } else if !sets_its_own && !mounts().any(|(_, mount)| mount.mount_path == wanted) {
            sink.add(workload.object, container.field("volumeMounts"), format!("nothing at {wanted}"), wanted);
        }
    }
}

/// `postgres-memory`
pub fn memory(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        let limit = container.spec.resources.as_ref().and_then(|it| it.limits.as_ref()?.get("memory"));
        if let Some(limit) = limit.filter(|limit| quantity::parse(&limit.0).is_none_or(|bytes| bytes < MIN_MEMORY_BYTES)) {
            sink.add(workload.object, container.field("resources.limits.memory"), &limit.0, "2Gi or more");
        }
    }
}

/// `postgres-command`
pub fn command(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        if container.spec.command.as_ref().is_some_and(|command| !command.is_empty()) {
            let wanted = "unset: the image's entrypoint writes the configuration that loads the vector extension";
            sink.add(workload.object, container.field("command"), "set", wanted);
        }
        let args = container.spec.args.as_deref().unwrap_or_default();
        if !args.is_empty() && !args.iter().any(|arg| arg.contains("config_file=")) {
            let wanted = "postgres -c config_file=/etc/postgresql/postgresql.conf among them";
            sink.add(workload.object, container.field("args"), args.join(" "), wanted);
        }
    }
}

/// `postgres-preload`
pub fn preload(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        for (name, value) in settings(container.spec.args.as_deref().unwrap_or_default()) {
            let wanted = match name.as_str() {
                "shared_preload_libraries" if !value.contains("vchord") => "unset, or a list with vchord.so",
                "config_file" if value != CONFIG_FILE => CONFIG_FILE,
                _ => continue,
            };
            sink.add(workload.object, container.field("args"), format!("{name}={value}"), wanted);
        }
    }
}

/// The settings on a command line of postgres(1): `-c NAME=VALUE`, `-cNAME=VALUE` or `--NAME=VALUE`, where `-` in a name stands for `_`,
/// and the case of a name does not count.
fn settings(args: &[String]) -> Vec<(String, &str)> {
    let mut settings = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let setting = match arg.strip_prefix("--").or_else(|| arg.strip_prefix("-c")) {
            Some("") => args.next().map(String::as_str),
            setting => setting,
        };
        if let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) {
            settings.push((name.to_lowercase().replace('-', "_"), value));
        }
    }
    settings
}

/// `postgres-shm`
pub fn shm(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let in_memory = |volume: &Volume| volume.empty_dir.as_ref().is_some_and(|dir| dir.medium.as_deref() == Some("Memory"));
    for (workload, container) in each(inventory) {
        let mut mounts = container.spec.volume_mounts.iter().flatten().filter(|mount| mount.mount_path == "/dev/shm");
        if !mounts.any(|mount| workload.volumes().any(|(_, volume)| volume.name == mount.name && in_memory(volume))) {
            let found = "no volume at /dev/shm: Kubernetes then provides only 64 MiB";
            sink.add(workload.object, container.field("volumeMounts"), found, "an emptyDir with medium Memory, 128Mi or more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::settings;

    #[test]
    fn a_setting_is_found_in_each_of_its_spellings() {
        for args in [
            &["postgres", "-c", "shared_preload_libraries=x"][..],
            &["-cshared_preload_libraries=x"],
            &["--shared-preload-libraries=x"],
            &["-c", "a=b", "-c", "Shared_Preload_Libraries=x"],
        ] {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert!(settings(&args).contains(&("shared_preload_libraries".to_owned(), "x")), "{args:?}");
        }
        assert_eq!(settings(&["postgres".to_owned(), "-c".to_owned()]), []);
    }
}
