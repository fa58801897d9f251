//! Requests and limits are true: on a node with 2 cores and 4 GiB, with many large uploads at once, and when a container is out of memory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyper::body::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::nas::is_ready;
use crate::flux::text;
use crate::node::http::{form, photo, request, send};
use crate::node::{CORES, Home, MEMORY, SITE};
use crate::wait::{Look, until};

const UPLOADS: usize = 32;
const UPLOAD: usize = 90 << 20;
const LIMIT: Duration = Duration::from_secs(300);

/// Every pod asks for less than the smallest node has, and runs on it.
pub(super) async fn small_node(home: &mut Home) -> Result<String> {
    let (mut cpu, mut memory) = (0, 0);
    for namespace in ["immich", "immich-edge", "kube-system"] {
        for pod in home.pods(namespace)? {
            ensure!(is_ready(&pod), "{} is not Ready", text(&pod, "/metadata/name"));
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                cpu += millis(text(container, "/resources/requests/cpu"))?;
                memory += bytes(text(container, "/resources/requests/memory"))?;
            }
        }
    }
    let (most_cpu, most_memory) = (CORES * 1000, MEMORY);
    ensure!(cpu <= most_cpu, "{cpu} m of CPU are requested, the node has {most_cpu}");
    ensure!(memory <= most_memory, "{memory} bytes are requested, the node has {most_memory}");
    let allocatable = home.world.cluster.kubectl(&["get", "node", crate::NODE, "-o", "jsonpath={.status.allocatable.memory}"])?;
    ensure!(bytes(&allocatable)? <= MEMORY, "the node offers {allocatable}, wanted at most 4 GiB");
    Ok(format!("everything Ready; requested {cpu} m of {most_cpu} m, {} of {} MiB", memory >> 20, MEMORY >> 20))
}

/// The largest uploads that a client sends in one piece, many at once.
pub(super) async fn large_uploads(home: &mut Home) -> Result<String> {
    home.edge.wait_for_tunnels(1).await;
    let front: SocketAddr = home.edge.front();
    let token = home.issuer.token_for("family@example.com");
    let (kind, body) = form("IMG_0005.jpg", &photo(30, UPLOAD));
    let body = Bytes::from(body);
    let start = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..UPLOADS {
        let fields = [("content-type", kind.as_str()), ("cf-access-jwt-assertion", token.as_str())];
        let request = request("POST", SITE, "/api/assets", &fields, body.clone())?;
        all.spawn(async move { send(TcpStream::connect(front).await?, request).await });
    }
    while let Some(answer) = all.join_next().await {
        let status = answer??.status;
        ensure!(status.is_success(), "found {status}, wanted each of {UPLOADS} uploads to be stored");
    }
    let took = start.elapsed();
    let mut told = Vec::new();
    for (namespace, name) in [("immich-edge", "immich-origin-proxy"), ("immich-edge", "cloudflared"), ("immich", "immich-server")]
    {
        let container = Container::of(home, namespace, name)?;
        let peak = container.peak(home)?;
        ensure!(peak < container.limit, "{name} used {peak} bytes, its limit is {}", container.limit);
        ensure!(container.restarts == 0 || name != "immich-origin-proxy", "{name} was restarted");
        told.push(format!("{name} {} of {} MiB", peak >> 20, container.limit >> 20));
    }
    Ok(format!("{UPLOADS} of {} MiB in {:.0} s; peak memory: {}", UPLOAD >> 20, took.as_secs_f32(), told.join(", ")))
}

