//! Who may talk to whom, by packets: from every pod, from foreign pods, from the node, the LAN and the internet to every port that
//! something listens on. What is allowed is read from the table of docs/network.md, so that page and packets cannot differ.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::node::Home;
use crate::node::agents::Agent;
use crate::node::images::IDLE;
use crate::node::netns::Netns;
use crate::node::sandbox::{INTERNET_ADDRESS, LAN_ADDRESS, NODE_ADDRESS};
use crate::wait::{Look, until};

/// How long a packet gets that should arrive, and one that should not. The second is waited for in full.
const ARRIVES: Duration = Duration::from_secs(5);
const IS_DROPPED: Duration = Duration::from_millis(1500);
/// As many attempts at a time.
const AT_ONCE: usize = 24;
/// The names of docs/network.md, and the pods that they mean.
const NAMES: [(&str, &str); 9] = [
    ("cloudflared", "cloudflared"),
    ("guard", "immich-origin-proxy"),
    ("Immich server", "immich-server"),
    ("Postgres", "immich-postgres"),
    ("Valkey", "immich-redis"),
    ("machine learning", "immich-machine-learning"),
    ("authentik-outpost", "authentik-outpost"),
    ("cloudflared-share", "cloudflared-share"),
    ("immich-public-proxy", "immich-public-proxy"),
];
const DNS: &str = "kube-dns";
const LAN: &str = "LAN";
const INTERNET: &str = "internet";
const NODE: &str = "node";
const NODE_PORT: u16 = 30283;
/// Pods without a policy of their own: in both namespaces, where the default holds, and in a third, where nothing does.
const FOREIGN: [(&str, &str); 3] = [("immich", "foreign-immich"), ("immich-edge", "foreign-edge"), ("other", "foreign-other")];

/// Somebody who may send packets, or get some.
struct Place {
    name: String,
    address: Ipv4Addr,
    netns: Netns,
    /// What listens there.
    ports: Vec<u16>,
}

/// A port that is open as long as this is there.
struct Listening(tokio::task::JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    from: String,
    to: String,
    port: u16,
}

pub(super) async fn by_kube_router(home: &mut Home) -> Result<String> {
    for (namespace, name) in FOREIGN {
        home.world.cluster.kubectl_stdin(&["apply", "-f", "-"], &idle(namespace, name))?;
    }
    for (namespace, name) in FOREIGN {
        let pod = format!("pod/{name}");
        home.world.cluster.kubectl(&["-n", namespace, "wait", &pod, "--for=condition=Ready", "--timeout=60s"])?;
    }
    matrix(home).await
}

pub(super) async fn by_kube_network_policies(home: &mut Home) -> Result<String> {
    home.enforce(Agent::KubeNetworkPolicies)?;
    let told = matrix(home).await?;
    for (namespace, name) in FOREIGN {
        home.world.cluster.kubectl(&["-n", namespace, "delete", "pod", name, "--wait=false"])?;
    }
    home.enforce(Agent::KubeRouter)?;
    Ok(told)
}

/// A pod that only waits, within what Pod Security wants of it everywhere.
fn idle(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, \
         namespace: {namespace}}}\nspec:\n  automountServiceAccountToken: false\n  terminationGracePeriodSeconds: 0\n  \
         securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}\n  containers:\n    - \
         name: idle\n      image: {IDLE}\n      resources: {{requests: {{cpu: 1m, memory: 8Mi}}, limits: {{memory: 16Mi}}}}\n      \
         securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}\n"
    )
}

