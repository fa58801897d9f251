//! The structure of the crates: imports between the modules of `guard/src` run down only, and nothing that ships depends on fakes or the demo.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The modules of `guard/src`, from the lowest layer to the highest. A module may import modules of lower layers only.
const LAYERS: [&[&str]; 15] = [
    &["clock", "cookies", "header_fields", "html", "identity", "key", "memory", "percent", "random", "tls"],
    &["allow_list"],
    &["refusal"],
    &["telemetry"],
    &["config"],
    &["fetch", "serve", "nas"],
    &["jwks", "pem_keys", "upstream"],
    &["assertion"],
    &["frontdoor"],
    &["proxy"],
    &["uploads"],
    &["origin", "idtoken"],
    &["cli"],
    &["lib"],
    &["main"],
];

fn layer(module: &str) -> usize {
    let place = LAYERS.iter().position(|layer| layer.contains(&module));
    place.unwrap_or_else(|| panic!("the module {module} has no layer: add it to LAYERS in {}", file!()))
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The top-level modules that follow `crate::` in the code of a file, outside comments and unit tests.
fn imported(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = lines.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>());
    names
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn no_import_runs_up() -> std::io::Result<()> {
    let mut all = Vec::new();
    files(Path::new(SRC), &mut all)?;
    let mut wrong = Vec::new();
    for path in all.iter().filter(|path| !path.ends_with("tests.rs")) {
        let relative = path.strip_prefix(SRC).unwrap_or(path);
        let module =
            relative.components().next().map(|part| part.as_os_str().to_string_lossy().replace(".rs", "")).unwrap_or_default();
        for name in imported(&std::fs::read_to_string(path)?) {
            if name != module && layer(&name) >= layer(&module) {
                wrong.push(format!("{} imports {name}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run up, or to a neighbour:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn what_ships_depends_on_no_fake_and_nothing_depends_on_the_demo() -> std::io::Result<()> {
    let manifest = |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    let guard = manifest("Cargo.toml")?;
    let dependencies = guard.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    assert!(dependencies.contains("hyper") && !dependencies.contains("testkit"), "{dependencies}");
    for name in ["Cargo.toml", "ctl/Cargo.toml", "e2e/Cargo.toml", "testkit/Cargo.toml"] {
        let depends = manifest(name)?.lines().any(|line| line.starts_with("guard-demo"));
        assert!(!depends, "guard/{name} depends on the demo");
    }
    Ok(())
}
