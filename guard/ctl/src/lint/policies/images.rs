//! Checks that images are pinned, and that images which belong together have the same version.

use crate::lint::finding::Sink;
use crate::lint::image::Image;
use crate::lint::inventory::Inventory;
use crate::lint::workload::{ContainerRef, Role, Workload};

/// Tags whose content changes.
const FLOATING: [&str; 8] = ["latest", "release", "main", "master", "edge", "nightly", "stable", "dev"];

/// Suffixes of the tags for machine learning, one for each type of accelerator.
const ACCELERATORS: [&str; 5] = ["-cuda", "-openvino", "-armnn", "-rocm", "-rknn"];

fn each_image<'i>(
    inventory: &'i Inventory<'_>,
) -> impl Iterator<Item = (&'i Workload<'i>, ContainerRef<'i>, &'i str, Image<'i>)> {
    inventory.workloads.iter().flat_map(|workload| {
        workload.all_containers().map(move |container| {
            let reference = container.spec.image.as_deref().unwrap_or_default();
            (workload, container, reference, Image::parse(reference))
        })
    })
}

/// `image-digest`
pub fn digest(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container, reference, image) in each_image(inventory) {
        if !image.is_local() && (image.tag.is_none() || !image.is_pinned()) {
            sink.add(workload.object, container.field("image"), format!("`{reference}`"), "name:tag@sha256:digest");
        }
    }
}

/// `image-floating-tag`
pub fn floating_tag(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container, reference, image) in each_image(inventory) {
        if !image.is_local() && image.tag.is_some_and(|tag| FLOATING.contains(&tag)) {
            sink.add(
                workload.object,
                container.field("image"),
                format!("`{reference}`"),
                "the tag of one version, for example v3.2.4",
            );
        }
    }
}

/// `image-unpublished`
pub fn unpublished(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container, reference, image) in each_image(inventory) {
        if image.is_unpublished() {
            sink.add(
                workload.object,
                container.field("image"),
                format!("`{reference}`"),
                "the image that you built: guardctl image load (without a registry), or make image-publish IMAGE=REGISTRY/guard",
            );
        }
    }
}

/// `immich-image-pair`
pub fn pair(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let of_role = |role| {
        let running = inventory.workloads.iter().filter(move |workload| workload.role() == Some(role));
        running.filter_map(|workload| {
            let container = workload.main()?;
            Some((workload, container, Image::parse(container.spec.image.as_deref()?).tag?))
        })
    };
    for (_, _, server) in of_role(Role::Server) {
        for (workload, container, tag) in of_role(Role::MachineLearning) {
            let plain = ACCELERATORS.iter().find_map(|suffix| tag.strip_suffix(suffix)).unwrap_or(tag);
            if plain != server {
                sink.add(
                    workload.object,
                    container.field("image"),
                    format!("tag {tag}"),
                    format!("tag {server}, the version of the server"),
                );
            }
        }
    }
}
