//! Checks of the NAS, by what `guard nas` wrote into the termination messages, and by the pod's events.

use serde_json::Value;

use crate::doctor::evidence::Evidence;
use crate::doctor::graph::{Outcome, Problem};

fn server(evidence: &Evidence) -> Option<&Value> {
    evidence.pods_of("immich", "immich-server").next()
}

fn node(pod: &Value) -> String {
    pod["spec"]["nodeName"]
        .as_str()
        .or_else(|| pod["spec"]["nodeSelector"]["kubernetes.io/hostname"].as_str())
        .unwrap_or("the node")
        .to_owned()
}

/// The directory of the photos on the node.
fn path(pod: &Value) -> String {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let library = volumes.into_iter().find(|volume| volume["name"] == "library");
    library.and_then(|volume| volume["hostPath"]["path"].as_str()).unwrap_or("/mnt/nas/immich").to_owned()
}

/// The mount point above the directory of the photos, by its form.
fn mount_point(path: &str) -> String {
    path.rsplit_once('/').map(|(above, _)| above.to_owned()).filter(|above| !above.is_empty()).unwrap_or_else(|| path.to_owned())
}

/// The state of the pod's containers, the last and the one before.
fn states(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
        .flat_map(|status| [&status["state"], &status["lastState"]])
}

/// Whether a container of the pod has started: then its volumes were there, and what events say of them is over.
fn has_started(pod: &Value) -> bool {
    states(pod).any(|state| state["running"].is_object() || state["terminated"].is_object())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

pub(super) fn directory(evidence: &Evidence) -> Outcome {
    let Some(pod) = server(evidence) else { return Outcome::Skip("there is no pod of the server".to_owned()) };
    let (node, path) = (node(pod), path(pod));
    if has_started(pod) {
        return Outcome::Pass(String::new());
    }
    match evidence.warnings(pod).find(|message| message.contains("hostPath type check failed")) {
        None => Outcome::Pass(String::new()),
        Some(message) => Outcome::Fail(Problem::new(
            format!("on {node}: {}", message.trim_start_matches("MountVolume.SetUp failed for volume \"library\" : ")),
            format!("on {node}: sudo mount {} && ls -d {path}   # the pod starts by itself", mount_point(&path)),
        )),
    }
}

pub(super) fn hangs(evidence: &Evidence) -> Outcome {
    let Some(pod) = server(evidence) else { return Outcome::Skip("there is no pod of the server".to_owned()) };
    let (node, path) = (node(pod), path(pod));
    // Events outlive what they tell by an hour.
    if is_ready(pod) {
        return Outcome::Pass(String::new());
    }
    let waiting = states(pod).filter_map(|state| state["waiting"]["message"].as_str());
    let stale = waiting
        .chain(evidence.warnings(pod))
        .find(|message| message.contains("stale NFS file handle") || message.contains("stale file handle"));
    if let Some(message) = stale {
        return Outcome::Fail(Problem::new(
            format!("on {node}: the mount of {path} is stale: {message}"),
            format!("on {node}: sudo umount -l {0} && sudo mount {0}", mount_point(&path)),
        ));
    }
    let hung = evidence
        .warnings(pod)
        .find(|message| message.contains("timed out waiting for the condition") || message.contains("context deadline exceeded"));
    match hung.filter(|message| message.contains("library") || message.contains("unattached")) {
        None => Outcome::Pass(String::new()),
        Some(message) => Outcome::Fail(Problem::new(
            format!("on {node}: the NAS hangs while the pod is made: {message}"),
            format!("the NAS and its network first; then on {node}: timeout 5 stat {path}"),
        )),
    }
}

/// What the gate said last, in any container of the server's pod: the object behind `GUARD-JSON`, or that of a probe.
fn said(evidence: &Evidence) -> Option<(Value, Value)> {
    let pod = server(evidence)?;
    let lists = ["initContainerStatuses", "containerStatuses"];
    // One that runs well has nothing to say any more.
    let statuses = lists.iter().flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    let troubled: Vec<_> = statuses.filter(|status| status["ready"] != true).collect();
    let is_running = troubled.iter().any(|status| status["name"] == "server" && status["state"]["running"].is_object());
    // What ended a container before this one is older than what its probes say.
    if is_running && let Some(said) = probed(evidence, pod) {
        return Some((pod.clone(), said));
    }
    for status in troubled {
        for state in ["state", "lastState"] {
            let message = status[state]["terminated"]["message"].as_str().unwrap_or_default();
            if let Some(json) = message.lines().find_map(|line| line.strip_prefix("GUARD-JSON "))
                && let Ok(said) = serde_json::from_str(json)
            {
                return Some((pod.clone(), said));
            }
        }
    }
    // A gate that still waits has not ended: its log says the same.
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let logs = evidence.logs.iter().filter(|(container, _)| container.starts_with(&format!("{name}/")));
    let lines = logs.flat_map(|(_, log)| log.lines().rev());
    let said = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| line["event"] == "nas_gate");
    said.filter(|said| said["exit"].as_u64() != Some(0)).map(|said| (pod.clone(), said))
}

/// What the gate said in the newest failure of a probe: `Readiness probe failed: {"code":"NAS_HUNG",…}`.
fn probed(evidence: &Evidence, pod: &Value) -> Option<Value> {
    let is_of_pod = |event: &&Value| event["type"] == "Warning" && event["involvedObject"]["name"] == pod["metadata"]["name"];
    let failed = evidence.all("Event").filter(is_of_pod).filter_map(|event| {
        let (_, said) = event["message"].as_str()?.split_once("probe failed: ")?;
        // Times of the API are RFC 3339 in UTC: their order is that of their letters.
        Some((event["lastTimestamp"].as_str().or_else(|| event["eventTime"].as_str()).unwrap_or_default(), said))
    });
    // A program that does not answer is no matter of the NAS, so the newest failure counts, whatever it says.
    let (_, said) = failed.max_by_key(|(time, _)| *time)?;
    said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| line["event"] == "nas_gate")
}

