//! The sentinel on the NAS: `guard nas init`, run once on the node by a Job, as the user and on the mount that Immich will have. Without an image, the one
//! command to type is printed instead.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http::Request;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::value;

const NAMESPACE: &str = "immich";
const NAME: &str = "immich-nas-init";
/// The annotation with the place of a Job: the API server adds fields to the rest, so that it is not compared.
const PLACE: &str = "guard.immich/place";
/// The image may have to be pulled first.
const DEADLINE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(500);
/// Reasons of a waiting container that do not go away by themselves.
const FINAL: [&str; 5] =
    ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"];

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The command to type on the node instead.
pub(crate) fn command(photos: &str, source: Option<&str>) -> String {
    let source = source.map_or_else(String::new, |source| format!(" --source {}", quoted(source)));
    format!("sudo setpriv --reuid 1000 --regid 1000 --clear-groups guard nas init --path {}{source}", quoted(photos))
}

/// Where the sentinel is written, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The node.
    pub node: &'a str,
    /// The directory of the photos.
    pub photos: &'a str,
    /// What must be mounted there, as a pattern.
    pub source: Option<&'a str>,
    /// The image of guard.
    pub image: &'a str,
}

/// The Job. Its pod is as the server's: its account and its volume are the ones that the cluster lets mount a directory.
fn job(place: Place<'_>) -> Value {
    let Place { node, photos, source, image } = place;
    let env: Vec<_> = source.iter().map(|source| json!({"name": "GUARD_NAS_SOURCE", "value": source})).collect();
    let labels = json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "library"});
    let place = json!([node, photos, source, image]).to_string();
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": format!("{NAME}-"), "namespace": NAMESPACE, "labels": labels, "annotations": {PLACE: place}},
        "spec": {
            "backoffLimit": 0,
            // What an aborted run leaves goes by itself.
            "activeDeadlineSeconds": DEADLINE.as_secs(),
            "ttlSecondsAfterFinished": 60,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": "immich-server",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "init",
                        "image": image,
                        "args": ["nas", "init"],
                        "env": env,
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                        "volumeMounts": [{"name": "library", "mountPath": "/data"}],
                        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                    }],
                    "volumes": [{"name": "library", "hostPath": {"path": photos, "type": "Directory"}}],
                },
            },
        },
    })
}

