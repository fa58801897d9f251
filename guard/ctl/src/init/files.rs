//! The text of the overlay: the files of the example and the values of this home enter, the files to write leave. An overlay that is there keeps
//! everything else that it says.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::lint::image::Image;
use crate::lint::yaml;

/// The id of the NAS in the example.
pub(crate) const EXAMPLE_ID: &str = "00000000-0000-4000-8000-000000000000";
/// The node in the example.
const EXAMPLE_NODE: &str = "node.example.com";
/// The file with the values.
pub(crate) const PATCH: &str = "flux/nas.patch.yaml";
/// The kustomization that makes Flux's objects.
const FLUX: &str = "flux/kustomization.yaml";
/// The patch of Flux's objects, which only this tool writes.
pub(crate) const HOME_PATCH: &str = "flux/home.patch.yaml";

const SERVER: &str = "immich-server";
const DATABASE: &str = "immich-postgres";
const HOSTNAME: &str = "kubernetes.io/hostname";
const NAS_ID: &str = "guard.immich/nas-id";

/// Files by their path below the overlay.
pub(crate) type Files = BTreeMap<String, String>;

/// The values of a home that are in the overlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    /// The node with the mount and the disk of the database.
    pub node: String,
    /// The directory of the photos.
    pub photos: String,
    /// The directory of the database.
    pub database: String,
    /// The time zone.
    pub time_zone: String,
    /// The id of the NAS.
    pub nas_id: String,
}

/// What Flux is told beside the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FluxPart {
    /// The URL of the repository; none if the committed one is right.
    pub url: Option<String>,
    /// The image of guard; none if the committed one is right.
    pub image: Option<String>,
}

/// Reads the values of an overlay; none if its patch is not there.
pub(crate) fn read(files: &Files) -> Result<Option<Values>> {
    files.get(PATCH).map(|text| values(text).with_context(|| PATCH.to_owned())).transpose()
}

/// The URL that the overlay gives to Flux.
pub(crate) fn read_url(files: &Files) -> Option<String> {
    let documents = yaml::values(files.get(HOME_PATCH)?, yaml::Dialect::Kubectl).ok()?;
    documents.iter().find_map(|it| it["spec"]["url"].as_str().map(str::to_owned))
}

/// The files of the overlay with these values: those that are there, changed where a value differs, and those of the example that are missing.
pub(crate) fn render(example: &Files, there: &Files, values: &Values, flux: Option<&FluxPart>) -> Result<Files> {
    let mut files = there.clone();
    for (path, text) in example {
        // The parts for components: only the node is known. What else they need, their pages say.
        files.entry(path.clone()).or_insert_with(|| text.replace(EXAMPLE_NODE, &scalar(&values.node)));
    }
    let patch = files.get(PATCH).with_context(|| format!("{PATCH} is not in the example"))?;
    let patch = with_values(patch, values).with_context(|| PATCH.to_owned())?;
    files.insert(PATCH.to_owned(), patch);
    if let Some(part) = flux
        && let Some(text) = home_patch(part)
    {
        let kustomization = files.get(FLUX).with_context(|| format!("{FLUX} is not in the example"))?;
        let kustomization = with_home_patch(kustomization).with_context(|| FLUX.to_owned())?;
        files.insert(FLUX.to_owned(), kustomization);
        files.insert(HOME_PATCH.to_owned(), text);
    }
    Ok(files)
}

/// The values in the text of the patch.
fn values(text: &str) -> Result<Values> {
    let documents = yaml::values(text, yaml::Dialect::Kubectl)?;
    let of = |name: &str| {
        let found = documents.iter().find(|it| it["kind"] == "Deployment" && it["metadata"]["name"] == name);
        found.map(|it| &it["spec"]["template"]).with_context(|| format!("found no patch of the Deployment {name}, wanted one"))
    };
    let (server, database) = (of(SERVER)?, of(DATABASE)?);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let path = |template: &Value, volume: &str| {
        let volumes = template["spec"]["volumes"].as_array().into_iter().flatten();
        text(&volumes.into_iter().find(|it| it["name"] == volume).unwrap_or(&Value::Null)["hostPath"]["path"])
    };
    let env =
        server["spec"]["containers"].as_array().into_iter().flatten().flat_map(|it| it["env"].as_array().into_iter().flatten());
    Ok(Values {
        node: text(&server["spec"]["nodeSelector"][HOSTNAME]),
        photos: path(server, "library"),
        database: path(database, "data"),
        time_zone: env.into_iter().find(|it| it["name"] == "TZ").map(|it| text(&it["value"])).unwrap_or_default(),
        nas_id: text(&server["metadata"]["annotations"][NAS_ID]),
    })
}

