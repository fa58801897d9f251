//! A container of a pod enters, the OCI configuration that kubelet and containerd make of it leaves.
//!
//! Sources: the Kubernetes API reference of `PodSpec`, the OCI runtime specification 1.0, containerd's default spec for Linux. A container
//! has namespaces of its own here, where a pod's containers share network and IPC.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fields::Fields;
use testkit::image::Image;

/// What containerd gives to a container that drops nothing.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// For `RuntimeDefault`: calls that the profiles of containerd and of podman both refuse to a container without capabilities. Theirs list
/// what is allowed instead, and differ with the runtime's version.
const REFUSED_CALLS: [&str; 18] = [
    "add_key",
    "bpf",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "init_module",
    "kexec_load",
    "keyctl",
    "mount",
    "move_mount",
    "open_tree",
    "pivot_root",
    "reboot",
    "request_key",
    "setns",
    "umount2",
    "unshare",
];

/// What every key of every Secret holds.
pub(crate) const SECRET: &str = "example";

/// Where a pod is, on the node.
pub(crate) struct Place {
    /// The node's root directory: what a `hostPath` is below.
    pub node: PathBuf,
    /// The pod's own directory, with a directory for each volume that is not on the node.
    pub pod: PathBuf,
    /// The file that the kubelet reads after the container's end.
    pub termination_log: PathBuf,
}

/// One container of a pod template, ready for `config.json`; an error where the kubelet would not start it.
pub(crate) fn config(template: &Value, container: &Value, image: &Image, place: &Place) -> Result<Value, String> {
    let mut pod = Fields::of(&template["spec"], "spec.template.spec");
    for list in ["initContainers", "containers"] {
        pod.must(list);
    }
    // Where it runs and how it ends is not the container's concern.
    for name in ["nodeSelector", "serviceAccountName", "terminationGracePeriodSeconds"] {
        pod.may(name);
    }
    for name in ["automountServiceAccountToken", "enableServiceLinks"] {
        assert_eq!(pod.must(name), false, "{name}: this test has neither tokens nor Services");
    }
    let volumes = pod.list("volumes");
    let mut pod_security = Fields::of(pod.must("securityContext"), "spec.template.spec.securityContext");
    pod.done();

    let mut fields = Fields::of(container, &format!("container {}", container["name"]));
    // Told by others, or to others: the probes are run by the stories.
    for name in ["name", "image", "ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"] {
        fields.may(name);
    }
    assert_eq!(fields.text("terminationMessagePolicy"), "FallbackToLogsOnError");
    let command = fields.texts("command");
    let args = fields.texts("args");
    let words = [if command.is_empty() { image.entrypoint.clone() } else { command }, args].concat();
    let mut env = vec![format!("PATH={}", image.path)];
    env.extend(fields.list("env").iter().map(|variable| variable_of(variable, template)));
    let mounts =
        fields.list("volumeMounts").iter().map(|mount| mount_of(mount, volumes, place)).collect::<Result<Vec<_>, _>>()?;
    let resources = resources_of(fields.must("resources"));
    let mut security = Fields::of(fields.must("securityContext"), "securityContext");
    fields.done();

    let uid = pod_security.must("runAsUser");
    let gid = pod_security.must("runAsGroup");
    if pod_security.on("runAsNonRoot") && uid == 0 {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    let seccomp = pod_security.may("seccompProfile").map(|profile| {
        assert_eq!(*profile, json!({"type": "RuntimeDefault"}));
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": [{"names": REFUSED_CALLS, "action": "SCMP_ACT_ERRNO"}]})
    });
    pod_security.done();
    // Kubernetes' default is that privileges may be gained.
    let gains_privileges = security.may("allowPrivilegeEscalation").is_none_or(|value| value == true);
    let read_only = security.on("readOnlyRootFilesystem");
    let dropped = security.may("capabilities").map_or(Vec::new(), |value| {
        let mut capabilities = Fields::of(value, "capabilities");
        let dropped = capabilities.texts("drop");
        capabilities.done();
        dropped
    });
    security.done();
    let kept = |name: &&&str| !dropped.iter().any(|drop| drop == "ALL" || format!("CAP_{drop}") == **name);
    let capabilities: Vec<_> = DEFAULT_CAPABILITIES.iter().filter(kept).collect();

    let mut all = defaults();
    all.extend(mounts);
    all.push(bind(&place.termination_log, "/dev/termination-log", "rprivate", false));
    let namespaces = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({"type": kind}));
    let mut linux = json!({
        "namespaces": namespaces,
        "resources": resources,
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if let Some(seccomp) = seccomp {
        linux["seccomp"] = seccomp;
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": "immich-server",
        "root": {"path": image.root, "readonly": read_only},
        "process": {
            "user": {"uid": uid, "gid": gid},
            "cwd": "/",
            "args": words,
            "env": env,
            "noNewPrivileges": !gains_privileges,
            // A program of another user than root gets none of them, whatever may be gained.
            "capabilities": {"bounding": capabilities},
        },
        "mounts": all,
        "linux": linux,
    }))
}

