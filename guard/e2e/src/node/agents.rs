//! What runs on a node beside the kubelet: kube-proxy, and an agent that enforces network policies.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Home;
use crate::NODE;
use crate::process::{Process, run};

/// An agent that enforces network policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// That of k3s: iptables and ipset.
    KubeRouter,
    /// That of Kubernetes' own network group: nftables, and a queue to a program.
    KubeNetworkPolicies,
}

impl Agent {
    /// The program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KubeRouter => "kube-router",
            Self::KubeNetworkPolicies => "kube-network-policies",
        }
    }

    pub(crate) fn start(self, home: &Home) -> Result<Process> {
        let kubeconfig = format!("--kubeconfig={}", home.dir.join("pki/network-policy.kubeconfig").display());
        let (arguments, envs) = match self {
            Self::KubeRouter => {
                let words = ["--run-router=false", "--run-firewall=true", "--run-service-proxy=false"].map(str::to_owned);
                let own =
                    [kubeconfig, format!("--hostname-override={NODE}"), "--service-cluster-ip-range=10.96.0.0/16".to_owned()];
                (words.into_iter().chain(own).chain(["--metrics-port=0".to_owned()]).collect::<Vec<_>>(), vec![])
            }
            Self::KubeNetworkPolicies => {
                become_a_pod(home)?;
                let words = ["--disable-nri=true", "--netfilter-bug-1766-fix=false"].map(str::to_owned);
                let words = words.into_iter().chain([format!("--hostname-override={NODE}")]).collect::<Vec<_>>();
                queue_packets()?;
                let port = home.world.cluster.port()?.to_string();
                (words, vec![("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()), ("KUBERNETES_SERVICE_PORT", port)])
            }
        };
        let envs: Vec<_> = envs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Process::start(&home.logs, self.name(), &home.world.cluster.bin.join(self.name()), &arguments, &envs)
    }

    /// Removes the rules that it leaves behind.
    pub(crate) fn clean(self) {
        let tables: &[[&str; 2]] = match self {
            Self::KubeRouter => &[["ip", "filter"], ["ip6", "filter"], ["ip", "mangle"], ["ip6", "mangle"]],
            Self::KubeNetworkPolicies => &[["inet", "kube-network-policies"], ["ip", "mangle"]],
        };
        for table in tables {
            // Not every one is there.
            drop(run(Command::new("nft").args(["delete", "table"]).args(table)));
        }
    }
}

/// Leads the packets to the queue of kube-network-policies where the kernel has no `queue` for nftables (`CONFIG_NFT_QUEUE`): the agent's own
/// rules cannot be laid there, and iptables lays the same.
fn queue_packets() -> Result<()> {
    let nft = |words: &[&str]| run(Command::new("nft").args(words));
    nft(&["add", "table", "inet", "trial"])?;
    nft(&["add", "chain", "inet", "trial", "trial"])?;
    let is_there = nft(&["add", "rule", "inet", "trial", "trial", "queue", "to", "100"]).is_ok();
    nft(&["delete", "table", "inet", "trial"])?;
    if is_there {
        return Ok(());
    }
    for rule in [
        &["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"][..],
        // The node itself: the kubelet's probes.
        &["-m", "owner", "--uid-owner", "0", "-j", "ACCEPT"],
        &["-s", super::PODS, "-j", "NFQUEUE", "--queue-num", "100"],
        &["-d", super::PODS, "-j", "NFQUEUE", "--queue-num", "100"],
    ] {
        run(Command::new("iptables").args(["-t", "mangle", "-A", "POSTROUTING"]).args(rule))?;
    }
    Ok(())
}

/// Gives the files of a service account to programs that look for nothing else.
fn become_a_pod(home: &Home) -> Result<()> {
    let account = Path::new("/run/secrets/kubernetes.io/serviceaccount");
    let kubectl = |words: &[&str]| home.world.cluster.kubectl(words);
    // It may be there already.
    drop(kubectl(&["-n", "kube-system", "create", "serviceaccount", "kube-network-policies"]));
    let binding = ["create", "clusterrolebinding", "kube-network-policies", "--clusterrole=cluster-admin"];
    drop(kubectl(&[&binding[..], &["--serviceaccount=kube-system:kube-network-policies"]].concat()));
    let token = kubectl(&["-n", "kube-system", "create", "token", "kube-network-policies", "--duration=2h"])?;
    std::fs::create_dir_all(account)?;
    std::fs::write(account.join("token"), token.trim())?;
    std::fs::copy(home.dir.join("pki/ca.crt"), account.join("ca.crt"))?;
    Ok(())
}

/// Starts kube-proxy, which programs the Services by nftables.
pub(crate) fn kube_proxy(home: &Home) -> Result<Process> {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "nftables", "clusterCIDR": super::PODS, "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": home.dir.join("pki/kube-proxy.kubeconfig")},
        // These belong to the machine, not to a network namespace.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    let file = home.dir.join("kube-proxy.yaml");
    std::fs::write(&file, configuration.to_string())?;
    let program = home.world.cluster.bin.join("kube-proxy");
    Process::start(&home.logs, "kube-proxy", &program, &[format!("--config={}", file.display())], &[]).context("kube-proxy")
}
