//! Checks of Flux. Without Flux, they do not apply.

use serde_json::Value;

use crate::doctor::evidence::Evidence;
use crate::doctor::graph::{Outcome, Problem};

fn no_flux() -> Outcome {
    Outcome::Skip("Flux does not manage this home".to_owned())
}

fn ready(object: &Value) -> Option<&Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")
}

fn message(object: &Value) -> String {
    ready(object).and_then(|ready| ready["message"].as_str()).unwrap_or("no status yet").to_owned()
}

pub(super) fn source(evidence: &Evidence) -> Outcome {
    let Some(source) = evidence.get("GitRepository", "flux-system", "home") else { return no_flux() };
    match ready(source).map(|ready| ready["status"] == "True") {
        Some(true) => Outcome::Pass(source["status"]["artifact"]["revision"].as_str().unwrap_or_default().to_owned()),
        _ => Outcome::Fail(Problem::new(
            format!("{}: {}", source["spec"]["url"].as_str().unwrap_or_default(), message(source)),
            "flux reconcile source git home   # after the URL in clusters/home/flux/source.yaml, the network, or the deploy key is right",
        )),
    }
}

pub(super) fn suspended(evidence: &Evidence) -> Outcome {
    let objects = [("GitRepository", "source git"), ("Kustomization", "kustomization")];
    let mut found = objects.iter().filter_map(|(kind, word)| Some((evidence.get(kind, "flux-system", "home")?, word))).peekable();
    if found.peek().is_none() {
        return no_flux();
    }
    match found.find(|(object, _)| object["spec"]["suspend"] == true) {
        None => Outcome::Pass(String::new()),
        Some((_, word)) => Outcome::Fail(Problem::new(
            "Flux is suspended: commits have no effect".to_owned(),
            if *word == "kustomization" { "flux resume kustomization home" } else { "flux resume source git home" },
        )),
    }
}

pub(super) fn applied(evidence: &Evidence) -> Outcome {
    let Some(home) = evidence.get("Kustomization", "flux-system", "home") else { return no_flux() };
    let fetched =
        evidence.get("GitRepository", "flux-system", "home").and_then(|source| source["status"]["artifact"]["revision"].as_str());
    let applied = home["status"]["lastAppliedRevision"].as_str();
    let is_waiting = ["HealthCheckFailed", "Progressing", "DependencyNotReady"]
        .iter()
        .any(|reason| ready(home).is_some_and(|ready| ready["reason"] == **reason));
    match ready(home).map(|ready| ready["status"] == "True") {
        Some(true) if fetched.is_some() && fetched != applied => Outcome::Warn(Problem::new(
            format!("fetched {}, applied {}", fetched.unwrap_or_default(), applied.unwrap_or("nothing")),
            "flux reconcile kustomization home",
        )),
        Some(true) => Outcome::Pass(applied.unwrap_or_default().to_owned()),
        // What is applied and does not become ready has a cause of its own, among the pods.
        _ if is_waiting => Outcome::Pass(format!("applied, not ready yet: {}", message(home))),
        // The cluster's own policy refuses a value that was not filled in, and says so.
        _ if message(home).contains("immich-placeholders") => Outcome::Fail(Problem::new(
            message(home),
            "guardctl lint clusters/home.local/flux   # fill in what it names, then: kubectl apply -k clusters/home.local/flux",
        )),
        _ => Outcome::Fail(Problem::new(
            message(home),
            "flux events --for Kustomization/home   # correct what it names, commit, push",
        )),
    }
}

pub(super) fn head(evidence: &Evidence) -> Outcome {
    let Some(source) = evidence.get("GitRepository", "flux-system", "home") else { return no_flux() };
    let fetched = source["status"]["artifact"]["revision"].as_str().unwrap_or_default();
    match &evidence.head {
        None => Outcome::Skip("this folder is no clone of the home's repository".to_owned()),
        Some(head) if fetched.ends_with(head.as_str()) => Outcome::Pass(head.clone()),
        Some(head) => Outcome::Warn(Problem::new(
            format!("this clone is at {}, and Flux has fetched {fetched}", head.get(..12).unwrap_or(head)),
            "git push && flux reconcile source git home   # or, if this clone is behind: git pull",
        )),
    }
}
