//! Checks of the pods: there, with a node, an image and a healthy container. The last lines of a log tell one cause from another.

use serde_json::Value;

use crate::doctor::evidence::Evidence;
use crate::doctor::graph::{Outcome, Problem};

/// What a home consists of.
pub(super) const WORKLOADS: [(&str, &str); 6] = [
    ("immich", "immich-postgres"),
    ("immich", "immich-redis"),
    ("immich", "immich-machine-learning"),
    ("immich", "immich-server"),
    ("immich-edge", "immich-origin-proxy"),
    ("immich-edge", "cloudflared"),
];

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

pub(super) fn present(evidence: &Evidence) -> Outcome {
    let missing: Vec<_> = WORKLOADS
        .iter()
        .filter(|(namespace, name)| evidence.get("Deployment", namespace, name).is_none())
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Outcome::Pass(format!("{} deployments", WORKLOADS.len()));
    }
    Outcome::Fail(Problem::new(
        format!("missing: {}", missing.join(", ")),
        "kubectl apply -k clusters/home.local/flux   # or, without Flux: kubectl apply -k clusters/home.local",
    ))
}

/// The policies beside those that have the name of a workload.
const POLICIES: [(&str, &str); 4] =
    [("immich", "default-deny"), ("immich", "dns"), ("immich-edge", "default-deny"), ("immich-edge", "dns")];

pub(super) fn policies(evidence: &Evidence) -> Outcome {
    if let Some(reason) = evidence.unreadable.get("NetworkPolicy") {
        return Outcome::Skip(format!("network policies cannot be listed with this kubeconfig: {reason}"));
    }
    let wanted = POLICIES.iter().chain(&WORKLOADS);
    let missing: Vec<_> = wanted
        .filter(|(namespace, name)| evidence.get("NetworkPolicy", namespace, name).is_none())
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    if missing.is_empty() {
        return Outcome::Pass(format!("{} policies", evidence.all("NetworkPolicy").count()));
    }
    let what = if missing.iter().any(|name| name.ends_with("/default-deny")) {
        "every pod may talk to every other one"
    } else {
        "default-deny stops what only they allow"
    };
    Outcome::Fail(Problem::new(
        format!("network policies are missing: {}: {what}", missing.join(", ")),
        "flux reconcile kustomization home   # or, without Flux: kubectl apply -k clusters/home.local",
    ))
}

pub(super) fn images(evidence: &Evidence) -> Outcome {
    for (namespace, workload) in WORKLOADS {
        for pod in evidence.pods_of(namespace, workload) {
            for status in statuses(pod) {
                let reason = status["state"]["waiting"]["reason"].as_str().unwrap_or_default();
                if !matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull") {
                    continue;
                }
                let image = status["image"].as_str().unwrap_or_default();
                if image.contains(&"0".repeat(64)) {
                    return Outcome::Fail(Problem::new(
                        format!("{image}: a digest of zeros means that the image is not published yet"),
                        "guardctl image load --node NODE   # without a registry; with one: make image-publish IMAGE=REGISTRY/guard; then apply or commit (docs/image.md)",
                    ));
                }
                return Outcome::Fail(Problem::new(
                    format!(
                        "{workload} cannot pull {image}: {}",
                        status["state"]["waiting"]["message"].as_str().unwrap_or(reason)
                    ),
                    format!(
                        "kubectl -n {namespace} describe pod {} | tail -5   # the registry, the name, or a pull secret (docs/image.md)",
                        name(pod)
                    ),
                ));
            }
        }
    }
    Outcome::Pass(String::new())
}

pub(super) fn scheduled(evidence: &Evidence) -> Outcome {
    for (namespace, workload) in WORKLOADS {
        for pod in evidence.pods_of(namespace, workload) {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            let condition = conditions.into_iter().find(|it| it["type"] == "PodScheduled" && it["status"] == "False");
            if let Some(condition) = condition {
                let message = condition["message"].as_str().unwrap_or_default();
                let wanted = pod["spec"]["nodeSelector"]["kubernetes.io/hostname"].as_str().unwrap_or_default();
                let fix = if message.contains("Insufficient") {
                    format!(
                        "kubectl -n {namespace} describe pod {} | tail -3   # the node has too little memory or CPU",
                        name(pod)
                    )
                } else {
                    "kubectl get nodes   # put the right name into kubernetes.io/hostname of clusters/home.local/flux/nas.patch.yaml".to_owned()
                };
                return Outcome::Fail(Problem::new(format!("{workload} has no node (wanted {wanted:?}): {message}"), fix));
            }
        }
    }
    Outcome::Pass(String::new())
}