/// Writes the sentinel, or reads the one that is there, and returns its id. An error says what is in the way.
pub(crate) async fn write(client: Client, place: Place<'_>) -> Result<String> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), NAMESPACE);
    let wanted: Job = serde_json::from_value(job(place))?;
    let there = jobs.list(&ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"))).await;
    let (mut usable, other): (Vec<_>, Vec<_>) =
        there.context("the Jobs cannot be read")?.items.into_iter().partition(|it| is_usable(it, &wanted));
    // Those of an aborted run. Only one of them is needed.
    for job in usable.iter().skip(1).chain(&other) {
        let _ = jobs.delete(job.metadata.name.as_deref().unwrap_or_default(), &DeleteParams::background()).await;
    }
    let made = match usable.drain(..).next() {
        Some(job) => job,
        None => jobs.create(&PostParams::default(), &wanted).await.context("the Job cannot be made")?,
    };
    let name = made.metadata.name.unwrap_or_default();
    let outcome = wait(&client, &name, place).await;
    let _ = jobs.delete(&name, &DeleteParams::background()).await;
    outcome
}

/// Whether a Job of an earlier run, which was aborted, does what this one would: at the same place, and not in vain.
fn is_usable(there: &Job, wanted: &Job) -> bool {
    let place = |job: &Job| job.metadata.annotations.as_ref().and_then(|it| it.get(PLACE).cloned());
    let status = there.status.as_ref();
    let has_failed = status.is_some_and(|it| {
        let conditions = it.conditions.iter().flatten();
        it.failed.is_some_and(|count| count > 0)
            || conditions.into_iter().any(|it| it.type_.starts_with("Fail") && it.status == "True")
    });
    place(there).is_some() && place(there) == place(wanted) && !has_failed && there.metadata.deletion_timestamp.is_none()
}

async fn wait(client: &Client, job: &str, place: Place<'_>) -> Result<String> {
    let Place { node, photos, .. } = place;
    let began = Instant::now();
    loop {
        let pods = list(client, &format!("pods?labelSelector=job-name%3D{job}")).await?;
        let events = list(client, "events").await?;
        match verdict(&pods, &events, job) {
            Verdict::Done(pod) => {
                let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/log");
                let log = client
                    .request_text(Request::get(&path).body(Vec::new())?)
                    .await
                    .context("the id cannot be read from the log of the pod")?;
                let id = log.lines().find_map(|line| value::nas_id(line.trim()).ok());
                return id.context("guard nas init printed no id");
            }
            Verdict::Failed(why) => anyhow::bail!("{why}"),
            Verdict::NoDirectory => anyhow::bail!(
                "{photos} is no directory on {node}: is the NAS mounted? On the node: findmnt -T {photos}; sudo install -d -o 1000 -g 1000 -m 750 {photos}"
            ),
            Verdict::NotYet(why) if began.elapsed() > DEADLINE => anyhow::bail!("not done after {} s: {why}", DEADLINE.as_secs()),
            Verdict::NotYet(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn list(client: &Client, what: &str) -> Result<Vec<Value>> {
    let mut found: Value =
        client.request(Request::get(format!("/api/v1/namespaces/{NAMESPACE}/{what}")).body(Vec::new())?).await?;
    Ok(match found["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The pod has ended well.
    Done(String),
    /// It cannot end well.
    Failed(String),
    /// The directory is not there.
    NoDirectory,
    NotYet(String),
}

/// What the pod of the Job and its events say.
fn verdict(pods: &[Value], events: &[Value], job: &str) -> Verdict {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |name: &str, reason: &str| {
        let is_it = |event: &&Value| event["involvedObject"]["name"] == name && event["reason"] == reason;
        events.iter().find(is_it).map(|event| text(&event["message"]))
    };
    let Some(pod) = pods.first() else {
        return of(job, "FailedCreate").map_or(Verdict::NotYet("no pod".to_owned()), Verdict::Failed);
    };
    let name = text(&pod["metadata"]["name"]);
    let state = &pod["status"]["containerStatuses"][0]["state"];
    let exit = state["terminated"]["exitCode"].as_i64();
    // The container has ended some time before its pod has.
    if pod["status"]["phase"] == "Succeeded" || exit == Some(0) {
        return Verdict::Done(name);
    }
    if let Some(code) = exit {
        let said = text(&state["terminated"]["message"]);
        // The third line is for programs.
        let said: Vec<_> = said.lines().filter(|line| !line.starts_with("GUARD-JSON")).collect();
        return Verdict::Failed(format!("guard nas init ended with {code}: {}", said.join(" ")));
    }
    if pod["status"]["phase"] == "Failed" {
        return Verdict::Failed(format!(
            "the pod {name} failed: {} {}",
            text(&pod["status"]["reason"]),
            text(&pod["status"]["message"])
        ));
    }
    if of(&name, "FailedMount").is_some_and(|message| message.contains("hostPath type check failed")) {
        return Verdict::NoDirectory;
    }
    let reason = text(&state["waiting"]["reason"]);
    if FINAL.contains(&reason.as_str()) {
        return Verdict::Failed(format!("the pod {name} does not start: {reason} {}", text(&state["waiting"]["message"])));
    }
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let unscheduled = conditions.into_iter().find(|it| it["type"] == "PodScheduled" && it["status"] == "False");
    Verdict::NotYet(unscheduled.map_or_else(|| format!("{} {reason}", text(&pod["status"]["phase"])), |it| text(&it["message"])))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use super::*;

    fn pod(status: &Value) -> Vec<Value> {
        vec![json!({"metadata": {"name": "p"}, "status": status})]
    }

    #[test]
    fn the_job_is_what_the_api_server_knows() {
        let wanted =
            job(Place { node: "home", photos: "/mnt/nas/immich", source: Some("nas.lan:/photos*"), image: "localhost/guard:1" });
        let read: Job = serde_json::from_value(wanted.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), wanted, "no field is misspelt");
    }

    #[test]
    fn only_a_job_of_the_same_place_that_has_not_failed_is_taken_over() {
        let place = Place { node: "home", photos: "/mnt/nas/immich", source: None, image: "localhost/guard:1" };
        let made = |place, status: Value| {
            let mut job = job(place);
            job["status"] = status;
            serde_json::from_value::<Job>(job).unwrap()
        };
        let wanted = made(place, json!({}));
        assert!(
            is_usable(&made(place, json!({"active": 1})), &wanted) && is_usable(&made(place, json!({"succeeded": 1})), &wanted)
        );
        assert!(!is_usable(&made(Place { photos: "/mnt/nas/other", ..place }, json!({})), &wanted));
        assert!(!is_usable(&made(place, json!({"failed": 1})), &wanted));
        let late = json!({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}]});
        assert!(!is_usable(&made(place, late), &wanted));
        let mut going = made(place, json!({}));
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-26T01:00:00Z")).unwrap();
        assert!(!is_usable(&going, &wanted));
    }

    #[test]
    fn the_pod_says_how_it_ended() {
        assert_eq!(verdict(&pod(&json!({"phase": "Succeeded"})), &[], "j"), Verdict::Done("p".to_owned()));
        let ended = json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]});
        assert_eq!(verdict(&pod(&ended), &[], "j"), Verdict::Done("p".to_owned()));
        let ended = json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 41,
            "message": "NAS_NOT_MOUNTED (41): /data is on ext4\nmount it\nGUARD-JSON {}"}}}]});
        let Verdict::Failed(why) = verdict(&pod(&ended), &[], "j") else { panic!("not failed") };
        assert!(why.contains("41: NAS_NOT_MOUNTED (41): /data is on ext4 mount it") && !why.contains("GUARD-JSON"), "{why}");
    }

    #[test]
    fn what_keeps_the_pod_from_starting_is_named() {
        let pending = json!({"phase": "Pending"});
        let event = json!({"involvedObject": {"name": "p"}, "reason": "FailedMount", "message": "hostPath type check failed: /x is not a directory"});
        assert_eq!(verdict(&pod(&pending), &[event], "j"), Verdict::NoDirectory);
        let pull = json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]});
        assert!(matches!(verdict(&pod(&pull), &[], "j"), Verdict::Failed(why) if why.contains("no such image")));
        let refused = json!({"involvedObject": {"name": "j"}, "reason": "FailedCreate", "message": "denied"});
        assert_eq!(verdict(&[], &[refused], "j"), Verdict::Failed("denied".to_owned()));
        assert!(matches!(verdict(&[], &[], "j"), Verdict::NotYet(_)));
        let creating =
            json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]});
        assert!(matches!(verdict(&pod(&creating), &[], "j"), Verdict::NotYet(_)));
    }

    #[test]
    fn a_path_reaches_the_shell_as_it_is() {
        assert!(command("/mnt/it's/x", Some("nas.lan:/p*")).ends_with(r"--path '/mnt/it'\''s/x' --source 'nas.lan:/p*'"));
        assert!(command("/mnt/nas/x", None).ends_with("--path '/mnt/nas/x'"));
    }
}