fn code(evidence: &Evidence, exit: u64, fix: impl Fn(&str, &str, &str) -> String) -> Outcome {
    let Some((pod, said)) = said(evidence) else { return Outcome::Pass(String::new()) };
    if said["exit"].as_u64() != Some(exit) {
        return Outcome::Pass(String::new());
    }
    let (node, path) = (node(&pod), path(&pod));
    let found = said["message"].as_str().or_else(|| said["code"].as_str()).unwrap_or_default();
    let source = said["source"].as_str().unwrap_or_default();
    let fstype = said["fstype"].as_str().unwrap_or_default();
    Outcome::Fail(Problem::new(
        format!("on {node}, {path} is {fstype} {source}: {found}"),
        fix(&node, &path, &mount_point(&path)),
    ))
}

pub(super) fn missing(evidence: &Evidence) -> Outcome {
    code(evidence, 40, |node, path, _| {
        format!("on {node}: ls -ld {path}   # correct the path in clusters/home.local/flux/nas.patch.yaml")
    })
}

pub(super) fn not_mounted(evidence: &Evidence) -> Outcome {
    code(evidence, 41, |node, _, mount| format!("on {node}: sudo mount {mount}   # the pod restarts by itself"))
}

pub(super) fn wrong_source(evidence: &Evidence) -> Outcome {
    code(evidence, 42, |node, _, mount| {
        format!("on {node}: grep {mount} /etc/fstab   # mount the right share there: sudo umount {mount} && sudo mount {mount}")
    })
}

pub(super) fn sentinel_missing(evidence: &Evidence) -> Outcome {
    code(evidence, 43, |node, path, _| {
        format!(
            "on {node}, if this is the right NAS: guard nas init --path {path}   # then its id into guard.immich/nas-id of nas.patch.yaml"
        )
    })
}

pub(super) fn sentinel_other(evidence: &Evidence) -> Outcome {
    code(evidence, 44, |node, path, mount| {
        format!("on {node}: cat {path}/.guard-nas-id; findmnt {mount}   # mount the right NAS, or put its id into nas.patch.yaml")
    })
}

pub(super) fn read_only(evidence: &Evidence) -> Outcome {
    code(evidence, 45, |node, _, mount| {
        format!("on {node}: sudo mount -o remount,rw {mount}   # and export it with rw on the NAS")
    })
}

pub(super) fn no_space(evidence: &Evidence) -> Outcome {
    code(evidence, 46, |node, path, _| format!("on {node}: df -h {path}; df -i {path}   # make room on the NAS"))
}

pub(super) fn not_writable(evidence: &Evidence) -> Outcome {
    code(evidence, 47, |node, path, _| format!("on {node}: stat -c '%u:%g %a' {path}   # the export and its owner: docs/nas.md"))
}

pub(super) fn hung(evidence: &Evidence) -> Outcome {
    code(evidence, 48, |node, path, _| format!("the NAS and its network first; then on {node}: timeout 5 ls {path}"))
}

pub(super) fn stale(evidence: &Evidence) -> Outcome {
    code(evidence, 49, |node, _, mount| format!("on {node}: sudo umount -l {mount} && sudo mount {mount}"))
}

pub(super) fn io(evidence: &Evidence) -> Outcome {
    code(evidence, 50, |node, _, _| format!("on {node}: dmesg | tail -20   # then the NAS's own log"))
}

pub(super) fn times(evidence: &Evidence) -> Outcome {
    let is_refused = |line: &&str| {
        line.contains("utime") && ["EPERM", "EACCES", "operation not permitted"].iter().any(|word| line.contains(word))
    };
    let Some(line) = evidence.server_log.lines().rev().find(is_refused) else { return Outcome::Pass(String::new()) };
    let path = server(evidence).map(path).unwrap_or_default();
    Outcome::Fail(Problem::new(
        format!("the share refuses to set the times of files, and uploads fail: {}", line.trim()),
        format!(
            "the files must belong to user 1000: mount SMB with uid=1000,gid=1000; NFS without all_squash to another user. Then: touch -d yesterday {path}/x"
        ),
    ))
}

pub(super) fn gate(evidence: &Evidence) -> Outcome {
    let Some(server) = evidence.get("Deployment", "immich", "immich-server") else {
        return Outcome::Skip("there is no server".to_owned());
    };
    let containers = server["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
    let command =
        containers.into_iter().find(|container| container["name"] == "server").map(|container| container["command"].clone());
    let words: Vec<_> =
        command.iter().flat_map(|command| command.as_array().into_iter().flatten()).filter_map(Value::as_str).collect();
    if words.windows(2).any(|words| words == ["nas", "exec"]) {
        return Outcome::Pass(String::new());
    }
    let pod = self::server(evidence);
    let (node, path) = pod.map_or_else(|| ("the node".to_owned(), "MOUNT/immich".to_owned()), |pod| (node(pod), path(pod)));
    let mount = mount_point(&path);
    Outcome::Fail(Problem::new(
        "the command of the server does not begin with `guard nas exec`: Immich would write to the node's disk without the NAS",
        format!(
            "flux reconcile kustomization home   # or, without Flux: kubectl apply -k clusters/home.local; then, whether it has, on {node}: \
             sudo guard nas strays --path {mount}"
        ),
    ))
}
