//! Reads Kubernetes objects from standard input, a file, a kustomization (rendered first), or a directory of YAML files.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::object::Object;
use super::yaml;

/// Reads the objects of a path. `-` is standard input. Fails if something cannot be read or is not a Kubernetes object.
pub fn objects(path: &str) -> anyhow::Result<Vec<Object>> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).context("standard input")?;
        return stream(&text, "standard input");
    }
    let place = Path::new(path);
    let kind = std::fs::metadata(place).with_context(|| format!("{path}: cannot be read"))?;
    if !kind.is_dir() {
        return file(place);
    }
    if is_kustomization(place) {
        return stream(&render(place)?, path);
    }
    let mut objects = Vec::new();
    for file_path in files_below(place)? {
        for mut object in file(&file_path)? {
            object.index = objects.len();
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Reads the objects of a YAML stream. A `List` is replaced by its items.
pub fn stream(text: &str, source: &str) -> anyhow::Result<Vec<Object>> {
    let mut values = Vec::new();
    for document in yaml::documents(text, source)? {
        match document {
            Value::Object(mut list) if list.get("kind").and_then(Value::as_str) == Some("List") => match list.remove("items") {
                Some(Value::Array(items)) => values.extend(items),
                _ => bail!("{source}: found a List without items, wanted a list in `items`"),
            },
            value => values.push(value),
        }
    }
    let named = values.into_iter().enumerate().map(|(index, value)| {
        let missing = || {
            format!("{source}: document {}: apiVersion, kind or metadata.name is missing, wanted a Kubernetes object", index + 1)
        };
        Object::new(index, source, value).with_context(missing)
    });
    named.collect()
}

fn file(path: &Path) -> anyhow::Result<Vec<Object>> {
    let source = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("{source}: cannot be read"))?;
    stream(&text, &source)
}

fn is_kustomization(directory: &Path) -> bool {
    ["kustomization.yaml", "kustomization.yml", "Kustomization"].iter().any(|name| directory.join(name).is_file())
}

fn files_below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(directory).with_context(|| format!("{}: cannot be read", directory.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Returns the output of `kustomize build`.
fn render(directory: &Path) -> anyhow::Result<String> {
    let words = kustomize()?;
    let (program, args) = words.split_first().context("KUSTOMIZE is empty, wanted a program such as `kustomize`")?;
    let output = Command::new(program).args(args).arg(directory).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{}: {} failed: {}", directory.display(), words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{}: the output of kustomize is not UTF-8", directory.display()))
}

/// Returns the command that renders a kustomization: `$KUSTOMIZE`, split at spaces, or the installed program.
/// If `$KUSTOMIZE` is a single word, it gets the argument `build`.
fn kustomize() -> anyhow::Result<Vec<String>> {
    let words = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let named = std::env::var("KUSTOMIZE").unwrap_or_default();
    match words(&named) {
        named if named.len() == 1 => Ok([named, words("build")].concat()),
        named if !named.is_empty() => Ok(named),
        _ if on_path("kustomize") => Ok(words("kustomize build")),
        _ if on_path("kubectl") => Ok(words("kubectl kustomize")),
        _ => bail!(
            "found neither kustomize nor kubectl in PATH: install one (https://kubectl.docs.kubernetes.io/installation/kustomize/), or set KUSTOMIZE to its path"
        ),
    }
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}
