//! A file server over `/dev/fuse`: a directory and a source enter, and what the mount table calls a NAS leaves, with a switch for
//! each way in which one fails.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode as FileMode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::tree::{Kind, Node, Tree};
use super::wire::{REQUEST_MAX, Reply, Request};
use crate::deadline::CONDITION;

pub use super::wire::Op;

/// How the server treats a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It serves.
    #[default]
    Healthy,
    /// Requests stay in the queue: who asks hangs, and can be killed. An NFS hard mount whose server is away.
    Unread,
    /// Requests are taken and never answered: who asks hangs in state D, and not even SIGKILL helps.
    Swallow,
    /// `ESTALE` to everything.
    Stale,
    /// `EIO` to everything.
    Broken,
    /// `EROFS` to every change.
    ReadOnly,
    /// Not a byte free: statfs says so, and writing gets `ENOSPC`.
    Full,
    /// `EACCES` to whoever makes a file, root too.
    RootSquash,
    /// No rename from one directory to another.
    NoRename,
    /// No directories.
    NoDirectories,
    /// No file of 4 GiB or more, as FAT32.
    SmallFiles,
    /// A file of 4 GiB takes for ever, as on a server that fills it with zeros.
    SlowLargeFiles,
    /// No name longer than 143 bytes, as eCryptfs.
    ShortNames,
    /// No name beyond ASCII.
    AsciiNames,
    /// A size of 0 in statfs, which means unknown.
    UnknownSize,
}

#[derive(Debug)]
struct Shared {
    tree: Tree,
    mode: Mode,
    log: Vec<(Op, u32)>,
    stop: bool,
}

/// A mounted server. It dies with its handle, and whoever hangs on it gets `ENOTCONN`; the mount stays with the node.
#[derive(Debug)]
pub struct FakeNas {
    shared: Arc<Mutex<Shared>>,
    wake: UnixStream,
    server: Option<JoinHandle<()>>,
}

impl FakeNas {
    /// Mounts at `at`, in the mount namespace of the calling thread, as type `fuse.fakenfs` with this source.
    pub fn mount(at: &Path, source: &str) -> Self {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let device = rustix::fs::openat(CWD, "/dev/fuse", flags, FileMode::empty()).expect("/dev/fuse opens");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device.as_raw_fd());
        let options = CString::new(options).expect("no NUL");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount(source, at, "fuse.fakenfs", flags, options.as_c_str()).expect("a FUSE mount");

        let shared = Arc::new(Mutex::new(Shared { tree: Tree::new(), mode: Mode::default(), log: Vec::new(), stop: false }));
        let (wake, woken) = UnixStream::pair().expect("a pair of sockets");
        let server = Server { device, woken, shared: Arc::clone(&shared) };
        let server = std::thread::Builder::new().name("fakenas".to_owned()).spawn(move || server.run()).expect("a thread");
        let nas = Self { shared, wake, server: Some(server) };
        // The kernel's own first request: not one of the test's.
        nas.saw(Op::Init);
        nas.clear_log();
        nas
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it treats requests like this.
    pub fn set(&self, mode: Mode) {
        self.shared().mode = mode;
        // A server whose last mount is gone does not listen any more.
        drop((&self.wake).write_all(b"!"));
    }

    /// The server dies, the mount stays: whoever hangs on it, and whoever asks from now on, gets `ENOTCONN`.
    pub fn die(&mut self) {
        if let Some(server) = self.server.take() {
            self.shared().stop = true;
            drop((&self.wake).write_all(b"!"));
            server.join().expect("a server that did not panic");
        }
    }

