//! Checks of what can be known before anything is applied: the tools, the overlay, the node, the paths, the Secrets.

use crate::doctor::evidence::{Evidence, LintFinding, Local, Look};
use crate::doctor::graph::{Outcome, Problem};
use crate::doctor::is_own_disk;

/// The oldest Kubernetes with all that the manifests use (`ValidatingAdmissionPolicy`), as major and minor.
const OLDEST: (u32, u32) = (1, 30);

fn local(evidence: &Evidence) -> Result<&Local, Outcome> {
    evidence.local.found().ok_or_else(|| Outcome::Skip("not looked at".to_owned()))
}

/// Unpacks what is on this computer, or leaves the check.
macro_rules! look {
    ($evidence:expr) => {
        match local($evidence) {
            Ok(local) => local,
            Err(skip) => return skip,
        }
    };
}

/// Major and minor of `v1.32.4+k3s1`.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

pub(super) fn tools(evidence: &Evidence) -> Outcome {
    let local = look!(evidence);
    let Some(kubectl) = local.tools.get("kubectl") else {
        return Outcome::Fail(Problem::new(
            "kubectl is not on PATH",
            "https://kubernetes.io/docs/tasks/tools/   # then: kubectl version --client",
        ));
    };
    if minor(kubectl).is_some_and(|found| found < OLDEST) {
        return Outcome::Fail(Problem::new(
            format!("kubectl {kubectl} is older than 1.30"),
            "https://kubernetes.io/docs/tasks/tools/   # then: kubectl version --client",
        ));
    }
    Outcome::Pass(local.tools.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", "))
}

pub(super) fn overlay(evidence: &Evidence) -> Outcome {
    let local = look!(evidence);
    if local.is_there {
        return Outcome::Pass(local.overlay.clone());
    }
    Outcome::Fail(Problem::new(
        format!("there is no {}/kustomization.yaml", local.overlay),
        "guardctl init   # or by hand: cp -r clusters/home.example clusters/home.local",
    ))
}

pub(super) fn renders(evidence: &Evidence) -> Outcome {
    let local = look!(evidence);
    match &local.render {
        Look::Found(count) => Outcome::Pass(format!("{count} objects")),
        Look::Failed(reason) => Outcome::Fail(Problem::new(reason.clone(), format!("kubectl kustomize {}", local.overlay))),
        Look::Skipped => Outcome::Skip("there is no overlay".to_owned()),
    }
}

fn of_lint(evidence: &Evidence, is_wanted: fn(&LintFinding) -> bool, fix: impl Fn(&Local) -> String) -> Outcome {
    let local = look!(evidence);
    if local.render.found().is_none() {
        return Outcome::Skip("nothing was rendered".to_owned());
    }
    let found: Vec<_> = local.findings.iter().filter(|finding| is_wanted(finding)).collect();
    match found.first() {
        None => Outcome::Pass(String::new()),
        Some(first) => {
            let more = if found.len() > 1 { format!(", and {} more", found.len() - 1) } else { String::new() };
            let problem = Problem::new(format!("{}{more}", first.text), fix(local));
            if found.iter().any(|finding| finding.is_error) { Outcome::Fail(problem) } else { Outcome::Warn(problem) }
        }
    }
}

pub(super) fn placeholders(evidence: &Evidence) -> Outcome {
    of_lint(
        evidence,
        |it| it.id == "placeholder-left",
        |local| format!("edit {0}/flux/nas.patch.yaml, then: guardctl lint {0}", local.overlay),
    )
}

pub(super) fn image(evidence: &Evidence) -> Outcome {
    let outcome = of_lint(
        evidence,
        |it| it.id == "image-unpublished",
        |_| {
            "guardctl image load --node NODE   # without a registry; with one: make image-publish IMAGE=REGISTRY/guard (docs/image.md)".to_owned()
        },
    );
    // In Git it is a warning. What is applied with it never starts.
    match outcome {
        Outcome::Warn(problem) => Outcome::Fail(problem),
        other => other,
    }
}

pub(super) fn policies(evidence: &Evidence) -> Outcome {
    of_lint(
        evidence,
        |it| it.id != "placeholder-left" && it.id != "image-unpublished",
        |local| format!("guardctl lint {}", local.overlay),
    )
}

pub(super) fn untracked(evidence: &Evidence) -> Outcome {
    let local = look!(evidence);
    match local.tracked.first() {
        _ if !local.is_there => Outcome::Skip("there is no overlay".to_owned()),
        None => Outcome::Pass(String::new()),
        Some(file) => Outcome::Fail(Problem::new(
            format!("Git tracks {file}: private values would be published"),
            format!("git rm -r --cached {0} && git check-ignore {0}/kustomization.yaml", local.overlay),
        )),
    }
}

