//! The files of a fake NAS, in memory: names and bytes enter, nodes and error numbers leave.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::wire::Reply;

/// The root directory's node number (`FUSE_ROOT_ID`).
pub(super) const ROOT: u64 = 1;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

#[derive(Debug)]
pub(super) enum Kind {
    Directory(BTreeMap<String, u64>),
    File(Vec<u8>),
    Symlink(String),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970, as the last `utimensat` said.
    pub(super) modified: u64,
    /// The size of a file whose end was moved far behind its bytes, which are not stored.
    sparse_size: Option<u64>,
}

/// A larger file is sparse here.
const STORED_BYTES: usize = 1 << 30;

impl Node {
    pub(super) fn new(kind: Kind, mode: u32, (uid, gid): (u32, u32)) -> Self {
        Self { kind, mode: mode & 0o7777, uid, gid, modified: 0, sparse_size: None }
    }

    fn format(&self) -> u32 {
        match self.kind {
            Kind::Directory(_) => DIRECTORY,
            Kind::File(_) => FILE,
            Kind::Symlink(_) => SYMLINK,
        }
    }
}

/// All nodes by number. A node stays when its name goes, as a file does that is still open.
#[derive(Debug)]
pub(super) struct Tree(Vec<Node>);

impl Tree {
    /// An empty root that belongs to root.
    pub(super) fn new() -> Self {
        Self(vec![Node::new(Kind::Directory(BTreeMap::new()), 0o755, (0, 0))])
    }

    fn index(number: u64) -> usize {
        usize::try_from(number - ROOT).expect("a node number that fits")
    }

    pub(super) fn node(&self, number: u64) -> &Node {
        &self.0[Self::index(number)]
    }

    pub(super) fn node_mut(&mut self, number: u64) -> &mut Node {
        &mut self.0[Self::index(number)]
    }

    fn names(&self, directory: u64) -> Result<&BTreeMap<String, u64>, Errno> {
        match &self.node(directory).kind {
            Kind::Directory(names) => Ok(names),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn names_mut(&mut self, directory: u64) -> Result<&mut BTreeMap<String, u64>, Errno> {
        match &mut self.node_mut(directory).kind {
            Kind::Directory(names) => Ok(names),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn lookup(&self, directory: u64, name: &str) -> Result<u64, Errno> {
        self.names(directory)?.get(name).copied().ok_or(Errno::NOENT)
    }

    /// The node of a path from the root; `""` and `"/"` are the root itself.
    pub(super) fn walk(&self, path: &str) -> Result<u64, Errno> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(ROOT, |node, name| self.lookup(node, name))
    }

    pub(super) fn create(&mut self, directory: u64, name: &str, node: Node) -> Result<u64, Errno> {
        if self.names(directory)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.0.push(node);
        let number = self.0.len() as u64 - 1 + ROOT;
        self.names_mut(directory)?.insert(name.to_owned(), number);
        Ok(number)
    }

    pub(super) fn remove(&mut self, directory: u64, name: &str) -> Result<(), Errno> {
        let number = self.lookup(directory, name)?;
        if matches!(&self.node(number).kind, Kind::Directory(names) if !names.is_empty()) {
            return Err(Errno::NOTEMPTY);
        }
        self.names_mut(directory)?.remove(name);
        Ok(())
    }

    /// `keep`: fail where the new name is taken (`RENAME_NOREPLACE`).
    pub(super) fn rename(&mut self, from: (u64, &str), to: (u64, &str), keep: bool) -> Result<(), Errno> {
        let number = self.lookup(from.0, from.1)?;
        if keep && self.lookup(to.0, to.1).is_ok() {
            return Err(Errno::EXIST);
        }
        self.names_mut(to.0)?.insert(to.1.to_owned(), number);
        if from != to {
            self.names_mut(from.0)?.remove(from.1);
        }
        Ok(())
    }

    pub(super) fn read(&self, number: u64, offset: usize, size: usize) -> Result<&[u8], Errno> {
        let Kind::File(bytes) = &self.node(number).kind else { return Err(Errno::ISDIR) };
        let end = bytes.len().min(offset.saturating_add(size));
        Ok(bytes.get(offset..end).unwrap_or_default())
    }

    pub(super) fn write(&mut self, number: u64, offset: usize, new: &[u8]) -> Result<(), Errno> {
        let Kind::File(bytes) = &mut self.node_mut(number).kind else { return Err(Errno::ISDIR) };
        let end = offset + new.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[offset..end].copy_from_slice(new);
        Ok(())
    }

    pub(super) fn truncate(&mut self, number: u64, size: usize) -> Result<(), Errno> {
        let node = self.node_mut(number);
        let Kind::File(bytes) = &mut node.kind else { return Err(Errno::ISDIR) };
        node.sparse_size = (size > STORED_BYTES).then_some(size as u64);
        if node.sparse_size.is_none() {
            bytes.resize(size, 0);
        }
        Ok(())
    }

    /// The names in the directory at `path`.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        Ok(self.names(self.walk(path)?)?.keys().cloned().collect())
    }

    /// `struct fuse_attr`.
    pub(super) fn attributes(&self, number: u64, reply: Reply) -> Reply {
        let node = self.node(number);
        let size = match &node.kind {
            Kind::Directory(_) => 0,
            Kind::File(bytes) => bytes.len(),
            Kind::Symlink(target) => target.len(),
        } as u64;
        let size = node.sparse_size.unwrap_or(size);
        let reply = reply.u64(number).u64(size).u64(size.div_ceil(512));
        let reply = reply.u64(node.modified).u64(node.modified).u64(node.modified).bytes(&[0; 12]);
        reply.u32(node.format() | node.mode).u32(1).u32(node.uid).u32(node.gid).u32(0).u32(4096).u32(0)
    }

    /// `struct fuse_dirent`s from this position on, as many as fit.
    pub(super) fn entries(&self, directory: u64, from: usize, size: usize) -> Result<Vec<u8>, Errno> {
        let dots = [(".", directory), ("..", ROOT)];
        let names = self.names(directory)?.iter().map(|(name, number)| (name.as_str(), *number));
        let mut out = Vec::new();
        for (position, (name, number)) in dots.into_iter().chain(names).enumerate().skip(from) {
            let mut entry = Vec::new();
            entry.extend(number.to_ne_bytes());
            entry.extend((position as u64 + 1).to_ne_bytes());
            entry.extend(u32::try_from(name.len()).expect("a short name").to_ne_bytes());
            entry.extend((self.node(number).format() >> 12).to_ne_bytes());
            entry.extend(name.as_bytes());
            entry.resize(entry.len().next_multiple_of(8), 0);
            if out.len() + entry.len() > size {
                break;
            }
            out.extend(entry);
        }
        Ok(out)
    }
}