/// What the kernel's OOM killer does to a container, done to each: that one restarts, and the home is well again. A signal stands in for the
/// lack of memory, since the machine that this runs on may not choose who is killed (`CAP_SYS_RESOURCE`).
pub(super) async fn killed(home: &mut Home) -> Result<String> {
    let mut told = Vec::new();
    for (namespace, name) in [
        ("immich-edge", "immich-origin-proxy"),
        ("immich-edge", "cloudflared"),
        ("immich", "immich-server"),
        ("immich", "immich-machine-learning"),
        ("immich", "immich-redis"),
        ("immich", "immich-postgres"),
    ] {
        let container = Container::of(home, namespace, name)?;
        let start = Instant::now();
        container.kill(home)?;
        let killed = until(&format!("restarted: {name}"), LIMIT, async || {
            let now = Container::of(home, namespace, name)?;
            Ok(if now.restarts > container.restarts { Look::Done(now) } else { Look::NotYet(format!("{:#}", now.status)) })
        })
        .await?;
        let code = killed.status["lastState"]["terminated"]["exitCode"].as_u64();
        ensure!(code == Some(137), "{name} ended with {code:?}, wanted 137: {:#}", killed.status);
        until(&format!("Ready again: {name}"), LIMIT, async || {
            let pods: Vec<_> = home.pods("immich")?.into_iter().chain(home.pods("immich-edge")?).collect();
            let waiting = pods.iter().find(|pod| !is_ready(pod));
            Ok(waiting.map_or(Look::Done(()), |pod| Look::NotYet(format!("{:#}", pod["status"]))))
        })
        .await?;
        told.push(format!("{name} {:.0} s", start.elapsed().as_secs_f32()));
    }
    Ok(format!("everything is Ready again after: {}", told.join(", ")))
}

/// The first container of a pod that runs.
struct Container {
    /// Below the node's cgroup.
    cgroup: PathBuf,
    limit: u64,
    restarts: u64,
    status: Value,
}

impl Container {
    fn of(home: &Home, namespace: &str, name: &str) -> Result<Self> {
        let pods = home.pods(namespace)?;
        let of_name = |pod: &&Value| text(pod, "/metadata/labels/app.kubernetes.io~1name") == name;
        let pod = pods.iter().find(of_name).with_context(|| format!("no pod {name}"))?;
        let status = &pod["status"]["containerStatuses"][0];
        let id = text(status, "/containerID").trim_start_matches("containerd://");
        let class = text(pod, "/status/qosClass").to_lowercase();
        let class = if class == "guaranteed" { String::new() } else { format!("{class}/") };
        Ok(Self {
            cgroup: Path::new("kubepods").join(format!("{class}pod{}", text(pod, "/metadata/uid"))).join(id),
            limit: bytes(text(pod, "/spec/containers/0/resources/limits/memory"))?,
            restarts: status["restartCount"].as_u64().unwrap_or_default(),
            status: status.clone(),
        })
    }

    /// Where its memory is accounted for.
    fn path(&self, home: &Home) -> Result<PathBuf> {
        Ok(home.cgroup_of("memory").context("a node")?.join(&self.cgroup))
    }

    /// The most memory that it had, as the kernel counts: with the cache of its files.
    fn peak(&self, home: &Home) -> Result<u64> {
        let path = self.path(home)?;
        let read =
            fs::read_to_string(path.join("memory.peak")).or_else(|_| fs::read_to_string(path.join("memory.max_usage_in_bytes")));
        Ok(read.with_context(|| path.display().to_string())?.trim().parse()?)
    }

    /// Ends its first process as the kernel does when there is no memory left.
    fn kill(&self, home: &Home) -> Result<()> {
        let path = self.path(home)?.join("cgroup.procs");
        let first = fs::read_to_string(&path)?.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        Ok(kill_process(first.with_context(|| format!("no process in {}", path.display()))?, Signal::KILL)?)
    }
}

/// Reads an amount of CPU in thousandths of a core.
fn millis(amount: &str) -> Result<u64> {
    match amount.strip_suffix('m') {
        Some(millis) => Ok(millis.parse()?),
        None if amount.is_empty() => Ok(0),
        None => Ok(amount.parse::<u64>()? * 1000),
    }
}

/// Reads an amount of memory in bytes.
fn bytes(amount: &str) -> Result<u64> {
    if amount.is_empty() {
        return Ok(0);
    }
    let (number, unit) = amount.split_at(amount.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(amount.len()));
    let shift = match unit {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        _ => anyhow::bail!("{amount} has an unknown unit"),
    };
    Ok(number.parse::<u64>()? << shift)
}