async fn matrix(home: &mut Home) -> Result<String> {
    // Everybody outside listens on what our pods could want there.
    let mut outside = Vec::new();
    for (netns, address, ports) in
        [(&home.networks.lan, LAN_ADDRESS, &[80, 443, 7844][..]), (&home.networks.internet, INTERNET_ADDRESS, &[80, 8443])]
    {
        for port in ports {
            let listener = netns.listen(SocketAddr::from((address, *port)))?;
            // A connection that nobody accepts fills the queue, and then the port looks closed.
            outside.push(Listening(tokio::spawn(async move { while listener.accept().await.is_ok() {} })));
        }
    }
    let places = places(home)?;
    let allowed = allowed(home, &places)?;
    // An agent needs a moment after its start, and after a pod's: it has it as soon as one cell of each kind is as it should be.
    until("as docs/network.md says", Duration::from_secs(60), async || {
        let open = tokio::task::block_in_place(|| attempt_all(&places, &allowed))?;
        let wrong: Vec<_> = open.symmetric_difference(&allowed).collect();
        Ok(if wrong.is_empty() {
            Look::Done(())
        } else {
            let lines = wrong.iter().map(|cell| {
                let found = if open.contains(cell) { "open" } else { "closed" };
                format!("{} -> {}:{}: found {found}", cell.from, cell.to, cell.port)
            });
            Look::NotYet(lines.collect::<Vec<_>>().join("\n"))
        })
    })
    .await?;
    let all: usize =
        places.iter().map(|from| places.iter().filter(|to| to.name != from.name).map(|to| to.ports.len()).sum::<usize>()).sum();
    let dns = dns(&places)?;
    Ok(format!(
        "{all} connections tried from {} places, {} allowed, the rest closed; DNS by UDP from {dns} pods",
        places.len(),
        allowed.len()
    ))
}

/// All pods of the home, and everybody else.
fn places(home: &Home) -> Result<Vec<Place>> {
    let namespaces = Netns::of_pods()?;
    let mut places = Vec::new();
    for namespace in ["immich", "immich-edge", "other", "kube-system"] {
        for pod in home.pods(namespace)? {
            let text = |pointer: &str| pod.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
            let labels =
                [text("/metadata/labels/app.kubernetes.io~1name"), text("/metadata/labels/k8s-app"), text("/metadata/name")];
            let name = labels.into_iter().find(|name| !name.is_empty()).context("a pod has a name")?;
            let address: Ipv4Addr = text("/status/podIP").parse().with_context(|| format!("{name} has no address"))?;
            let netns = namespaces.get(&address).with_context(|| format!("{name} has no process"))?.clone();
            let ports = listening(&netns)?;
            places.push(Place { name, address, netns, ports });
        }
    }
    let others = [
        (NODE, NODE_ADDRESS, Netns::own(), vec![NODE_PORT]),
        (LAN, LAN_ADDRESS, home.networks.lan.clone(), vec![80, 443, 7844]),
        (INTERNET, INTERNET_ADDRESS, home.networks.internet.clone(), vec![80, 443, 7844, 8443]),
    ];
    places.extend(others.map(|(name, address, netns, ports)| Place { name: name.to_owned(), address, netns, ports }));
    Ok(places)
}

/// The TCP ports on which something in a namespace listens, not on loopback alone.
fn listening(netns: &Netns) -> Result<Vec<u16>> {
    let tables = netns.inside(|| {
        let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        Ok([read("tcp"), read("tcp6")])
    })?;
    let mut ports = BTreeSet::new();
    for line in tables.iter().flat_map(|table| table.lines().skip(1)) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, local, _, state, ..] = words[..] else { continue };
        let Some((address, port)) = local.split_once(':') else { continue };
        let is_loopback = ["0100007F", "00000000000000000000000001000000"].contains(&address);
        if state == "0A" && !is_loopback {
            ports.insert(u16::from_str_radix(port, 16)?);
        }
    }
    Ok(ports.into_iter().collect())
}

