//! The operator's way, as far as the pod: the example overlay is copied, the id of the NAS written into it, and the whole rendered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The id in `clusters/home.example`, which an operator replaces by what `guard nas init` printed.
const EXAMPLE_ID: &str = "00000000-0000-4000-8000-000000000000";

/// The folder that has `apps` and `clusters`.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What this machine lacks to render, in one line.
pub(crate) fn why_not() -> Option<String> {
    renderer().is_none().then(|| "no kustomize and no kubectl (or `make tools NAMES=kustomize`, or set KUSTOMIZE)".to_owned())
}

/// A command that renders the folder which is its next argument.
fn renderer() -> Option<Command> {
    let words: Vec<String> = std::env::var("KUSTOMIZE").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let [program, args @ ..] = words.as_slice() else {
        let built = repository().join("tools/bin/kustomize").display().to_string();
        return [("kustomize", "build"), ("kubectl", "kustomize"), (&built, "build")].into_iter().find_map(|(program, verb)| {
            let mut command = Command::new(program);
            // Any answer will do, also that there is no such folder.
            Command::new(program).arg("version").output().ok()?;
            command.arg(verb);
            Some(command)
        });
    };
    let mut command = Command::new(program);
    command.args(args);
    Some(command)
}

/// The Deployment `name`, rendered in `scratch` for a home whose NAS has this id.
pub(crate) fn deployment(scratch: &Path, name: &str, nas_id: &str) -> Value {
    let tree = scratch.join("tree");
    fs::create_dir_all(&tree).unwrap();
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-R").args([from, to]).status().unwrap().success(), "{} was not copied", from.display());
    };
    for folder in ["apps", "clusters"] {
        copy(&repository().join(folder), &tree.join(folder));
    }
    let local = tree.join("clusters/home.local");
    // It may be there: an operator's own is in no commit, and not what is tested.
    drop(fs::remove_dir_all(&local));
    copy(&tree.join("clusters/home.example"), &local);
    let patch = local.join("flux/nas.patch.yaml");
    let text = fs::read_to_string(&patch).unwrap();
    assert!(text.contains(EXAMPLE_ID), "{} does not have the example's id", patch.display());
    fs::write(&patch, text.replace(EXAMPLE_ID, nas_id)).unwrap();

    let output = renderer().expect("why_not was asked").arg(&local).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let wanted = |object: &Value| object["kind"] == "Deployment" && object["metadata"]["name"] == name;
    objects.into_iter().find(wanted).unwrap_or_else(|| panic!("no Deployment {name} in the render"))
}
