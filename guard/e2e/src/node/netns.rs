//! A network namespace: a socket that is opened in it stays in it, whoever uses the socket afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::run;

/// A network namespace, as a file of the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Netns(PathBuf);

impl Netns {
    /// Makes a namespace with nothing but a loopback.
    pub(crate) fn new(name: &str) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", name]))?;
        run(Command::new("ip").args(["-n", name, "link", "set", "lo", "up"]))?;
        Ok(Self(PathBuf::from("/run/netns").join(name)))
    }

    /// The one of this program.
    pub(crate) fn own() -> Self {
        Self(PathBuf::from("/proc/self/ns/net"))
    }

    /// Those of all pods, by address. A pod that ends meanwhile is not among them.
    pub(crate) fn of_pods() -> Result<BTreeMap<Ipv4Addr, Self>> {
        let own = fs::read_link("/proc/self/ns/net")?;
        let mut found = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let process = entry?.path();
            let file = process.join("ns/net");
            // Not every entry is a process, and a process may have ended.
            let Ok(namespace) = fs::read_link(&file) else { continue };
            let table = fs::read_to_string(process.join("net/fib_trie")).unwrap_or_default();
            if namespace != own
                && let Some(address) = local_address(&table)
            {
                found.entry(address).or_insert(Self(file));
            }
        }
        Ok(found)
    }

    /// Runs `work` on a thread that is in this namespace.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(&self.0)?;
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            thread.join().map_err(|_| io::Error::other("the thread panicked"))?
        })
    }

    /// Listens on this address of it.
    pub(crate) fn listen(&self, address: SocketAddr) -> Result<tokio::net::TcpListener> {
        let listener = self.inside(|| TcpListener::bind(address)).with_context(|| format!("listen on {address}"))?;
        listener.set_nonblocking(true)?;
        Ok(tokio::net::TcpListener::from_std(listener)?)
    }

    /// Connects from it.
    pub(crate) fn connect(&self, to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        self.inside(|| TcpStream::connect_timeout(&to, limit))
    }

    /// Sends a datagram from it, and returns whether anything comes back.
    pub(crate) fn ask(&self, to: SocketAddr, datagram: &[u8], limit: Duration) -> io::Result<bool> {
        let socket = self.inside(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(to)?;
            Ok(socket)
        })?;
        socket.set_read_timeout(Some(limit))?;
        socket.send(datagram)?;
        Ok(socket.recv(&mut [0; 1500]).is_ok())
    }
}

/// The address of `eth0`, as `/proc/net/fib_trie` lists it: `|-- 10.244.0.7`, and in the next line `/32 host LOCAL`.
fn local_address(table: &str) -> Option<Ipv4Addr> {
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" && last.is_some_and(|address| !address.is_loopback()) {
            return last;
        }
    }
    None
}