/// `NAME=value`.
fn variable_of(variable: &Value, template: &Value) -> String {
    let mut fields = Fields::of(variable, "env");
    let name = fields.text("name");
    let value = fields.may("value").map(|value| value.as_str().expect("a text"));
    let value = fields.may("valueFrom").map_or(value, |from| {
        let mut from = Fields::of(from, name);
        let mut field = Fields::of(from.must("fieldRef"), name);
        let path = field.text("fieldPath");
        // Written by the API server where a manifest leaves it out, and by some renderers.
        field.may("apiVersion");
        field.done();
        from.done();
        let key = path.strip_prefix("metadata.annotations['").and_then(|rest| rest.strip_suffix("']"));
        let key = key.unwrap_or_else(|| panic!("{name}: this test does not know the field {path}"));
        template["metadata"]["annotations"][key].as_str()
    });
    fields.done();
    format!("{name}={}", value.unwrap_or_default())
}

/// A bind mount, with the directory that it comes from made as the kubelet makes it.
fn mount_of(mount: &Value, volumes: &[Value], place: &Place) -> Result<Value, String> {
    let mut fields = Fields::of(mount, "volumeMounts");
    let name = fields.text("name");
    let to = fields.text("mountPath");
    let read_only = fields.on("readOnly");
    let propagation = match fields.may("mountPropagation").map_or("None", |value| value.as_str().expect("a text")) {
        "None" => "rprivate",
        "HostToContainer" => "rslave",
        other => panic!("{name}: a mountPropagation of {other}"),
    };
    fields.done();
    let volume = volumes.iter().find(|volume| volume["name"] == name);
    let from = source_of(volume.unwrap_or_else(|| panic!("no volume {name}")), name, place)?;
    Ok(bind(&from, to, propagation, read_only))
}

fn source_of(volume: &Value, name: &str, place: &Place) -> Result<PathBuf, String> {
    let mut fields = Fields::of(volume, "volumes");
    fields.text("name");
    let own = place.pod.join(name);
    let from = if let Some(on_node) = fields.may("hostPath") {
        let mut on_node = Fields::of(on_node, name);
        let path = on_node.text("path");
        let from = place.node.join(path.trim_start_matches('/'));
        assert_eq!(on_node.text("type"), "Directory", "{name}: another type would let the kubelet make what is missing");
        on_node.done();
        if !from.is_dir() {
            return Err(format!("hostPath type check failed: {path} is not a directory"));
        }
        from
    } else if let Some(empty) = fields.may("emptyDir") {
        let mut empty = Fields::of(empty, name);
        // Not a limit of the file system: the kubelet evicts for it.
        empty.may("sizeLimit");
        empty.done();
        own
    } else {
        let mut secret = Fields::of(fields.must("secret"), name);
        secret.text("secretName");
        for item in secret.list("items") {
            let mut item = Fields::of(item, name);
            item.text("key");
            std::fs::write(own.join(item.text("path")), SECRET).unwrap();
            item.done();
        }
        secret.done();
        own
    };
    fields.done();
    Ok(from)
}

fn bind(from: &Path, to: &str, propagation: &str, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", propagation, access]})
}

/// The mounts of every container.
fn defaults() -> Vec<Value> {
    let mount =
        |to: &str, kind: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": kind, "options": options});
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ]
}

/// The cgroup's limits: memory in bytes, and CPU as its share of 1024 a core.
fn resources_of(resources: &Value) -> Value {
    let mut fields = Fields::of(resources, "resources");
    let mut requests = Fields::of(fields.must("requests"), "requests");
    let mut limits = Fields::of(fields.must("limits"), "limits");
    fields.done();
    let cpu = requests.text("cpu");
    // It schedules; only the limit is enforced.
    requests.may("memory");
    requests.done();
    let memory = limits.text("memory");
    limits.done();
    let millis: u64 = cpu.strip_suffix('m').expect("thousandths of a core").parse().unwrap();
    let (number, unit) = memory.split_at(memory.len() - 2);
    let unit: u64 = match unit {
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => panic!("memory: {memory}"),
    };
    json!({"memory": {"limit": number.parse::<u64>().unwrap() * unit}, "cpu": {"shares": (millis * 1024 / 1000).max(2)}})
}