    /// Makes or replaces a file, and the directories above it.
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.place(path, Node::new(Kind::File(bytes.as_ref().to_vec()), 0o644, (0, 0)));
    }

    /// Makes a directory, and those above it.
    pub fn mkdir(&self, path: &str) {
        self.place(path, Node::new(Kind::Directory(BTreeMap::new()), 0o755, (0, 0)));
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, path: &str, target: &str) {
        self.place(path, Node::new(Kind::Symlink(target.to_owned()), 0o777, (0, 0)));
    }

    fn place(&self, path: &str, node: Node) {
        let (above, name) = path.trim_matches('/').rsplit_once('/').unwrap_or(("", path.trim_matches('/')));
        if !above.is_empty() && self.shared().tree.walk(above).is_err() {
            self.mkdir(above);
        }
        let tree = &mut self.shared().tree;
        let above = tree.walk(above).expect("made above");
        if tree.lookup(above, name).is_ok() {
            tree.remove(above, name).expect("nothing below it");
        }
        tree.create(above, name, node).expect("a directory above");
    }

    /// Gives what is there another owner and other permissions.
    pub fn chown(&self, path: &str, owner: u32, mode: u32) {
        let tree = &mut self.shared().tree;
        let number = tree.walk(path).expect("something at that path");
        let node = tree.node_mut(number);
        (node.uid, node.gid, node.mode) = (owner, owner, mode);
    }

    /// The bytes of a file, `None` where there is none.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let shared = self.shared();
        shared.tree.read(shared.tree.walk(path).ok()?, 0, usize::MAX).ok().map(<[u8]>::to_vec)
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: &str) -> Vec<String> {
        self.shared().tree.list(path).expect("a directory")
    }

    /// Every request so far that the server has taken, with the process that asked.
    pub fn log(&self) -> Vec<(Op, u32)> {
        self.shared().log.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.shared().log.clear();
    }

    /// Waits until a request of this kind has been taken.
    pub fn saw(&self, wanted: Op) {
        let deadline = Instant::now() + CONDITION;
        while !self.shared().log.iter().any(|(op, _)| *op == wanted) {
            assert!(Instant::now() < deadline, "nobody asked for {wanted:?}: {:?}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for FakeNas {
    fn drop(&mut self) {
        self.die();
    }
}

struct Server {
    device: OwnedFd,
    woken: UnixStream,
    shared: Arc<Mutex<Shared>>,
}

impl Server {
    fn run(mut self) {
        let mut buffer = vec![0; REQUEST_MAX];
        loop {
            let (stop, reads) = {
                let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                (shared.stop, shared.mode != Mode::Unread)
            };
            if stop {
                return;
            }
            let interest = if reads { PollFlags::IN } else { PollFlags::empty() };
            let mut waits = [PollFd::new(&self.woken, PollFlags::IN), PollFd::new(&self.device, interest)];
            match poll(&mut waits, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
            let (woken, asked) = (!waits[0].revents().is_empty(), waits[1].revents());
            if woken {
                let mut bytes = [0; 64];
                assert!(self.woken.read(&mut bytes).expect("a socket") > 0, "the handle is gone without stop");
                // The mode may be another one now: look before taking a request.
                continue;
            }
            if asked.contains(PollFlags::ERR) {
                // Unmounted for good. Nobody will ask again.
                return;
            }
            if asked.contains(PollFlags::IN) {
                match rustix::io::read(&self.device, &mut *buffer) {
                    Ok(length) => self.serve(&buffer[..length]),
                    Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => {}
                    Err(_) => return,
                }
            }
        }
    }

    fn serve(&self, bytes: &[u8]) {
        let request = Request::parse(bytes);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.log.push((request.op, request.pid));
        if request.op.is_silent() {
            return;
        }
        let reply = shared.answer(&request);
        drop(shared);
        if let Some(reply) = reply {
            // ENOENT: the asker was killed in the meantime.
            let _ = rustix::io::write(&self.device, &reply.finish(request.unique));
        }
    }
}

impl Shared {
    /// `None`: never.
    fn answer(&mut self, request: &Request<'_>) -> Option<Reply> {
        let op = request.op;
        let refusal = match self.mode {
            _ if op == Op::Init => None,
            Mode::Swallow => return None,
            Mode::Stale => Some(Errno::STALE),
            Mode::Broken => Some(Errno::IO),
            Mode::ReadOnly if op.is_change() => Some(Errno::ROFS),
            Mode::Full if op == Op::Write => Some(Errno::NOSPC),
            Mode::RootSquash if op.is_creation() => Some(Errno::ACCESS),
            Mode::NoRename if matches!(op, Op::Rename | Op::Rename2) => Some(Errno::PERM),
            Mode::NoDirectories if op == Op::Mkdir => Some(Errno::PERM),
            Mode::SmallFiles if op == Op::Setattr && request.u32(0) & 8 != 0 && request.u64(16) >= 1 << 32 => Some(Errno::FBIG),
            Mode::SlowLargeFiles if op == Op::Setattr && request.u32(0) & 8 != 0 && request.u64(16) >= 1 << 32 => return None,
            Mode::ShortNames if op == Op::Create && request.name(16, 0).len() > 143 => Some(Errno::NAMETOOLONG),
            Mode::AsciiNames if op == Op::Create && !request.name(16, 0).is_ascii() => Some(Errno::INVAL),
            _ => None,
        };
        let answer = match refusal {
            Some(errno) => Err(errno),
            None => self.handle(request),
        };
        Some(answer.unwrap_or_else(|errno| Reply::error(errno.raw_os_error())))
    }

    fn handle(&mut self, request: &Request<'_>) -> Result<Reply, Errno> {
        let (tree, node, owner) = (&mut self.tree, request.node, (request.uid, request.gid));
        let entry = |tree: &Tree, number| tree.attributes(number, Reply::ok().entry(number));
        let size_of = |value: u64| usize::try_from(value).map_err(|_| Errno::FBIG);
        Ok(match request.op {
            Op::Init => Reply::init(request.u32(8)),
            Op::Lookup => entry(tree, tree.lookup(node, &request.name(0, 0))?),
            Op::Getattr => tree.attributes(node, Reply::ok().unremembered()),
            Op::Setattr => {
                let valid = request.u32(0);
                if valid & 8 != 0 {
                    tree.truncate(node, size_of(request.u64(16))?)?;
                }
                let changed = tree.node_mut(node);
                if valid & 1 != 0 {
                    changed.mode = request.u32(68) & 0o7777;
                }
                if valid & 2 != 0 {
                    changed.uid = request.u32(76);
                }
                if valid & 4 != 0 {
                    changed.gid = request.u32(80);
                }
                if valid & 0x20 != 0 {
                    changed.modified = request.u64(40);
                }
                tree.attributes(node, Reply::ok().unremembered())
            }
            Op::Readlink => match &tree.node(node).kind {
                Kind::Symlink(target) => Reply::ok().bytes(target.as_bytes()),
                _ => return Err(Errno::INVAL),
            },
            Op::Symlink => {
                let made = Node::new(Kind::Symlink(request.name(0, 1)), 0o777, owner);
                let number = tree.create(node, &request.name(0, 0), made)?;
                entry(tree, number)
            }
            Op::Mkdir => {
                let kind = Kind::Directory(BTreeMap::new());
                let made = Node::new(kind, request.u32(0) & !request.u32(4), owner);
                let number = tree.create(node, &request.name(8, 0), made)?;
                entry(tree, number)
            }
            Op::Create => {
                let made = Node::new(Kind::File(Vec::new()), request.u32(4) & !request.u32(8), owner);
                let number = tree.create(node, &request.name(16, 0), made)?;
                entry(tree, number).opened()
            }
            Op::Unlink | Op::Rmdir => {
                tree.remove(node, &request.name(0, 0))?;
                Reply::ok()
            }
            Op::Rename => {
                tree.rename((node, &request.name(8, 0)), (request.u64(0), &request.name(8, 1)), false)?;
                Reply::ok()
            }
            Op::Rename2 => {
                let keep = request.u32(8) & 1 != 0;
                tree.rename((node, &request.name(16, 0)), (request.u64(0), &request.name(16, 1)), keep)?;
                Reply::ok()
            }
            Op::Open | Op::Opendir => Reply::ok().opened(),
            Op::Read => Reply::ok().bytes(tree.read(node, size_of(request.u64(8))?, request.u32(16) as usize)?),
            Op::Readdir => Reply::ok().bytes(&tree.entries(node, size_of(request.u64(8))?, request.u32(16) as usize)?),
            Op::Write => {
                let length = request.u32(16);
                tree.write(node, size_of(request.u64(8))?, &request.rest(40)[..length as usize])?;
                Reply::ok().u32(length).u32(0)
            }
            Op::Statfs => {
                // 1 TiB, half of it free.
                let blocks: u64 = if self.mode == Mode::UnknownSize { 0 } else { 1 << 28 };
                Reply::ok().statfs(blocks, if self.mode == Mode::Full { 0 } else { blocks / 2 })
            }
            Op::Release | Op::Releasedir | Op::Fsync | Op::Fsyncdir | Op::Flush | Op::Access | Op::Destroy => Reply::ok(),
            _ => return Err(Errno::NOSYS),
        })
    }
}