/// The cells that docs/network.md allows, beside those that hold in every cluster: the node reaches its pods, what has no policy
/// reaches what has none.
fn allowed(home: &Home, places: &[Place]) -> Result<BTreeSet<Cell>> {
    let page = fs::read_to_string(home.world.repo.tree.join("docs/network.md"))?;
    let mut allowed = BTreeSet::new();
    let mut rows = 0;
    for line in page.lines().skip_while(|line| !line.starts_with("| from |")).skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, from, to, ports, ..] = cells[..] else { continue };
        let (Some(from), Some(to)) = (sources(from, places), targets(to)) else { continue };
        rows += 1;
        for port in ports.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u16>().ok()) {
            for from in &from {
                allowed.insert(Cell { from: from.clone(), to: to.to_owned(), port });
            }
        }
    }
    ensure!(rows >= 11, "docs/network.md: found {rows} rows about this home, wanted at least 11");
    // By the NodePort the server is reached by those who may reach the server, and by nobody else: the source of a packet stays what it
    // is (externalTrafficPolicy: Local).
    let by_node: Vec<_> = allowed.iter().filter(|cell| cell.to == "immich-server").map(|cell| cell.from.clone()).collect();
    allowed.extend(by_node.into_iter().map(|from| Cell { from, to: NODE.to_owned(), port: NODE_PORT }));
    let open = |name: &str| [DNS, LAN, INTERNET, "foreign-other"].contains(&name);
    for from in places {
        for to in places {
            for &port in &to.ports {
                // The node reaches everything; nothing closes what is no pod of ours to others that are none.
                if from.name == NODE || (open(&from.name) && open(&to.name)) {
                    allowed.insert(Cell { from: from.name.clone(), to: to.name.clone(), port });
                }
            }
        }
    }
    // Only what something listens on can be tried.
    allowed.retain(|cell| {
        cell.from != cell.to && places.iter().any(|place| place.name == cell.to && place.ports.contains(&cell.port))
    });
    Ok(allowed)
}

/// Whom the first column of the page means; nothing for rows about components that are not switched on.
fn sources(words: &str, places: &[Place]) -> Option<Vec<String>> {
    if words == "every pod" {
        let pods = places.iter().map(|place| place.name.clone());
        return Some(pods.filter(|name| ![DNS, LAN, INTERNET, NODE, "foreign-other"].contains(&name.as_str())).collect());
    }
    if words.starts_with("private addresses") {
        return Some(vec![LAN.to_owned()]);
    }
    // A component that is off has no pod.
    pod(words).filter(|pod| places.iter().any(|place| place.name == *pod)).map(|pod| vec![pod.to_owned()])
}

/// The pod that the page means.
fn pod(words: &str) -> Option<&'static str> {
    let words = words.trim_end_matches(", if switched on").trim_matches('`');
    NAMES.iter().find(|(name, _)| *name == words).map(|(_, pod)| *pod)
}

fn targets(words: &str) -> Option<&'static str> {
    match words {
        _ if words.contains("public internet") => Some(INTERNET),
        _ if words.starts_with("kube-dns") => Some(DNS),
        _ => pod(words),
    }
}

/// Tries every cell, and returns those in which a connection came to be.
fn attempt_all(places: &[Place], allowed: &BTreeSet<Cell>) -> Result<BTreeSet<Cell>> {
    let mut attempts = Vec::new();
    for from in places {
        for to in places.iter().filter(|to| to.name != from.name) {
            for &port in &to.ports {
                let cell = Cell { from: from.name.clone(), to: to.name.clone(), port };
                let limit = if allowed.contains(&cell) { ARRIVES } else { IS_DROPPED };
                attempts.push((cell, &from.netns, SocketAddr::from((to.address, port)), limit));
            }
        }
    }
    let left = Mutex::new(attempts.into_iter());
    let open = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((cell, netns, to, limit)) = next(&left) {
                    if netns.connect(to, limit).is_ok()
                        && let Ok(mut open) = open.lock()
                    {
                        open.insert(cell);
                    }
                }
            });
        }
    });
    open.into_inner().map_err(|_| anyhow::anyhow!("an attempt panicked"))
}

fn next<T>(left: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    left.lock().ok()?.next()
}

/// Asks kube-dns by UDP from every pod; returns how many got an answer.
fn dns(places: &[Place]) -> Result<usize> {
    // A query for the A record of kubernetes.default.svc.cluster.local (RFC 1035, 4.1).
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["kubernetes", "default", "svc", "cluster", "local", ""] {
        query.push(u8::try_from(label.len())?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 1, 0, 1]);
    let to = SocketAddr::from((Ipv4Addr::new(10, 96, 0, 10), 53));
    let mut asked = 0;
    for place in places.iter().filter(|place| ![LAN, INTERNET, NODE, DNS].contains(&place.name.as_str())) {
        ensure!(place.netns.ask(to, &query, ARRIVES)?, "{}: no answer of kube-dns", place.name);
        asked += 1;
    }
    Ok(asked)
}
