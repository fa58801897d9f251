//! The whole home on a real node: applied by Flux, run by a kubelet and containerd, reached by packets.
//!
//! `e2e node [WORD...]` tells the stories of [`stories`] in namespaces of its own ([`sandbox`]).

mod agents;
mod http;
mod images;
mod netns;
mod sandbox;
mod second;
mod stories;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use testkit::google::{CloudRun, Google};
use testkit::nas::FakeNas;
use testkit::node::{Node, Setup};
use testkit::{Edge, Issuer};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{Addresses, Cluster};
use crate::flux::Flux;
use crate::forge::Forge;
use crate::objects::Finder;
use crate::process::{Process, run};
use crate::repo::Repo;
use crate::wait::{Look, until};
use crate::{NODE, World, timed};
use agents::Agent;
use images::{Authorities, Programs};
use sandbox::{INTERNET_ADDRESS, NODE_ADDRESS, Networks};
use stories::Effort;

pub(crate) use sandbox::{enter, inside};

/// The range of the pods, and that of this node's.
const PODS: &str = "10.244.0.0/16";
const PODS_OF_NODE: &str = "10.244.0.0/24";
/// The name of the site, and of the key server of its Access team.
const SITE: &str = "photos.family.test";
const KEY_SERVER: &str = "family.cloudflareaccess.com";
/// Who gives identity tokens, and who wants one.
const TOKEN_SERVER: &str = "oauth2.googleapis.com";
const CLOUD_RUN: &str = "ml-abc.a.run.app";
/// Authentik, elsewhere.
const AUTHENTIK: &str = "auth.family.test";
/// The node's `mount`, since there is no NFS here: what a volume of NFS names is a directory of the NAS that is mounted already.
const MOUNT: &str = r#"#!/bin/sh
[ "$1 $2" = "-t nfs" ] || exec /bin/mount "$@"
for last; do :; done
exec /bin/mount --bind /mnt/nas/immich "$last"
"#;
/// What the node has for pods: a small machine.
const CORES: u64 = 2;
const MEMORY: u64 = 4 << 30;
/// Where the NAS belongs, and the library on it.
const MOUNT_POINT: &str = "/mnt/nas";
const LIBRARY: &str = "/mnt/nas/immich";

/// The home, and everybody around it.
pub(crate) struct Home {
    /// The control plane, Flux and Git.
    pub world: World,
    /// Where its files are.
    pub dir: PathBuf,
    logs: PathBuf,
    /// LAN and internet.
    pub networks: Networks,
    /// Cloudflare's edge.
    pub edge: Edge,
    /// Who signs the assertions.
    pub issuer: Issuer,
    /// Google: who gives identity tokens, and a service that wants them.
    pub google: (Google, CloudRun),
    /// The NAS, while it is mounted.
    pub nas: Option<FakeNas>,
    /// What the long quickstart has cost: up to the first photo at home, and in all.
    pub by_hand: Option<(Effort, Effort)>,
    /// What was on it when it went.
    kept: Vec<(String, Vec<u8>)>,
    /// The id in its sentinel.
    pub nas_id: String,
    programs: Programs,
    proxy: Option<Process>,
    policies: Option<(Agent, Process)>,
    node: Option<Node>,
}

/// Starts everything but the home itself, and tells the stories.
pub(crate) async fn run_stories(dir: &Path, keep: bool, words: &[String]) -> Result<bool> {
    let began = Instant::now();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate lies in guard/e2e")?;
    let bin = std::env::var_os("TOOLS_BIN").map_or_else(|| source.join("tools/bin"), PathBuf::from);
    crate::versions(source, &bin, &stories::TOOLS)?;
    if let Some(reason) = testkit::node::why_not(testkit::node::find_kubelet(&bin).as_deref()) {
        // Not a failure: a machine without root still runs every other story.
        println!("skipped: the node: {reason}");
        return Ok(true);
    }
    let mut home = timed("the home", Home::start(source, &bin, dir)).await?;
    let passed = stories::tell(&mut home, words).await;
    println!("  all  {:6.1} s", began.elapsed().as_secs_f32());
    if keep {
        let id = inside().unwrap_or_default();
        println!(
            "The node still runs. Its mounts and its network: nsenter --all --target $(pgrep --parent {id})   To stop it: Ctrl-C"
        );
        println!("export KUBECONFIG={}", home.world.cluster.kubeconfig.display());
        crate::stopped().await?;
    }
    passed
}

