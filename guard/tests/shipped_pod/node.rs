//! A real node: containerd and a kubelet without an API server, which runs what lies in its folder of static pods.
//!
//! It has a network, a mount table and process ids of its own, and all of it ends with one process. What a static pod may not have (a
//! service account, a Secret) is taken out of the pod; everything else is what is rendered.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testkit::node::Setup;

use super::home::Home;
use super::spec::SECRET;

/// A pod's start here takes some 20 s, and each failed probe its period.
const LIMIT: Duration = Duration::from_secs(360);
/// The kubelet's port for reading without a certificate; nobody else has this network.
const PORT: u16 = 10255;

/// The folder of the tools.
fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/bin")
}

/// What this machine lacks for a node, in one line.
pub(crate) fn why_not() -> Option<String> {
    testkit::node::why_not(testkit::node::find_kubelet(&built()).as_deref())
}

/// A node that runs one pod. It ends with its handle.
pub(crate) struct Node(testkit::node::Node);

impl Node {
    /// Starts the pod of a home on a node; the calling thread is in [`testkit::pod`] already.
    pub(crate) fn start(home: &Home) -> Self {
        let folder = home.host.disk().join("node");
        // Both write at fixed places, too.
        for fixed in ["/var/lib", "/var/log"] {
            home.host.small_disk(Path::new(fixed), 64 << 10);
        }
        fs::create_dir_all(folder.join("pods")).unwrap();
        for (name, image) in [("guard", &home.guard), ("immich", &home.immich)] {
            testkit::node::add_image(&folder, name, image, &reference(name), &[]);
        }
        fs::write(folder.join("pods/immich-server.yaml"), pod(home).to_string()).unwrap();
        let node = testkit::node::Node::start(&Setup {
            folder: &folder,
            kubelet: &testkit::node::find_kubelet(&built()).expect("why_not was asked"),
            arguments: &["--hostname-override=home".to_owned()],
            // No API server, and a port for reading without a certificate; nobody else has this network.
            configuration: json!({"staticPodPath": folder.join("pods"), "address": "127.0.0.1", "readOnlyPort": PORT}),
            pods: "10.244.0.0/24",
            // Its mounts stay those of the test, which takes the NAS away and brings it back.
            programs: None,
            propagation: "unchanged",
        });
        Self(node)
    }

    /// The pod's status, once it is so.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = status().unwrap_or_default();
            if holds(&found) {
                return found;
            }
            let ended = self.0.ended();
            assert!(ended.is_none() && Instant::now() < deadline, "waited in vain: {what}\n{found:#}\n{}", self.0.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Sends SIGSTOP to the processes of this node that were started with this argument.
    pub(crate) fn stop_processes(&self, argument: &str) {
        let is_one = |process: &Path| {
            let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
            read("cmdline").split('\0').any(|word| word == argument) && read("cgroup").contains(self.0.cgroup())
        };
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_one(path));
        let ids: Vec<i32> = processes.filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect();
        assert!(!ids.is_empty(), "no process was started with {argument}");
        for id in ids {
            kill_process(Pid::from_raw(id).unwrap(), Signal::STOP).unwrap();
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