/// The text of the patch with these values; nothing else in it changes.
fn with_values(patch: &str, values: &Values) -> Result<String> {
    let mut lines: Vec<String> = patch.lines().map(str::to_owned).collect();
    set(&mut lines, SERVER, &[NAS_ID], &values.nas_id)?;
    set(&mut lines, SERVER, &[HOSTNAME], &values.node)?;
    set(&mut lines, SERVER, &["- name: TZ", "value"], &values.time_zone)?;
    set(&mut lines, SERVER, &["- name: library", "path"], &values.photos)?;
    set(&mut lines, DATABASE, &[HOSTNAME], &values.node)?;
    set(&mut lines, DATABASE, &["- name: data", "path"], &values.database)?;
    let changed = lines.join("\n") + "\n";
    let found = self::values(&changed)?;
    ensure!(&found == values, "the values cannot be set in this text: found {found:?} after the change, wanted {values:?}");
    Ok(changed)
}

/// Sets one value in the patch of a Deployment. Each of `keys` is looked for below the line of the one before it; the last is the key of the value.
fn set(lines: &mut [String], deployment: &str, keys: &[&str], value: &str) -> Result<()> {
    let missing =
        || format!("found no {} in the patch of {deployment}, wanted one, as in clusters/home.example", keys.join(" > "));
    let mut at = document(lines, deployment).with_context(missing)?;
    for (index, key) in keys.iter().enumerate() {
        let is_last = index + 1 == keys.len();
        let is_it = |line: &String| {
            let line = line.trim_start();
            if is_last { line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')) } else { line.trim_end() == *key }
        };
        let found = lines[at.clone()].iter().position(is_it).with_context(missing)? + at.start;
        if is_last {
            let line = &lines[found];
            let head = &line[..line.len() - line.trim_start().len()];
            let comment = line.find(" #").map_or("", |at| line[at..].trim_end());
            lines[found] = format!("{head}{key}: {}{comment}", scalar(value));
        } else {
            // A list item ends with the next one at its depth.
            let depth = |line: &String| line.len() - line.trim_start().len();
            let own = depth(&lines[found]);
            let is_next = |line: &String| !line.trim().is_empty() && !line.trim_start().starts_with('#') && depth(line) <= own;
            let length = lines[found + 1..at.end].iter().position(is_next).unwrap_or(at.end - found - 1);
            at = found + 1..found + 1 + length;
        }
    }
    Ok(())
}

/// The lines of the patch of a Deployment.
fn document(lines: &[String], deployment: &str) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    for end in (0..=lines.len()).filter(|&at| at == lines.len() || lines[at].trim_end() == "---") {
        let text = lines[start..end].join("\n");
        let found = yaml::values(&text, yaml::Dialect::Kubectl).ok().and_then(|documents| documents.into_iter().next());
        if found.is_some_and(|it| it["kind"] == "Deployment" && it["metadata"]["name"] == deployment) {
            return Some(start..end);
        }
        start = end + 1;
    }
    None
}

/// A text as a scalar of YAML: plain where every reader takes it as this text, else in double quotes, as JSON has them.
fn scalar(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && yaml::values(text, yaml::Dialect::Kubectl).is_ok_and(|values| values == [Value::String(text.to_owned())]);
    if is_plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

/// The patch of Flux's objects; none if there is nothing to patch.
fn home_patch(part: &FluxPart) -> Option<String> {
    let mut documents = Vec::new();
    if let Some(url) = &part.url {
        let secret = if url.starts_with("ssh://") {
            "  # The key: flux create secret git home-git --url=URL. Give what it prints to the repository as a read-only deploy key.\n  secretRef:\n    name: home-git\n"
        } else {
            ""
        };
        documents.push(format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: home\n  namespace: flux-system\nspec:\n  url: {}\n{secret}",
            scalar(url)
        ));
    }
    if let Some(reference) = &part.image {
        let image = Image::parse(reference);
        let tag = reference[image.repository.len()..].trim_start_matches(':');
        documents.push(format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: home\n  namespace: flux-system\nspec:\n  \
             # This wins over images: in clusters/home/kustomization.yaml. Remove it when you publish the image and commit its digest there.\n  \
             images:\n    - name: guard\n      newName: {}\n      newTag: {}\n",
            scalar(image.repository),
            scalar(tag)
        ));
    }
    let head = "# Written by guardctl init: what Flux is told about this home only. The next run writes it again.\n";
    (!documents.is_empty()).then(|| head.to_owned() + &documents.join("---\n"))
}

/// The kustomization of Flux's objects with the patch in it.
fn with_home_patch(text: &str) -> Result<String> {
    let file = HOME_PATCH.trim_start_matches("flux/");
    let is_in = |text: &str| -> Result<bool> {
        let found = yaml::values(text, yaml::Dialect::Kubectl)?;
        let patches = found.first().and_then(|it| it["patches"].as_array()).into_iter().flatten();
        Ok(patches.into_iter().any(|it| it["path"] == file))
    };
    if is_in(text)? {
        return Ok(text.to_owned());
    }
    let item = format!("  - path: {file}\n");
    let changed = match text.find("\npatches:\n") {
        Some(at) => {
            let after = at + "\npatches:\n".len();
            format!("{}{item}{}", &text[..after], &text[after..])
        }
        None => format!("{}\npatches:\n{item}", text.trim_end()),
    };
    ensure!(
        is_in(&changed).unwrap_or(false),
        "the patch cannot be added to this text: add - path: {file} below patches: yourself"
    );
    Ok(changed)
}

#[cfg(test)]
mod tests;
