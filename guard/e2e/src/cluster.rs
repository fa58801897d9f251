//! Runs a real control plane: etcd, kube-apiserver with RBAC and admission, controller manager and scheduler. Its node is a real one
//! ([`crate::node`]), or kwok simulates the kubelet of one.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::pki::Authority;
use crate::process::{Process, free_ports, run};
use crate::wait::{Look, until};
use crate::{LIMIT, NODE};

/// The addresses of a control plane.
pub(crate) struct Addresses {
    /// Where pods reach kube-apiserver. It listens on loopback, too.
    pub node: Ipv4Addr,
    /// The range of the Services.
    pub services: &'static str,
    /// The Service `kubernetes`: the first address of that range.
    pub kubernetes: Ipv4Addr,
    /// The range of the pods, from which each node gets its part; without it, nothing gets an address.
    pub pods: Option<&'static str>,
}

/// Without pods, nothing but this program talks to the cluster.
pub(crate) const LOOPBACK: Addresses =
    Addresses { node: Ipv4Addr::LOCALHOST, services: "10.0.0.0/24", kubernetes: Ipv4Addr::new(10, 0, 0, 1), pods: None };

/// A running control plane, with clients for it.
pub(crate) struct Cluster {
    /// The kubeconfig of the administrator.
    pub kubeconfig: PathBuf,
    /// A client with the rights of the administrator.
    pub client: Client,
    /// The folder of the programs.
    pub bin: PathBuf,
    processes: Vec<Process>,
}

