//! Namespaces of its own for this program and everything that it starts: mounts, network, process ids. Nothing of it is visible to the
//! machine, and all of it ends with this program, also where it is killed.
//!
//! ```text
//!   lan 192.168.1.50 ──── 192.168.1.10  node  203.0.113.2 ──── 203.0.113.1 internet
//!                                        │
//!                                    10.244.0.0/24 pods
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::netns::Netns;
use crate::process::run;

/// Set in the program that runs inside: the process id of the one outside, which is unique on the machine.
const INSIDE: &str = "E2E_INSIDE";
/// The node, as the LAN sees it.
pub(crate) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
/// A phone on the LAN.
pub(crate) const LAN_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
/// Everybody else (RFC 5737).
pub(crate) const INTERNET_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Returns whether this program is inside already, and then a number that no other run has.
pub(crate) fn inside() -> Option<u32> {
    std::env::var(INSIDE).ok()?.parse().ok()
}

/// Starts this program again, inside. Returns only if that fails.
pub(crate) fn enter() -> anyhow::Error {
    let again = || -> Result<std::io::Error> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(INSIDE, std::process::id().to_string());
        Ok(command.exec())
    };
    match again() {
        Ok(error) => anyhow::Error::new(error).context("unshare (Debian: apt-get install util-linux)"),
        Err(error) => error,
    }
}

/// The networks beside the node.
pub(crate) struct Networks {
    /// Where the family's machines are.
    pub lan: Netns,
    /// Where Cloudflare, and everybody else, is.
    pub internet: Netns,
}

/// Makes the node's disk and mounts, and the networks.
pub(crate) fn prepare(dir: &Path) -> Result<Networks> {
    // What programs write at fixed places ends with this program.
    for place in ["/run", "/var/lib", "/var/log"] {
        mount("e2e", place, "tmpfs", MountFlags::empty(), None).with_context(|| place.to_owned())?;
    }
    // The node's disk is a real one: what lies there would lie on a node's own disk.
    for place in ["/mnt", "/srv"] {
        let disk = dir.join("disk").join(place.trim_start_matches('/'));
        fs::create_dir_all(&disk)?;
        mount_bind(&disk, place).with_context(|| place.to_owned())?;
    }
    // As systemd leaves a node: a NAS that is mounted later is seen by whoever asks for it.
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    networks()
}

fn networks() -> Result<Networks> {
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let networks = Networks { lan: Netns::new("lan")?, internet: Netns::new("internet")? };
    for (name, node, other) in [("lan", NODE_ADDRESS, LAN_ADDRESS), ("internet", Ipv4Addr::new(203, 0, 113, 2), INTERNET_ADDRESS)]
    {
        let (node_range, other_range, node) = (format!("{node}/24"), format!("{other}/24"), node.to_string());
        for words in [
            &["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name][..],
            &["addr", "add", &node_range, "dev", name],
            &["link", "set", name, "up"],
            &["-n", name, "addr", "add", &other_range, "dev", "eth0"],
            &["-n", name, "link", "set", "eth0", "up"],
            // What a router on the LAN, or an attacker next door, could do: packets to the pods' own addresses.
            &["-n", name, "route", "add", "default", "via", &node],
        ] {
            run(Command::new("ip").args(words))?;
        }
    }
    run(Command::new("ip").args(["route", "add", "default", "via", &INTERNET_ADDRESS.to_string()]))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    Ok(networks)
}