/// The log lines of a workload's containers that have trouble.
fn log(evidence: &Evidence, namespace: &str, workload: &str) -> String {
    let pods: Vec<_> = evidence.pods_of(namespace, workload).map(name).collect();
    let logs = evidence.logs.iter().filter(|(container, _)| pods.iter().any(|pod| container.starts_with(&format!("{pod}/"))));
    logs.map(|(_, log)| log.as_str()).collect::<Vec<_>>().join("\n")
}

fn line<'l>(log: &'l str, words: &[&str]) -> Option<&'l str> {
    log.lines().find(|line| words.iter().any(|word| line.contains(word)))
}

pub(super) fn database_data(evidence: &Evidence) -> Outcome {
    let log = log(evidence, "immich", "immich-postgres");
    let words = [
        "database files are incompatible with server",
        "data in:",
        "pg_upgrade",
        "The data directory was initialized by PostgreSQL version",
    ];
    match line(&log, &words) {
        None => Outcome::Pass(String::new()),
        Some(line) => Outcome::Fail(Problem::new(
            format!("the data directory is of another major version: {line}"),
            "docs/upgrades.md#postgresql-14-to-18   # nothing is lost: the old image reads it",
        )),
    }
}

pub(super) fn database_preload(evidence: &Evidence) -> Outcome {
    let log = log(evidence, "immich", "immich-postgres") + &log(evidence, "immich", "immich-server");
    match line(&log, &["must be loaded via shared_preload_libraries"]) {
        None => Outcome::Pass(String::new()),
        Some(line) => Outcome::Fail(Problem::new(
            line,
            "kubectl -n immich exec deploy/immich-postgres -- psql -U immich -c 'ALTER SYSTEM RESET shared_preload_libraries' && \
             kubectl -n immich rollout restart deploy/immich-postgres",
        )),
    }
}

pub(super) fn database_indexes(evidence: &Evidence) -> Outcome {
    let log = log(evidence, "immich", "immich-server");
    match line(&log, &["bad version number"]) {
        None => Outcome::Pass(String::new()),
        Some(line) => Outcome::Fail(Problem::new(
            line,
            "kubectl -n immich exec deploy/immich-postgres -- psql -U immich -d immich -c 'REINDEX INDEX face_index' -c 'REINDEX INDEX clip_index'",
        )),
    }
}

pub(super) fn database_login(evidence: &Evidence) -> Outcome {
    let log = log(evidence, "immich", "immich-server");
    match line(&log, &["password authentication failed", "must be owner of", "permission denied for schema"]) {
        None => Outcome::Pass(String::new()),
        Some(line) if line.contains("password") => Outcome::Fail(Problem::new(
            line,
            "kubectl -n immich exec -i deploy/immich-postgres -- psql -U immich -c \"ALTER USER immich PASSWORD '$(kubectl -n immich get secret \
             immich-postgres -o go-template='{{.data.POSTGRES_PASSWORD|base64decode}}')'\"",
        )),
        Some(line) => Outcome::Fail(Problem::new(
            line,
            // Not `REASSIGN OWNED`: a role that has owned the cluster since initdb cannot give it away.
            "kubectl -n immich exec deploy/immich-postgres -- psql -U postgres -d immich -c 'ALTER ROLE immich SUPERUSER'   # as in a new home: docs/migrate.md",
        )),
    }
}

pub(super) fn database_disk(evidence: &Evidence) -> Outcome {
    let log = log(evidence, "immich", "immich-postgres");
    match line(&log, &["No space left on device"]) {
        None => Outcome::Pass(String::new()),
        Some(line) => Outcome::Fail(Problem::new(
            line,
            format!(
                "on {}: df -h /srv /var/lib   # make room on the disk of the database; images that nobody uses: crictl rmi --prune",
                evidence
                    .pods_of("immich", "immich-postgres")
                    .next()
                    .and_then(|pod| pod["spec"]["nodeName"].as_str())
                    .unwrap_or("the node")
            ),
        )),
    }
}

/// The values that only the example and the base have.
const LEFT: [&str; 4] =
    ["__NAS_LIBRARY_PATH__", "__POSTGRES_DATA_PATH__", "node.example.com", "00000000-0000-4000-8000-000000000000"];

pub(super) fn placeholders(evidence: &Evidence) -> Outcome {
    let found = evidence.all("Deployment").find_map(|deployment| {
        let text = deployment["spec"]["template"].to_string();
        Some((LEFT.iter().find(|left| text.contains(**left))?, deployment["metadata"]["name"].as_str().unwrap_or_default()))
    });
    match found {
        None => Outcome::Pass(String::new()),
        Some((left, name)) => Outcome::Fail(Problem::new(
            format!("{name} still has {left}, which stands for a value of yours"),
            if evidence.get("Kustomization", "flux-system", "home").is_some() {
                "guardctl lint clusters/home.local/flux && kubectl apply -k clusters/home.local/flux"
            } else {
                "guardctl lint clusters/home.local && kubectl apply -k clusters/home.local"
            },
        )),
    }
}