impl Cluster {
    /// Starts all components, and returns when kube-apiserver is ready.
    pub(crate) async fn start(bin: &Path, dir: &Path, logs: &Path, addresses: &Addresses) -> Result<Self> {
        let [etcd, etcd_peer, api, manager, scheduler] = free_ports()?;
        let pki = dir.join("pki");
        let authority = Authority::new(&pki)?;
        authority.server(&[addresses.node, addresses.kubernetes])?;
        let kubeconfig = authority.client("admin", "admin", Some("system:masters"), api)?;
        let manager_config = authority.client("manager", "system:kube-controller-manager", None, api)?;
        let scheduler_config = authority.client("scheduler", "system:kube-scheduler", None, api)?;
        for name in ["flux", "kubelet-client", "kwok", "network-policy"] {
            authority.client(name, name, Some("system:masters"), api)?;
        }
        authority.client("kubelet", &format!("system:node:{NODE}"), Some("system:nodes"), api)?;
        authority.client("second", "system:node:second", Some("system:nodes"), api)?;
        authority.client("kube-proxy", "system:kube-proxy", None, api)?;
        let at = |file: &str| pki.join(file).display().to_string();
        let folder = |name: &str| dir.join(name).display().to_string();

        let mut processes = vec![Process::start(logs, "etcd", &bin.join("etcd"), &etcd_arguments(dir, etcd, etcd_peer), &[])?];
        // kube-apiserver waits for etcd by itself.
        let arguments = api_server_arguments(dir, etcd, api, addresses);
        processes.push(Process::start(logs, "kube-apiserver", &bin.join("kube-apiserver"), &arguments, &[])?);
        let config = Kubeconfig::read_from(&kubeconfig)?;
        let client = Client::try_from(Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?;
        let mut cluster = Self { kubeconfig, client, bin: bin.to_owned(), processes };
        until("ready: kube-apiserver", LIMIT, async || {
            cluster.alive()?;
            let request = http::Request::get("/readyz").body(Vec::new())?;
            Ok(match cluster.client.request_text(request).await {
                Ok(_) => Look::Done(()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await?;

        let own = |config: &Path| {
            ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
                .map(|flag| format!("--{flag}={}", config.display()))
        };
        let mut arguments = own(&manager_config).to_vec();
        arguments.extend([
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={manager}"),
            format!("--cert-dir={}", folder("manager")),
            "--leader-elect=false".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", at("sa.key")),
            format!("--root-ca-file={}", at("ca.crt")),
        ]);
        if let Some(pods) = addresses.pods {
            arguments.extend(["--allocate-node-cidrs=true".to_owned(), format!("--cluster-cidr={pods}")]);
        }
        cluster.add(logs, "kube-controller-manager", &arguments)?;
        let mut arguments = own(&scheduler_config).to_vec();
        arguments.extend([
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={scheduler}"),
            format!("--cert-dir={}", folder("scheduler")),
            "--leader-elect=false".to_owned(),
        ]);
        cluster.add(logs, "kube-scheduler", &arguments)?;
        Ok(cluster)
    }

    /// Lets kwok simulate a node, and returns when it is ready.
    pub(crate) fn simulate_node(&mut self, dir: &Path, logs: &Path) -> Result<()> {
        let [port] = free_ports()?;
        self.kubectl_stdin(&["apply", "-f", "-"], &format!(
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: {NODE}\n  labels: {{kubernetes.io/hostname: {NODE}, kubernetes.io/os: linux}}\n"
        ))?;
        let stage = |name: &str| format!("--config={}", self.bin.join(format!("stages/{name}.yaml")).display());
        let arguments = [
            format!("--kubeconfig={}", dir.join("pki/kwok.kubeconfig").display()),
            "--manage-all-nodes=true".to_owned(),
            // Without a lease, the node becomes not ready after some time.
            "--node-lease-duration-seconds=40".to_owned(),
            format!("--server-address=127.0.0.1:{port}"),
            // Without delays: a pod is running and ready as soon as it has a node.
            stage("node-fast"),
            stage("node-heartbeat-with-lease"),
            stage("pod-fast"),
        ];
        self.add(logs, "kwok", &arguments)?;
        self.kubectl(&["wait", &format!("node/{NODE}"), "--for=condition=Ready", "--timeout=60s"])?;
        Ok(())
    }

    /// Starts a program of `tools/bin` as a part of the cluster.
    pub(crate) fn add(&mut self, logs: &Path, name: &str, arguments: &[String]) -> Result<()> {
        self.processes.push(Process::start(logs, name, &self.bin.join(name), arguments, &[])?);
        Ok(())
    }

    /// The port of kube-apiserver.
    pub(crate) fn port(&self) -> Result<u16> {
        let config = Kubeconfig::read_from(&self.kubeconfig)?;
        let server = config.clusters.first().and_then(|named| named.cluster.as_ref()?.server.clone());
        server.and_then(|url| url.rsplit(':').next()?.parse().ok()).context("the kubeconfig names a port")
    }

    /// Fails if a component does not run any more.
    pub(crate) fn alive(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::alive)
    }

    /// Runs kubectl and returns its output. If it fails, the error contains its output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(self.command().args(arguments))
    }

    /// Runs kubectl with text on standard input, and returns its output.
    pub(crate) fn kubectl_stdin(&self, arguments: &[&str], input: &str) -> Result<String> {
        use std::io::Write as _;
        let mut command = self.command();
        let mut child = command
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        anyhow::ensure!(output.status.success(), "kubectl {}: {}\n{said}", arguments.join(" "), output.status);
        Ok(said)
    }

    /// Returns a command for `kubectl` in the version of the cluster, as the administrator.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.bin.join("kubectl"));
        command.arg(format!("--kubeconfig={}", self.kubeconfig.display()));
        command
    }
}

fn etcd_arguments(dir: &Path, port: u16, peer: u16) -> [String; 8] {
    [
        format!("--data-dir={}", dir.join("etcd").display()),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls=http://127.0.0.1:{port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
    ]
}

fn api_server_arguments(dir: &Path, etcd: u16, port: u16, addresses: &Addresses) -> Vec<String> {
    let at = |file: &str| dir.join("pki").join(file).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--advertise-address={}", addresses.node),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", dir.join("apiserver").display()),
        format!("--tls-cert-file={}", at("apiserver.crt")),
        format!("--tls-private-key-file={}", at("apiserver.key")),
        format!("--client-ca-file={}", at("ca.crt")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        format!("--kubelet-client-certificate={}", at("kubelet-client.crt")),
        format!("--kubelet-client-key={}", at("kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--service-cluster-ip-range={}", addresses.services),
        "--allow-privileged=true".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", at("sa.pub")),
        format!("--service-account-signing-key-file={}", at("sa.key")),
    ];
    // kube-apiserver refuses to publish a loopback address as its own.
    if addresses.node.is_loopback() {
        arguments.extend(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"].map(str::to_owned));
    }
    arguments
}
