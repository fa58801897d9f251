//! A pod as far as its programs can see: a network of its own with nothing but a loopback, and files where a manifest mounts them.
//!
//! So a program runs on the very configuration that is shipped, ports, names and paths included, and several tests do so at once.

use std::fs;
use std::io::{Error, Result};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::UnshareFlags;

/// Directories that start empty: where manifests mount configuration and secrets.
const EMPTY: [&str; 2] = ["/etc", "/run"];

/// What this machine lacks for a pod, in one line; `None` where nothing is lacking.
pub fn why_not() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root, so no namespaces".to_owned());
    }
    // In a thread of its own: a namespace cannot be left again.
    std::thread::spawn(enter).join().expect("a thread that did not panic").err().map(|error| format!("no namespaces: {error}"))
}

/// Moves the calling thread into a new pod. Threads and programs that it starts from there on belong to it too.
pub fn enter() -> Result<()> {
    unshare()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    for directory in EMPTY {
        mount("pod", directory, "tmpfs", MountFlags::empty(), None)?;
    }
    file("/etc/hosts", "127.0.0.1 localhost\n")?;
    // Only that file: there is no server to ask.
    file("/etc/nsswitch.conf", "hosts: files\n")?;
    loopback_up()
}

/// Puts a file there, with the directories to it.
pub fn file(path: impl AsRef<Path>, content: &str) -> Result<()> {
    let path = path.as_ref();
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, content)
}

#[expect(deprecated, reason = "deprecated because CLONE_FILES is unsound, and only unsafe code may call its successor")]
fn unshare() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET)
}

/// `ip link set lo up`: one message to the kernel and its verdict (rtnetlink(7), netlink(7)).
fn loopback_up() -> Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK: u16 = 5;
    const LOOPBACK: u32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes()); // length: header and ifinfomsg
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, padding, type
    for word in [LOOPBACK, IFF_UP, IFF_UP] {
        message.extend(word.to_ne_bytes());
    }
    // No protocol means the first: NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 256];
    recv(&socket, &mut answer, RecvFlags::empty())?;
    let verdict = answer[16..20].try_into().map_or(0, i32::from_ne_bytes);
    if verdict == 0 { Ok(()) } else { Err(Error::from_raw_os_error(-verdict)) }
}
