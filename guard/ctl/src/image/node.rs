//! A node's containerd, here or by ssh: which one it is, and how an image gets in. Each distribution has its own `ctr`; what it is told is the same.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use super::archive::Archive;

/// What runs Kubernetes on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Distribution {
    /// k3s.
    K3s,
    /// `MicroK8s`.
    #[value(name = "microk8s")]
    MicroK8s,
    /// kubeadm, or another one with containerd at its usual place.
    Kubeadm,
    /// Talos Linux.
    Talos,
}

/// Prints the distribution by the socket of its containerd; run as root, since k3s hides it from others.
const FIND: &str = "for pair in k3s=/run/k3s/containerd/containerd.sock microk8s=/var/snap/microk8s/common/run/containerd.sock \
     kubeadm=/run/containerd/containerd.sock; do if test -S ${pair#*=}; then echo ${pair%%=*}; exit; fi; done";

/// How a node's containerd is reached: the words before those of `ctr images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runtime(Vec<String>);

impl Runtime {
    /// The one of a distribution.
    pub(super) fn of(distribution: Distribution) -> Result<Self> {
        let words: &[&str] = match distribution {
            Distribution::K3s => &["k3s", "ctr", "--namespace", "k8s.io"],
            Distribution::MicroK8s => &["microk8s", "ctr", "--namespace", "k8s.io"],
            Distribution::Kubeadm => &["ctr", "--namespace", "k8s.io"],
            Distribution::Talos => bail!(
                "Talos takes no image from a file: it has no shell, and talosctl can only list and pull; wanted a registry that the node reaches: \
                 make image-publish IMAGE=REGISTRY/guard, or a mirror at home (docs/image.md#talos)"
            ),
        };
        Ok(Self(words.iter().map(|&word| word.to_owned()).collect()))
    }

    /// The one behind this socket.
    pub(super) fn at(socket: &str) -> Self {
        Self(["ctr", "--address", socket, "--namespace", "k8s.io"].map(str::to_owned).to_vec())
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// This computer.
    Local,
    /// Another one, as ssh knows it.
    Ssh(String),
}

impl Node {
    fn name(&self) -> &str {
        match self {
            Self::Local => "this computer",
            Self::Ssh(host) => host,
        }
    }

    /// The command that runs these words there, as root.
    fn command(&self, words: &[String]) -> Command {
        match self {
            Self::Local if rustix::process::geteuid().is_root() => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
            Self::Local => {
                let mut command = Command::new("sudo");
                command.arg("--").args(words);
                command
            }
            Self::Ssh(host) => {
                let mut command = Command::new("ssh");
                let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                // root has no need of sudo, and may not have it.
                let line = quoted.join(" ");
                command.arg("--").arg(host).arg(format!("if test $(id -u) = 0; then {line}; else sudo -n -- {line}; fi"));
                command
            }
        }
    }

    /// Runs these words there.
    fn run(&self, words: &[String], input: Stdio) -> Result<Output> {
        let mut command = self.command(words);
        let program = command.get_program().display().to_string();
        let output = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.with_context(|| format!("{}: {program} cannot be run", self.name()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let hint = match self {
                Self::Ssh(host) if said.contains("sudo:") => {
                    format!("\nsudo on {host} asks for a password: copy the archive there, and run guardctl image load on {host}")
                }
                _ => String::new(),
            };
            bail!("{}: `{}` ended with {}: {}{hint}", self.name(), words.join(" "), output.status, said.trim());
        }
        Ok(output)
    }

    /// Which containerd is there.
    pub(super) fn find_runtime(&self) -> Result<Runtime> {
        let output = self.run(&["sh", "-c", FIND].map(str::to_owned), Stdio::null())?;
        let found = String::from_utf8_lossy(&output.stdout);
        match Distribution::from_str(found.trim(), false) {
            Ok(distribution) => {
                println!("  {}: {}", self.name(), found.trim());
                Runtime::of(distribution)
            }
            Err(_) => bail!(
                "{}: found no containerd of k3s, MicroK8s or kubeadm; wanted --node HOST for each node, --distribution, or --socket PATH",
                self.name()
            ),
        }
    }

    /// Imports the archive by its tag and by its digest, and looks whether it is there.
    pub(super) fn import(&self, runtime: &Runtime, archive: &Archive, path: &Path) -> Result<()> {
        let words = |more: &[&str]| {
            let more = more.iter().map(|&word| word.to_owned());
            runtime.0.iter().cloned().chain(["images".to_owned()]).chain(more).collect::<Vec<_>>()
        };
        let import = words(&["import", "-"]);
        println!("  {}: {} < {}", self.name(), import.join(" "), path.display());
        std::io::stdout().flush()?;
        let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        self.run(&import, Stdio::from(file))?;
        // The import makes the tag a name, and the kubelet looks for the digest. `import --digests` has other code behind it in containerd 2, `tag` has not.
        let (tagged, pinned) = (archive.tagged(), archive.pinned());
        self.run(&words(&["tag", "--force", &tagged, &pinned]), Stdio::null())?;
        let listed = self.run(&words(&["list", &format!("name=={pinned}")]), Stdio::null())?;
        let is_right = |line: &str| {
            let mut columns = line.split_whitespace();
            columns.next() == Some(&pinned) && columns.any(|column| column == archive.digest)
        };
        ensure!(
            String::from_utf8_lossy(&listed.stdout).lines().any(is_right),
            "{}: {pinned} was imported, and is not listed with this digest; is the containerd of the kubelet another one? wanted --socket PATH",
            self.name()
        );
        println!("✓ {}: {pinned}", self.name());
        Ok(())
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A host for ssh: no option.
pub(super) fn read_host(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('-') || text.contains(char::is_whitespace) {
        return Err("wanted a host as ssh knows it: NAME or USER@NAME".to_owned());
    }
    Ok(text.to_owned())
}

/// The absolute path of a socket.
pub(super) fn read_socket(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("wanted an absolute path".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_of_ssh_as_they_are() {
        assert_eq!(quoted("name==localhost/guard@sha256:ab"), "'name==localhost/guard@sha256:ab'");
        assert_eq!(quoted("it's; reboot"), r"'it'\''s; reboot'");
        let command = Node::Ssh("node".to_owned()).command(&["k3s".to_owned(), "ctr".to_owned()]);
        let arguments: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(arguments, ["--", "node", "if test $(id -u) = 0; then 'k3s' 'ctr'; else sudo -n -- 'k3s' 'ctr'; fi"]);
    }

    #[test]
    fn a_host_is_no_option() {
        assert!(read_host("-oProxyCommand=x").is_err());
        assert!(read_host("root@node").is_ok());
    }

    #[test]
    fn talos_is_refused_with_what_to_do() {
        assert!(Runtime::of(Distribution::Talos).unwrap_err().to_string().contains("make image-publish"));
    }
}
