//! A real node: containerd and a kubelet, in process ids of their own, with cgroups below one that is theirs. All of it ends with one process.
//!
//! Mounts and network are those of the caller, who has to be in namespaces of its own: both programs write at fixed places, too, and the
//! kubelet's ports are the same for every node.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::image::Image;

/// Where Debian and where others have the network plugins.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// What pods are made from.
const PAUSE: &str = "localhost/pause:test";

/// Everything that runs, in the order in which it can. `$0` is the folder, `$1` the kubelet, then its arguments. With the first that
/// ends the others end, too, and with the caller, also where it is killed: it holds the other end of their input.
/// An image that is here already, as after a power cut, is not imported again.
const START: &str = r#"
exec 3<&0
cat <&3 >/dev/null &
containerd --config "$0/containerd.toml" >>"$0/containerd.log" 2>&1 &
ctr() { command ctr --address "$0/containerd.sock" --namespace k8s.io "$@"; }
until ctr version >/dev/null 2>&1; do sleep 0.1; done
for image in "$0"/images/*.tar; do
  [[ -e $image ]] || continue
  ctr images import "$image" && rm "$image" || exit 1
  while read -r from to; do ctr images tag --force "$from" "$to" || exit 1; done <"$image.names"
done
"$@" >>"$0/kubelet.log" 2>&1 &
wait -n
"#;

/// What this machine lacks for a node, in one line; `kubelet` is the program.
pub fn why_not(kubelet: Option<&Path>) -> Option<String> {
    let lacks = |program: &str| Command::new(program).arg("--version").output().is_err();
    if kubelet.is_none() {
        Some("no kubelet (make tools NAMES=kubelet, or set KUBELET_BIN)".to_owned())
    } else if lacks("containerd") || lacks("unshare") || plugins().is_none() {
        Some("no containerd with network plugins (Debian: apt-get install containerd containernetworking-plugins)".to_owned())
    } else {
        crate::pod::why_not()
    }
}

/// The kubelet: `KUBELET_BIN`, one on `PATH`, or the one in this folder.
pub fn find_kubelet(built: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("KUBELET_BIN").map(PathBuf::from);
    let candidates = named.into_iter().chain(["kubelet".into(), built.join("kubelet")]);
    candidates
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()))
}

fn plugins() -> Option<&'static str> {
    PLUGINS.into_iter().find(|folder| Path::new(folder).join("ptp").exists())
}

/// What a node is made of.
pub struct Setup<'a> {
    /// Everything that it keeps: images, containers, volumes.
    pub folder: &'a Path,
    /// The program.
    pub kubelet: &'a Path,
    /// Its arguments beside those of every node.
    pub arguments: &'a [String],
    /// Fields of its `KubeletConfiguration` beside those of every node.
    pub configuration: Value,
    /// The range of its pods.
    pub pods: &'a str,
    /// How its mounts spread: `unchanged`, or `slave` for a node whose own end with it.
    pub propagation: &'a str,
    /// A folder with programs that it finds before those of the machine.
    pub programs: Option<&'a Path>,
}

/// A running node. It ends with its handle.
pub struct Node {
    folder: PathBuf,
    cgroup: String,
    child: Child,
}

impl Node {
    /// Starts containerd, imports the images of the folder, and starts the kubelet.
    pub fn start(setup: &Setup) -> Self {
        let folder = setup.folder.to_owned();
        let cgroup = new_cgroup();
        for name in ["cni", "images"] {
            fs::create_dir_all(folder.join(name)).expect("a directory");
        }
        if !folder.join("containerd").exists() {
            let mut pause = Image::new(folder.join("pause-image"), &["/bin/sleep", "infinity"]);
            pause.add_program(Path::new("/bin/sleep"), "/bin/sleep");
            pause.user = String::from("65535:65535");
            add_image(&folder, "pause", &pause, PAUSE, &[]);
        }
        let at = |name: &str| folder.join(name).display().to_string();
        fs::write(folder.join("containerd.toml"), containerd(&at)).expect("a file");
        let mut configuration = configuration(&at, &cgroup);
        merge(&mut configuration, &setup.configuration);
        fs::write(folder.join("kubelet.yaml"), configuration.to_string()).expect("a file");
        fs::write(folder.join("cni/10-pods.conflist"), network(setup.pods).to_string()).expect("a file");
        let log = || Stdio::from(File::options().append(true).create(true).open(folder.join("start.log")).expect("a log"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", setup.propagation]);
        command.args(["bash", "-c", START]).arg(&folder).arg(setup.kubelet);
        command.arg(format!("--config={}", at("kubelet.yaml"))).arg(format!("--root-dir={}", at("kubelet")));
        command.arg(format!("--cert-dir={}", at("kubelet/pki"))).args(setup.arguments);
        if let Some(programs) = setup.programs {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", programs.display()));
        }
        let child = command.stdin(Stdio::piped()).stdout(log()).stderr(log()).spawn().expect("unshare runs");
        Self { folder, cgroup, child }
    }

    /// Its cgroup's name, below which every container is.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The directory in the cgroup hierarchy of version 1 of this controller, or the only one of version 2.
    pub fn cgroup_of(&self, controller: &str) -> PathBuf {
        let all = cgroups(&self.cgroup);
        let of = all.iter().find(|path| path.parent().and_then(Path::file_name).is_some_and(|name| name == controller));
        of.or(all.first()).cloned().unwrap_or_default()
    }

    /// How it ended, if it has: the kubelet or containerd is no more.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// The end of each of its logs, without the kubelet's information.
    pub fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('I')).collect();
            format!("{name}:\n{}\n", lines[lines.len().saturating_sub(20)..].join("\n"))
        };
        ["start.log", "containerd.log", "kubelet.log"].map(tail).concat()
    }
}

impl Drop for Node {
    /// As a power cut: SIGKILL to the first process of its namespace ends all others at once, and with the last of them their mounts end.
    fn drop(&mut self) {
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

/// Lays an image in a node's folder, to be imported when the node starts, as `reference` and under these other names.
pub fn add_image(folder: &Path, name: &str, image: &Image, reference: &str, names: &[String]) {
    let images = folder.join("images");
    fs::create_dir_all(&images).expect("a directory");
    let lines = names.iter().fold(String::new(), |lines, other| lines + reference + " " + other + "\n");
    fs::write(images.join(format!("{name}.tar.names")), lines).expect("a file");
    image.save(&images.join(format!("{name}.tar")), reference);
}

/// Makes a cgroup that no other node has. A process id is no name: two nodes can each be process 1 of their namespaces.
fn new_cgroup() -> String {
    let is_new = |name: &String| match fs::create_dir(&cgroups(name)[0]) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => panic!("a new cgroup {name}: {error}"),
    };
    let name = (0..u16::MAX).map(|number| format!("guard-node-{number}")).find(is_new).expect("a free number");
    for root in &cgroups(&name)[1..] {
        // One that a killed run has left is as good as a new one.
        fs::create_dir_all(root).expect("a new cgroup");
    }
    name
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

/// Each pod is routed, and none is bridged: what goes from pod to pod passes the node's filter.
fn network(pods: &str) -> Value {
    let ranges = json!([[{"subnet": pods}]]);
    let addresses = json!({"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]});
    json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": addresses}]})
}

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
sandbox_image = "{PAUSE}"
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
        plugins = plugins().expect("why_not was asked"),
        cni = at("cni"),
    )
}

/// `KubeletConfiguration`: cgroups below one that is ours, of either version, and nothing of the machine's own.
fn configuration(at: &dyn Fn(&str) -> String, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "podLogsDir": at("logs"), "volumePluginDir": at("plugins"),
        "containerRuntimeEndpoint": format!("unix://{}", at("containerd.sock")),
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}}, "authorization": {"mode": "AlwaysAllow"},
        "failCgroupV1": false, "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{cgroup}"),
        "enforceNodeAllocatable": [], "evictionHard": {"memory.available": "1Mi"}, "failSwapOn": false, "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false, "resolvConf": "", "featureGates": {"KubeletInUserNamespace": true},
    })
}

fn merge(into: &mut Value, other: &Value) {
    let (Some(into), Some(other)) = (into.as_object_mut(), other.as_object()) else { return };
    into.extend(other.iter().map(|(name, value)| (name.clone(), value.clone())));
}
