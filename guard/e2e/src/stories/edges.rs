//! Stories about objects that the API server refuses.

use std::fs;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::World;
use crate::flux::{self, message, ready};
use crate::objects::title;

/// A pod with which an attacker in the namespace immich-edge could read the disk of the node.
const NODE_READER: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: node-reader, namespace: immich-edge}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: reader
      image: guard
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: node, mountPath: /node}]
  volumes: [{name: node, hostPath: {path: /}}]
";

/// A mistyped volume name in the patch leaves a placeholder. The admission policy refuses the object and names the placeholder.
pub(super) async fn missed_placeholder(world: &mut World) -> Result<String> {
    let patch = "clusters/home.local/flux/nas.patch.yaml";
    world.repo.edit(patch, "- name: library", "- name: libary")?;
    world.apply("clusters/home.local/flux")?;
    let commit = world.repo.commit("Nothing new")?;
    let status = flux::reconcile(world, &commit).await?;
    ensure!(ready(&status) == "False", "Flux applied it, wanted a refusal: {}", message(&status));
    for wanted in ["/__NAS_LIBRARY_PATH__", "nas.patch.yaml"] {
        ensure!(message(&status).contains(wanted), "the status does not contain {wanted}: {}", message(&status));
    }
    match world.apply("clusters/home.local") {
        Ok(said) => bail!("kubectl applied it, wanted a refusal: {said}"),
        Err(error) => ensure!(error.to_string().contains("/__NAS_LIBRARY_PATH__"), "refused for another reason: {error}"),
    }

    world.repo.edit(patch, "- name: libary", "- name: library")?;
    world.apply("clusters/home.local/flux")?;
    let commit = world.repo.commit("Nothing new")?;
    world.applied(&commit).await?;
    world.as_rendered().await?;
    Ok("by Flux and by kubectl".to_owned())
}

/// The namespace immich-edge enforces the pod security level `restricted`.
pub(super) async fn pod_security(world: &mut World) -> Result<String> {
    match world.cluster.kubectl_stdin(&["apply", "-f", "-"], NODE_READER) {
        Ok(said) => bail!("a pod with a hostPath was accepted, wanted a refusal: {said}"),
        Err(error) => ensure!(error.to_string().contains("violates PodSecurity"), "refused for another reason: {error}"),
    }
    let pods = world.finder.all("v1", "Pod").await?;
    let ours = pods.iter().filter(|pod| pod.metadata.namespace.as_deref() == Some("immich-edge")).count();
    ensure!(ours == 2, "found {ours} pods in immich-edge, wanted two: guard and cloudflared");
    Ok("a pod with hostPath is refused, guard and cloudflared are accepted".to_owned())
}

/// In the namespace immich, where hostPath is allowed, only the server, the database and the backup may have one.
pub(super) async fn hostpaths(world: &mut World) -> Result<String> {
    let reader = NODE_READER.replace("namespace: immich-edge", "namespace: immich");
    let as_server = reader.replace("spec:\n  security", "spec:\n  serviceAccountName: immich-server\n  security");
    for (pod, account) in [(&reader, "default"), (&as_server, "immich-server")] {
        match world.cluster.kubectl_stdin(&["apply", "-f", "-"], pod) {
            Ok(said) => bail!("a pod of {account} with a hostPath was accepted, wanted a refusal: {said}"),
            Err(error) => ensure!(
                error.to_string().contains(&format!("a pod of the service account {account} may not mount directories")),
                "refused for another reason: {error}"
            ),
        }
    }
    Ok("a pod with another hostPath than that of its service account is refused".to_owned())
}

/// The quota refuses a second `NodePort` and any `LoadBalancer`.
pub(super) async fn quota(world: &mut World) -> Result<String> {
    for namespace in ["immich", "immich-edge"] {
        for kind in ["nodeport", "loadbalancer"] {
            match world.cluster.kubectl(&["-n", namespace, "create", "service", kind, "second", "--tcp=80"]) {
                Ok(said) => bail!("{namespace}: a second {kind} was accepted, wanted a refusal: {said}"),
                Err(error) => {
                    ensure!(
                        error.to_string().contains("exceeded quota: ways-in"),
                        "{namespace}, {kind}: refused for another reason: {error}"
                    );
                }
            }
        }
    }
    Ok("NodePort and LoadBalancer, in both namespaces".to_owned())
}

/// A server-side dry run (defaults, validation, admission, pod security) gives no warning, except for hostPath.
pub(super) async fn warnings(world: &mut World) -> Result<String> {
    let rendered = world.rendered()?;
    let total = rendered.len();
    let (on_the_node, clean): (Vec<Value>, Vec<Value>) = rendered.into_iter().partition(|object| {
        let template = ["/spec", "/spec/jobTemplate/spec"].into_iter().find_map(|at| object.pointer(at)?.get("template"));
        let volumes = template.and_then(|template| template.pointer("/spec/volumes")).and_then(Value::as_array);
        volumes.is_some_and(|volumes| volumes.iter().any(|volume| volume.get("hostPath").is_some()))
    });
    for kind in ["NetworkPolicy", "ResourceQuota", "Service", "ServiceAccount"] {
        ensure!(clean.iter().any(|object| object["kind"] == kind), "found no {kind} among the objects, wanted at least one");
    }
    let said = dry_run(world, &clean)?;
    ensure!(said.is_empty(), "{said}");
    // Some objects need a disk of the node: pod security warns about that, and about nothing else.
    for object in &on_the_node {
        let said = dry_run(world, std::slice::from_ref(object))?;
        let only = said.lines().count() == 1 && said.contains("restricted volume types") && !said.contains("), ");
        ensure!(only, "{}: {said}", title(object));
    }
    // A dry run does not check the range of NodePorts. The NodePort of Immich exists, so it is in the range; a port outside is refused.
    let outside = ["-n", "default", "create", "service", "nodeport", "outside", "--tcp=2283", "--node-port=2283"];
    match world.cluster.kubectl(&outside) {
        Ok(said) => bail!("the NodePort 2283 was accepted, wanted a refusal: {said}"),
        Err(error) => ensure!(error.to_string().contains("not in the valid range"), "refused for another reason: {error}"),
    }
    Ok(format!("{total} objects, {} with hostPath", on_the_node.len()))
}

/// Runs a server-side dry run and returns the warnings of the API server.
fn dry_run(world: &World, objects: &[Value]) -> Result<String> {
    let file = world.dir.join("dry-run.json");
    fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
    let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f"];
    let output = world.cluster.command().args(arguments).arg(file).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

/// No service account has permissions in the cluster, so an attacker in a pod gets none.
pub(super) async fn rbac(world: &mut World) -> Result<String> {
    let account = |object: &Value| {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        format!("system:serviceaccount:{}:{}", text("namespace"), text("name"))
    };
    let accounts: Vec<String> =
        world.rendered()?.iter().filter(|object| object["kind"] == "ServiceAccount").map(account).collect();
    ensure!(accounts.len() == 6, "found {accounts:?}, wanted six service accounts");
    for account in &accounts {
        for (verb, what) in [("get", "secrets"), ("list", "pods"), ("create", "pods/exec"), ("patch", "deployments.apps")] {
            let output = world.cluster.command().args(["auth", "can-i", verb, what, "-n", "immich", "--as", account]).output()?;
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            ensure!(said == "no", "{account} may {verb} {what}, wanted no permission: {said}");
        }
    }
    Ok(format!("{} accounts", accounts.len()))
}
