//! As much of an API server as `guardctl init` needs: a version, one node, and Secrets. Everything else is not found.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

type Secrets = Arc<Mutex<BTreeMap<String, Value>>>;

/// A server on loopback. Its thread ends with the test's process.
pub(crate) struct Api {
    address: SocketAddr,
    secrets: Secrets,
}

impl Api {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Self { address: listener.local_addr().unwrap(), secrets: Secrets::default() };
        let secrets = Arc::clone(&api.secrets);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let secrets = Arc::clone(&secrets);
                std::thread::spawn(move || serve(&stream, &secrets));
            }
        });
        api
    }

    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "home",
            "clusters": [{"name": "home", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "home", "user": {}}],
            "contexts": [{"name": "home", "context": {"cluster": "home", "user": "home"}}],
        })
        .to_string()
    }

    /// Stores a Secret, with what a cluster adds to it.
    pub(crate) fn put(&self, namespace: &str, name: &str, data: &[(&str, &str)]) {
        use base64::Engine as _;
        let data: BTreeMap<_, _> =
            data.iter().map(|(key, value)| (*key, base64::engine::general_purpose::STANDARD.encode(value))).collect();
        let meta = json!({"name": name, "namespace": namespace, "uid": "u", "resourceVersion": "7", "annotations": {"x": "y"}});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta, "data": data});
        self.secrets.lock().unwrap().insert(format!("{namespace}/{name}"), secret);
    }

    /// The data of a Secret, as base64.
    pub(crate) fn data(&self, namespace: &str, name: &str) -> Value {
        self.secrets.lock().unwrap()[&format!("{namespace}/{name}")]["data"].clone()
    }
}

fn serve(stream: &TcpStream, secrets: &Secrets) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        if head.is_empty() {
            head = line;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = answer(&head, &body, secrets);
    let status = if answer["kind"] == "Status" { "404 Not Found" } else { "200 OK" };
    let text = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    // A client may be gone.
    let _ = (&mut &*stream).write_all(format!("{head}{text}").as_bytes());
}

fn answer(head: &str, body: &[u8], secrets: &Secrets) -> Value {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap().split('?').next().unwrap());
    let not_found =
        || json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": path});
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match (method, &parts[..]) {
        ("GET", ["version"]) => {
            json!({"major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "x", "gitTreeState": "clean",
            "buildDate": "2026-11-01T00:00:00Z", "goVersion": "x", "compiler": "gc", "platform": "linux/amd64"})
        }
        ("GET", ["api", "v1", "nodes"]) => {
            let meta = json!({"name": "home", "labels": {"kubernetes.io/hostname": "home"}});
            json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": meta, "spec": {}, "status": {}}]})
        }
        ("GET", ["api", "v1", "namespaces", namespace, "secrets", name]) => {
            secrets.lock().unwrap().get(&format!("{namespace}/{name}")).cloned().unwrap_or_else(not_found)
        }
        ("POST", ["api", "v1", "namespaces", namespace, "secrets"]) => {
            let mut secret: Value = serde_json::from_slice(body).unwrap();
            secret["metadata"]["resourceVersion"] = json!("8");
            let name = secret["metadata"]["name"].as_str().unwrap().to_owned();
            secrets.lock().unwrap().insert(format!("{namespace}/{name}"), secret.clone());
            secret
        }
        _ => not_found(),
    }
}