impl Home {
    async fn start(source: &Path, bin: &Path, dir: &Path) -> Result<Self> {
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs)?;
        let programs = Programs::find(source, bin, dir)?;
        let networks = sandbox::prepare(dir)?;
        let addresses = Addresses {
            node: NODE_ADDRESS,
            services: "10.96.0.0/16",
            kubernetes: std::net::Ipv4Addr::new(10, 96, 0, 1),
            pods: Some(PODS),
        };
        let cluster = timed("control plane", Cluster::start(bin, dir, &logs, &addresses)).await?;
        let flux = timed("Flux", Flux::start(&cluster, bin, dir, &logs)).await?;
        let repo = Repo::copy(source, &dir.join("tree"))?;
        let forge = Forge::start(&repo.tree).await?;
        repo.edit("clusters/home/flux/source.yaml", "https://git.example.com/family/photos", &forge.url())?;
        let finder = Finder::new(cluster.client.clone()).await?;
        let world = World { cluster, flux, finder, repo, forge, kustomize: bin.join("kustomize"), dir: dir.to_owned() };

        let edge = Edge::over(networks.internet.listen(SocketAddr::from((INTERNET_ADDRESS, 7844)))?).await;
        let issuer = Issuer::start().await;
        let listener = networks.internet.listen(SocketAddr::from((INTERNET_ADDRESS, 443)))?;
        let (tokens, cloud_run) = testkit::google::google();
        let served = [(KEY_SERVER, issuer.addr()), (TOKEN_SERVER, tokens.host().parse()?), (CLOUD_RUN, cloud_run.address())];
        let authority = serve_by_tls(listener, &served)?;
        let references = images::references(&crate::objects::render(&world.kustomize, &world.repo.tree.join("clusters/home"))?);
        let trust = Authorities { keys: &authority, edge: edge.authority() };
        images::add_all(&dir.join("node"), &programs, &trust, &references)?;