/// What containerd and runc say when the program to start is not in the image.
const NO_PROGRAM: [&str; 3] = ["executable file not found", "no such file or directory: unknown", "exec format error"];

pub(super) fn entry_point(evidence: &Evidence) -> Outcome {
    for (namespace, workload) in WORKLOADS {
        for pod in evidence.pods_of(namespace, workload) {
            for status in statuses(pod) {
                let ended = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
                let code = ended.iter().find_map(|ended| ended["exitCode"].as_i64()).filter(|_| status["ready"] != true);
                let mut messages = ended.iter().map(|ended| &ended["message"]).chain([&status["state"]["waiting"]["message"]]);
                let says =
                    messages.find_map(|message| message.as_str().filter(|text| NO_PROGRAM.iter().any(|it| text.contains(it))));
                if !matches!(code, Some(126 | 127)) && says.is_none() {
                    continue;
                }
                let container = status["name"].as_str().unwrap_or_default();
                let found = says.map_or_else(|| format!("exit code {}", code.unwrap_or_default()), str::to_owned);
                return Outcome::Fail(Problem::new(
                    format!("{workload}, container {container}: the image has no program as its manifest names it: {found}"),
                    "compare `command:` in apps/media/immich/deployment.yaml with the entry point of the image \
                     (docs/upgrades.md), or take the image of the last commit: git revert",
                ));
            }
        }
    }
    Outcome::Pass(String::new())
}

/// Whether a workload has a ready pod; else its last words.
pub(super) fn runs(evidence: &Evidence, namespace: &str, workload: &str) -> Outcome {
    let Some(deployment) = evidence.get("Deployment", namespace, workload) else {
        return Outcome::Skip(format!("there is no {workload}"));
    };
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
    if wanted == 0 {
        return Outcome::Fail(Problem::new(
            format!("{workload} is scaled to 0"),
            format!("kubectl -n {namespace} scale deploy/{workload} --replicas=1   # with Flux: flux resume kustomization home"),
        ));
    }
    if ready >= 1 {
        return Outcome::Pass(format!("{ready} of {wanted} ready"));
    }
    let Some(pod) = evidence.pods_of(namespace, workload).next() else {
        return Outcome::Fail(Problem::new(
            format!("{workload} has no pod"),
            format!("kubectl -n {namespace} describe deploy/{workload} | tail -8"),
        ));
    };
    let status = statuses(pod).find(|status| status["ready"] != true && status["state"]["running"].is_null());
    let say = status.map_or_else(
        || "its readiness probe fails".to_owned(),
        |status| {
            let waiting = &status["state"]["waiting"];
            let ended = if status["lastState"]["terminated"].is_null() {
                &status["state"]["terminated"]
            } else {
                &status["lastState"]["terminated"]
            };
            let mut say = waiting["reason"].as_str().or_else(|| ended["reason"].as_str()).unwrap_or("waits").to_owned();
            if let Some(message) = waiting["message"].as_str().filter(|_| ended.is_null()) {
                say.push_str(": ");
                say.push_str(message);
            }
            if let Some(code) = ended["exitCode"].as_i64() {
                say.push_str(", exit code ");
                say.push_str(&code.to_string());
            }
            say
        },
    );
    let log = log(evidence, namespace, workload);
    let last =
        log.lines().rev().find(|line| !line.trim().is_empty()).map(|line| format!("; its last line: {line}")).unwrap_or_default();
    Outcome::Fail(Problem::new(
        format!("{workload}: {say}{last}"),
        format!(
            "kubectl -n {namespace} logs deploy/{workload} --all-containers --tail=40; kubectl -n {namespace} describe pod {} | tail -10",
            name(pod)
        ),
    ))
}

pub(super) fn database(evidence: &Evidence) -> Outcome {
    runs(evidence, "immich", "immich-postgres")
}

pub(super) fn cache(evidence: &Evidence) -> Outcome {
    runs(evidence, "immich", "immich-redis")
}

pub(super) fn server(evidence: &Evidence) -> Outcome {
    runs(evidence, "immich", "immich-server")
}

pub(super) fn machine_learning(evidence: &Evidence) -> Outcome {
    match runs(evidence, "immich", "immich-machine-learning") {
        // Photos work without it.
        Outcome::Fail(problem) => Outcome::Warn(problem),
        other => other,
    }
}
