//! A real node: containerd and a kubelet without an API server, which runs what lies in its folder of static pods.
//!
//! It has a network, a mount table and process ids of its own, and all of it ends with one process. What a static pod may not have (a
//! service account, a Secret) is taken out of the pod; everything else is what is rendered.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::home::Home;
use super::image::{self, Image};
use super::spec::SECRET;

/// A pod's start here takes some 20 s, and each failed probe its period.
const LIMIT: Duration = Duration::from_secs(360);
/// The kubelet's port for reading without a certificate; nobody else has this network.
const PORT: u16 = 10255;
/// Where Debian and where others have the network plugins.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Everything that runs, in the order in which it can. `$0` is the folder. With the first that ends the others end, too,
/// and with the test, also where it is killed: it holds the other end of their input.
const START: &str = r#"
exec 3<&0
cat <&3 >/dev/null &
containerd --config "$0/containerd.toml" >"$0/containerd.log" 2>&1 &
until ctr --address "$0/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
for image in "$0"/*.tar; do ctr --address "$0/containerd.sock" --namespace k8s.io images import "$image" || exit 1; done
"$1" --config "$0/kubelet.yaml" --root-dir "$0/kubelet" --cert-dir "$0/kubelet/pki" --hostname-override home >"$0/kubelet.log" 2>&1 &
wait -n
"#;

/// The kubelet: `KUBELET_BIN`, one on `PATH`, or the one of `make tools`.
fn kubelet() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/bin/kubelet");
    let named = std::env::var_os("KUBELET_BIN").map(PathBuf::from);
    let candidates = named.into_iter().chain(["kubelet".into(), built]);
    candidates
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()))
}

/// What this machine lacks for a node, in one line.
pub(crate) fn why_not() -> Option<String> {
    let lacks = |program: &str| Command::new(program).arg("--version").output().is_err();
    if kubelet().is_none() {
        Some("no kubelet (make tools NAMES=kubelet, or set KUBELET_BIN)".to_owned())
    } else if lacks("containerd") || lacks("unshare") || plugins().is_none() {
        Some("no containerd with network plugins (Debian: apt-get install containerd containernetworking-plugins)".to_owned())
    } else {
        testkit::pod::why_not()
    }
}

fn plugins() -> Option<&'static str> {
    PLUGINS.into_iter().find(|folder| Path::new(folder).join("ptp").exists())
}

/// A node that runs one pod. It ends with its handle.
pub(crate) struct Node {
    folder: PathBuf,
    cgroup: String,
    child: Child,
}

impl Node {
    /// Starts the pod of a home on a node; the calling thread is in [`testkit::pod`] already.
    pub(crate) fn start(home: &Home) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = home.host.disk().join("node");
        // Both write at fixed places, too.
        for fixed in ["/var/lib", "/var/log"] {
            home.host.small_disk(Path::new(fixed), 64 << 10);
        }
        for name in ["pods", "cni"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        for (name, image, user) in [("guard", &home.guard, "65532:65532"), ("immich", &home.immich, "")] {
            archive(&folder, name, image, user);
        }
        archive(&folder, "pause", &image::of_pause(&home.host.disk()), "65535:65535");
        let cgroup = format!("guard-node-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        for root in cgroups(&cgroup) {
            fs::create_dir(root).unwrap();
        }
        let at = |name: &str| folder.join(name).display().to_string();
        fs::write(folder.join("containerd.toml"), containerd(&at)).unwrap();
        fs::write(folder.join("kubelet.yaml"), configuration(&at, &cgroup).to_string()).unwrap();
        fs::write(folder.join("cni/10-pods.conflist"), NETWORK).unwrap();
        fs::write(folder.join("pods/immich-server.yaml"), pod(home).to_string()).unwrap();
        let log = || Stdio::from(File::options().append(true).create(true).open(folder.join("start.log")).unwrap());
        let mut command = Command::new("unshare");
        // Its mounts stay those of the test, which takes the NAS away and brings it back.
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "unchanged", "bash", "-c", START]);
        command.arg(&folder).arg(kubelet().expect("why_not was asked"));
        let child = command.stdin(Stdio::piped()).stdout(log()).stderr(log()).spawn().unwrap();
        Self { folder, cgroup, child }
    }

    /// The pod's status, once it is so.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = status().unwrap_or_default();
            if holds(&found) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "waited in vain: {what}\n{found:#}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a container has written this for the kubelet, which shows it once that container has ended.
    pub(crate) fn until_said(&mut self, container: &str, words: &str) {
        let pods = self.folder.join("kubelet/pods");
        self.until(words, |_| {
            let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut files = entries(pods.clone()).flat_map(|pod| entries(pod.join("containers").join(container)));
            files.any(|file| fs::read_to_string(file).is_ok_and(|text| text.starts_with(words)))
        });
    }

    /// Sends SIGSTOP to the processes of this node that were started with this argument.
    pub(crate) fn stop_processes(&self, argument: &str) {
        let is_one = |process: &Path| {
            let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
            read("cmdline").split('\0').any(|word| word == argument) && read("cgroup").contains(&self.cgroup)
        };
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_one(path));
        let ids: Vec<i32> = processes.filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect();
        assert!(!ids.is_empty(), "no process was started with {argument}");
        for id in ids {
            kill_process(Pid::from_raw(id).unwrap(), Signal::STOP).unwrap();
        }
    }

    fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('I')).collect();
            format!("{name}:\n{}\n", lines[lines.len().saturating_sub(20)..].join("\n"))
        };
        ["start.log", "containerd.log", "kubelet.log"].map(tail).concat()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // With the first process of their namespace all others end, and with the last of them their mounts.
        drop(self.child.kill());
        drop(self.child.wait());
        let deadline = Instant::now() + Duration::from_secs(20);
        for root in cgroups(&self.cgroup) {
            while root.exists() && !remove(&root) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// `GET /pods`, as far as the status of the only one; nothing while the kubelet is not up.
fn status() -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
    stream.write_all(b"GET /pods HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let pods: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    Some(pods["items"][0]["status"].clone())
}

/// A cgroup's directories: one, or one in each hierarchy of version 1.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    if top.join("cgroup.controllers").exists() {
        return vec![top.join(name)];
    }
    let hierarchies = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    // `cpu` may be a link to `cpu,cpuacct`.
    hierarchies.filter(|path| path.is_dir() && !path.is_symlink()).map(|path| path.join(name)).collect()
}

/// Removes a cgroup and those below it; false while a process in it is not gone yet.
fn remove(cgroup: &Path) -> bool {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(cgroup).is_ok()
}

/// The rendered template as a static pod.
fn pod(home: &Home) -> Value {
    let mut spec = home.template["spec"].clone();
    let fields = spec.as_object_mut().unwrap();
    fields.remove("serviceAccountName").expect("a service account");
    // Who would choose it is not here.
    fields.remove("nodeSelector").expect("a node");
    for volume in fields["volumes"].as_array_mut().unwrap() {
        let volume = volume.as_object_mut().unwrap();
        if let Some(secret) = volume.remove("secret") {
            let name = volume["name"].as_str().unwrap().to_owned();
            for item in secret["items"].as_array().unwrap() {
                fs::write(home.volume(&name).join(item["path"].as_str().unwrap()), SECRET).unwrap();
            }
            volume.insert("hostPath".to_owned(), json!({"path": home.volume(&name), "type": "Directory"}));
        }
        if let Some(path) = volume.get_mut("hostPath").and_then(|on_node| on_node.get_mut("path")) {
            let wanted = path.as_str().unwrap();
            if !wanted.starts_with(home.host.disk().to_str().unwrap()) {
                *path = json!(home.host.disk().join(wanted.trim_start_matches('/')));
            }
        }
    }
    for (list, image) in [("initContainers", "guard"), ("containers", "immich")] {
        for container in fields[list].as_array_mut().unwrap() {
            container["image"] = json!(reference(image));
            container["imagePullPolicy"] = json!("Never");
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {
        "name": "immich-server", "namespace": "immich",
        "labels": home.template["metadata"]["labels"], "annotations": home.template["metadata"]["annotations"],
    }})
}

fn reference(name: &str) -> String {
    format!("localhost/{name}:test")
}

/// An image as `docker save` writes it: one layer, a configuration, and what belongs together.
fn archive(folder: &Path, name: &str, image: &Image, user: &str) {
    let work = folder.join(format!("image-{name}"));
    fs::create_dir(&work).unwrap();
    let tar = |archive: &str, from: &Path, what: &[&str]| {
        let mut command = Command::new("tar");
        command
            .args(["--create", "--owner=0", "--group=0", "--file"])
            .arg(work.join(archive))
            .arg("--directory")
            .arg(from)
            .args(what);
        assert!(command.status().unwrap().success());
    };
    tar("layer.tar", &image.root, &["."]);
    let sum = Command::new("sha256sum").arg(work.join("layer.tar")).output().unwrap();
    let digest = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "config": {"Entrypoint": image.entrypoint, "User": user, "Env": [format!("PATH={}", image.path)]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    fs::write(work.join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{"Config": "config.json", "RepoTags": [reference(name)], "Layers": ["layer.tar"]}]);
    fs::write(work.join("manifest.json"), manifest.to_string()).unwrap();
    tar("../image.part", &work, &["config.json", "layer.tar", "manifest.json"]);
    fs::rename(folder.join("image.part"), folder.join(format!("{name}.tar"))).unwrap();
    fs::remove_dir_all(work).unwrap();
}

const NETWORK: &str = r#"{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp",
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;

/// Its folders, and what a machine that is itself in a container cannot do.
fn containerd(at: &dyn Fn(&str) -> String) -> String {
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{cni}"
"#,
        root = at("containerd"),
        state = at("state"),
        socket = at("containerd.sock"),
        opt = at("opt"),
        pause = reference("pause"),
        plugins = plugins().expect("why_not was asked"),
        cni = at("cni"),
    )
}

/// `KubeletConfiguration`: no API server, cgroups below one that is ours, of either version.
fn configuration(at: &dyn Fn(&str) -> String, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "staticPodPath": at("pods"), "podLogsDir": at("logs"), "volumePluginDir": at("plugins"),
        "containerRuntimeEndpoint": format!("unix://{}", at("containerd.sock")),
        "address": "127.0.0.1", "readOnlyPort": PORT,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}}, "authorization": {"mode": "AlwaysAllow"},
        "failCgroupV1": false, "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{cgroup}"),
        "enforceNodeAllocatable": [], "evictionHard": {"memory.available": "1Mi"}, "failSwapOn": false, "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false, "resolvConf": "", "featureGates": {"KubeletInUserNamespace": true},
    })
}