        let mut home = Self {
            world,
            dir: dir.to_owned(),
            logs,
            networks,
            edge,
            issuer,
            google: (tokens, cloud_run),
            nas: None,
            by_hand: None,
            kept: Vec::new(),
            nas_id: String::new(),
            programs,
            proxy: None,
            policies: None,
            node: None,
        };
        home.prepare_disks()?;
        home.start_node()?;
        home.proxy = Some(agents::kube_proxy(&home)?);
        home.until_node_is_ready().await?;
        home.enforce(Agent::KubeRouter)?;
        home.world.cluster.kubectl_stdin(&["apply", "-f", "-"], include_str!("node/coredns.yaml"))?;
        home.world.cluster.kubectl(&["-n", "kube-system", "rollout", "status", "deploy/coredns", "--timeout=120s"])?;
        Ok(home)
    }

    /// The NAS with its sentinel, and the directory of the database.
    fn prepare_disks(&mut self) -> Result<()> {
        std::fs::create_dir_all(MOUNT_POINT)?;
        self.mount_empty_nas();
        let mut init = Command::new(&self.programs.guard);
        init.args(["nas", "init", "--source", "nas.lan:*", "--path", LIBRARY]);
        self.nas_id = String::from(run(&mut init)?.trim());
        std::fs::create_dir_all("/srv/immich/postgres")?;
        std::os::unix::fs::chown("/srv/immich/postgres", Some(999), Some(999))?;
        Ok(())
    }

    /// Mounts an empty NAS with the library's directory on it.
    pub(crate) fn mount_empty_nas(&mut self) {
        let nas = self.mount_without_library();
        nas.mkdir("immich");
        nas.chown("immich", 1000, 0o755);
    }

    /// Mounts an empty NAS.
    pub(crate) fn mount_without_library(&mut self) -> &FakeNas {
        self.nas.insert(FakeNas::mount(Path::new(MOUNT_POINT), "nas.lan:/photos"))
    }

    /// The NAS goes: its server dies, and the node unmounts it. What is on it is kept for its return.
    pub(crate) fn unplug_nas(&mut self) -> Result<()> {
        let nas = self.nas.as_ref().context("a NAS")?;
        let files = |folder: &str| nas.list(folder).into_iter().map(move |name| format!("{folder}/{name}")).collect::<Vec<_>>();
        let paths = files("immich/library").into_iter().chain(["immich/.guard-nas-id".to_owned()]);
        self.kept = paths.filter_map(|path| nas.read(&path).map(|bytes| (path, bytes))).collect();
        self.unmount_nas()
    }

    /// The same, without keeping anything.
    pub(crate) fn unmount_nas(&mut self) -> Result<()> {
        rustix::mount::unmount(MOUNT_POINT, rustix::mount::UnmountFlags::DETACH)?;
        drop(self.nas.take());
        Ok(())
    }

    /// The NAS comes back with what it had.
    pub(crate) fn plug_nas(&mut self) -> Result<()> {
        self.mount_empty_nas();
        let nas = self.nas.as_ref().context("a NAS")?;
        for (path, bytes) in &self.kept {
            nas.put(path, bytes);
            nas.chown(path, 1000, 0o644);
        }
        if self.kept.len() > 1 {
            nas.chown("immich/library", 1000, 0o755);
        }
        Ok(())
    }

    /// The arguments of a node's kubelet, with the kubeconfig of that name.
    fn kubelet_arguments(&self, node: &str, kubeconfig: &str) -> [String; 3] {
        [
            format!("--hostname-override={node}"),
            format!("--kubeconfig={}", self.dir.join(format!("pki/{kubeconfig}.kubeconfig")).display()),
            format!("--node-ip={NODE_ADDRESS}"),
        ]
    }

    /// The configuration of each node's kubelet.
    fn kubelet_configuration(&self) -> Result<Value> {
        let authority = self.dir.join("pki/ca.crt");
        Ok(json!({
            "clusterDNS": ["10.96.0.10"], "clusterDomain": "cluster.local",
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}, "x509": {"clientCAFile": authority}},
            "nodeStatusUpdateFrequency": "2s", "maxPods": 60,
            "enforceNodeAllocatable": ["pods"], "systemReserved": all_but_a_small_node()?,
            // How full the machine's disk is, is none of the home's business.
            "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        }))
    }

    /// Starts containerd and the kubelet.
    pub(crate) fn start_node(&mut self) -> Result<()> {
        let bin = &self.world.cluster.bin;
        let programs = self.dir.join("programs");
        std::fs::create_dir_all(&programs)?;
        std::fs::write(programs.join("mount"), MOUNT)?;
        std::fs::set_permissions(programs.join("mount"), std::fs::Permissions::from_mode(0o755))?;
        self.node = Some(Node::start(&Setup {
            folder: &self.dir.join("node"),
            kubelet: &testkit::node::find_kubelet(bin).context("no kubelet")?,
            arguments: &self.kubelet_arguments(NODE, "kubelet"),
            configuration: self.kubelet_configuration()?,
            pods: PODS_OF_NODE,
            // Its mounts end with it; the NAS comes and goes outside.
            propagation: "slave",
            programs: Some(&programs),
        }));
        Ok(())
    }

    /// A power cut: everything on the node ends at once, and its kernel forgets. The NAS, which is another machine, is unmounted with it.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        self.node = None;
        self.proxy = None;
        self.policies = None;
        run(Command::new("nft").args(["flush", "ruleset"]))?;
        run(Command::new("ipset").arg("destroy"))?;
        for volatile in ["state", "containerd.sock"] {
            let path = self.dir.join("node").join(volatile);
            drop(std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path)));
        }
        self.unplug_nas()
    }

    /// The power is back; the NAS is not yet.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.start_node()?;
        self.proxy = Some(agents::kube_proxy(self)?);
        self.enforce(Agent::KubeRouter)
    }

    /// Puts this agent in force, and ends the one before.
    pub(crate) fn enforce(&mut self, agent: Agent) -> Result<()> {
        if let Some((before, process)) = self.policies.take() {
            drop(process);
            before.clean();
        }
        self.policies = Some((agent, agent.start(self)?));
        Ok(())
    }

    async fn until_node_is_ready(&mut self) -> Result<()> {
        until("ready: the node", Duration::from_secs(90), async || {
            self.alive()?;
            let ready = ["get", "node", NODE, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"];
            let said = self.world.cluster.kubectl(&ready).unwrap_or_default();
            Ok(if said == "True" { Look::Done(()) } else { Look::NotYet(said) })
        })
        .await
    }

    /// Fails if a part of the node or of the control plane does not run any more.
    pub(crate) fn alive(&mut self) -> Result<()> {
        self.world.cluster.alive()?;
        self.world.flux.alive()?;
        if let Some(proxy) = &mut self.proxy {
            proxy.alive()?;
        }
        if let Some((_, agent)) = &mut self.policies {
            agent.alive()?;
        }
        if let Some(node) = &mut self.node {
            let ended = node.ended();
            ensure!(ended.is_none(), "the node ended: {ended:?}\n{}", node.logs());
        }
        Ok(())
    }

    /// Runs containerd's own client on the node.
    pub(crate) fn ctr(&self, words: &[&str]) -> Result<String> {
        let socket = self.dir.join("node/containerd.sock");
        run(Command::new("ctr").arg("--address").arg(socket).args(["--namespace", "k8s.io"]).args(words))
    }

    /// Returns all pods of a namespace.
    pub(crate) fn pods(&self, namespace: &str) -> Result<Vec<Value>> {
        let listed = self.world.cluster.kubectl(&["-n", namespace, "get", "pods", "-o", "json"])?;
        let mut listed: Value = serde_json::from_str(&listed)?;
        Ok(listed["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Returns when every Deployment of a namespace is available; fails after four minutes.
    pub(crate) fn available(&self, namespace: &str) -> Result<()> {
        let wait = ["-n", namespace, "wait", "deploy", "--all", "--for=condition=Available", "--timeout=240s"];
        self.world.cluster.kubectl(&wait).map(drop)
    }

    /// The release binary.
    pub(crate) fn guard(&self) -> &Path {
        &self.programs.guard
    }

    /// The directory of this controller in the node's cgroup.
    pub(crate) fn cgroup_of(&self, controller: &str) -> Option<PathBuf> {
        self.node.as_ref().map(|node| node.cgroup_of(controller))
    }

    /// The newest pod of Immich's server.
    pub(crate) fn server(&self) -> Result<Value> {
        let of_server = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/name"] == "immich-server";
        let pods = self.pods("immich")?.into_iter().filter(of_server);
        let age = |pod: &Value| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        pods.max_by_key(age).context("no pod of immich-server")
    }

    /// Deletes the pod of Immich's server, and returns when it is gone: the next one is made anew.
    pub(crate) fn restart_server(&self) -> Result<()> {
        let name = self.server()?;
        let name = name["metadata"]["name"].as_str().context("a name")?;
        self.world.cluster.kubectl(&["-n", "immich", "delete", "pod", name, "--timeout=120s"]).map(drop)
    }

    /// What an error shows of the node: its pods, their warnings, and the end of their logs.
    pub(crate) fn state_of_pods(&self) -> String {
        let show = |words: &[&str]| self.world.cluster.kubectl(words).unwrap_or_else(|error| error.to_string());
        let pods = show(&["get", "pods", "-A", "-o", "wide"]);
        let events = show(&["get", "events", "-A", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"]);
        let mut words = String::new();
        for line in pods.lines().skip(1) {
            let [namespace, name, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
            if namespace.starts_with("immich") {
                let log = show(&["-n", namespace, "logs", name, "--all-containers", "--tail=8"]);
                words.extend([name, ":\n", &log, "\n"]);
            }
        }
        format!("{pods}\n{events}\n{words}")
    }
}

/// What of this machine no pod may have, so that the rest is a small node.
fn all_but_a_small_node() -> Result<Value> {
    let table = std::fs::read_to_string("/proc/meminfo")?;
    let total = table.lines().find_map(|line| line.strip_prefix("MemTotal:")).context("no MemTotal in /proc/meminfo")?;
    let total = total.trim().trim_end_matches(" kB").parse::<u64>()?;
    let cores = u64::try_from(std::thread::available_parallelism()?.get())?;
    let (memory, cores) = (total.saturating_sub(MEMORY >> 10), cores.saturating_sub(CORES));
    Ok(json!({"memory": format!("{memory}Ki"), "cpu": cores.to_string()}))
}

/// Serves these names by HTTPS, each from its own stand-in, and returns the authority that signed the certificate, as PEM.
fn serve_by_tls(listener: TcpListener, served: &[(&'static str, SocketAddr)]) -> Result<String> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(served.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>())?
        .signed_by(&key, &authority)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let served = served.to_vec();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, served) = (acceptor.clone(), served.clone());
            tokio::spawn(async move {
                // A client may go away at any point.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let asked = outside.get_ref().1.server_name();
                let Some((_, address)) = served.iter().find(|(name, _)| asked == Some(name)) else { return };
                let Ok(mut inside) = TcpStream::connect(address).await else { return };
                drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await);
            });
        }
    });
    Ok(authority.pem())
}