pub(super) fn version(evidence: &Evidence) -> Outcome {
    match evidence.api.found().map(|version| (version, minor(version))) {
        Some((version, Some(found))) if found < OLDEST => Outcome::Fail(Problem::new(
            format!("Kubernetes {version}, wanted 1.30 or newer"),
            "upgrade the cluster first: https://kubernetes.io/releases/version-skew-policy/",
        )),
        Some((version, _)) => Outcome::Pass(version.clone()),
        None => Outcome::Skip("not looked at".to_owned()),
    }
}

pub(super) fn node(evidence: &Evidence) -> Outcome {
    let local = look!(evidence);
    let label = |node: &serde_json::Value| {
        let meta = &node["metadata"];
        meta["labels"]["kubernetes.io/hostname"].as_str().or_else(|| meta["name"].as_str()).unwrap_or_default().to_owned()
    };
    let known: Vec<_> = evidence.all("Node").map(label).collect();
    let missing = local.nodes.iter().find(|node| !known.contains(node));
    match missing {
        _ if local.nodes.is_empty() || known.is_empty() => Outcome::Skip("no node is named, or none could be listed".to_owned()),
        None => Outcome::Pass(local.nodes.join(", ")),
        Some(node) => Outcome::Fail(Problem::new(
            format!("the overlay names the node {node}, and the cluster has {}", known.join(", ")),
            format!(
                "kubectl get nodes   # put the right name into kubernetes.io/hostname of {}/flux/nas.patch.yaml",
                local.overlay
            ),
        )),
    }
}

pub(super) fn paths(evidence: &Evidence) -> Outcome {
    let local = look!(evidence);
    let (Some(library), Some(database)) = (&local.library, &local.database) else {
        return Outcome::Skip("the render names no directories".to_owned());
    };
    let edit = format!("edit {}/flux/nas.patch.yaml", local.overlay);
    let is_below = |path: &str, other: &str| path == other || path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    for path in [library, database] {
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains("__") {
            return Outcome::Fail(Problem::new(format!("{path:?} is no absolute path of yours"), edit));
        }
    }
    if is_below(database, library) || is_below(library, database) {
        return Outcome::Fail(Problem::new(
            format!(
                "the database ({database}) and the photos ({library}) share a directory; the database belongs on the node's own disk"
            ),
            edit,
        ));
    }
    if library.matches('/').count() < 2 {
        return Outcome::Fail(Problem::new(
            format!(
                "{library} is at the top of the node's disk: wanted a directory below the mount point, which exists on the NAS only"
            ),
            edit,
        ));
    }
    match &local.mount {
        Some((fstype, source)) if is_own_disk(fstype) => {
            let above = library.rsplit_once('/').map_or("/", |(above, _)| above);
            Outcome::Fail(Problem::new(
                format!("{library} is on {fstype} {source}: the NAS is not mounted on this node"),
                format!("sudo mount {above} && findmnt -T {library}"),
            ))
        }
        Some((fstype, source)) => Outcome::Pass(format!("{library} is on {fstype} {source}")),
        None => Outcome::Pass(format!("{library}, {database}")),
    }
}

pub(super) fn storage(evidence: &Evidence) -> Outcome {
    let local = look!(evidence);
    let default = "storageclass.kubernetes.io/is-default-class";
    let classes: Vec<_> = evidence.all("StorageClass").collect();
    let is_there = |wanted: &String| {
        classes.iter().any(|class| {
            if wanted.is_empty() {
                class["metadata"]["annotations"][default] == "true"
            } else {
                class["metadata"]["name"] == wanted.as_str()
            }
        })
    };
    match local.storage_classes.iter().find(|wanted| !is_there(wanted)) {
        _ if evidence.unreadable.contains_key("StorageClass") => Outcome::Skip("StorageClasses could not be listed".to_owned()),
        None => Outcome::Pass(format!("{} wanted, {} there", local.storage_classes.len(), classes.len())),
        Some(wanted) => {
            let name = if wanted.is_empty() { "a default StorageClass".to_owned() } else { format!("the StorageClass {wanted}") };
            Outcome::Fail(Problem::new(
                format!("a volume asks for {name}, and the cluster has none"),
                "kubectl get storageclass   # docs/components.md",
            ))
        }
    }
}

pub(super) fn namespaces(evidence: &Evidence) -> Outcome {
    let missing: Vec<_> =
        ["immich", "immich-edge"].into_iter().filter(|name| evidence.get("Namespace", "", name).is_none()).collect();
    if missing.is_empty() {
        return Outcome::Pass(String::new());
    }
    Outcome::Fail(Problem::new(
        format!("not there yet: {}", missing.join(", ")),
        "kubectl apply -f apps/media/immich/namespace.yaml -f apps/networking/immich-edge/namespace.yaml",
    ))
}

/// A check of a Secret for the internet: the first photo at home needs none.
fn later(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Fail(problem) => Outcome::Warn(problem),
        other => other,
    }
}

pub(super) fn tunnel(evidence: &Evidence) -> Outcome {
    later(super::secrets::tunnel(evidence))
}

pub(super) fn edge(evidence: &Evidence) -> Outcome {
    later(super::secrets::edge(evidence))
}
