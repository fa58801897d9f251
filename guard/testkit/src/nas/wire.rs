//! The FUSE protocol, version 7.31, as far as a small server needs it: bytes of a request enter, typed fields leave, and back.
//!
//! The layout is that of the kernel's `include/uapi/linux/fuse.h`; numbers are in the byte order of the machine.

/// Size of `fuse_in_header`, which is before every request.
const IN_HEADER: usize = 40;

/// The kernel never sends more than this: `max_write` below, and room for the headers.
pub(super) const REQUEST_MAX: usize = MAX_WRITE as usize + 4096;

const MAX_WRITE: u32 = 1 << 17;

/// `FOPEN_DIRECT_IO`: no page cache in between, so that every read and write is a request.
const DIRECT_IO: u32 = 1;

macro_rules! operations {
    ($($name:ident = $code:literal,)*) => {
        /// What is asked of the server (`enum fuse_opcode`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are those of fuse.h")]
        pub enum Op { $($name,)* Other(u32) }

        impl From<u32> for Op {
            fn from(code: u32) -> Self {
                match code { $($code => Self::$name,)* other => Self::Other(other) }
            }
        }
    };
}

operations! {
    Lookup = 1, Forget = 2, Getattr = 3, Setattr = 4, Readlink = 5, Symlink = 6, Mkdir = 9, Unlink = 10, Rmdir = 11, Rename = 12,
    Open = 14, Read = 15, Write = 16, Statfs = 17, Release = 18, Fsync = 20, Flush = 25, Init = 26, Opendir = 27, Readdir = 28,
    Releasedir = 29, Fsyncdir = 30, Access = 34, Create = 35, Interrupt = 36, Destroy = 38, BatchForget = 42, Rename2 = 45,
}

impl Op {
    /// The kernel expects no answer to these.
    pub(super) fn is_silent(self) -> bool {
        matches!(self, Self::Forget | Self::BatchForget | Self::Interrupt)
    }

    /// Does it change what is stored?
    pub(super) fn is_change(self) -> bool {
        self.is_creation() || matches!(self, Self::Setattr | Self::Unlink | Self::Rmdir | Self::Write)
    }

    /// Does it make a new name?
    pub(super) fn is_creation(self) -> bool {
        matches!(self, Self::Symlink | Self::Mkdir | Self::Rename | Self::Rename2 | Self::Create)
    }
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) op: Op,
    pub(super) unique: u64,
    pub(super) node: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: u32,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let head = Request { op: Op::Other(0), unique: 0, node: 0, uid: 0, gid: 0, pid: 0, body: bytes };
        Request {
            op: Op::from(head.u32(4)),
            unique: head.u64(8),
            node: head.u64(16),
            uid: head.u32(24),
            gid: head.u32(28),
            pid: head.u32(32),
            body: &bytes[IN_HEADER..],
        }
    }

    /// The number at this offset of the body.
    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.body[at..at + 4].try_into().expect("four bytes"))
    }

    /// The number at this offset of the body.
    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.body[at..at + 8].try_into().expect("eight bytes"))
    }

    /// The bytes from this offset on.
    pub(super) fn rest(&self, at: usize) -> &'a [u8] {
        &self.body[at..]
    }

    /// The `index`th of the NUL-terminated names that begin at this offset.
    pub(super) fn name(&self, at: usize, index: usize) -> String {
        let name = self.body[at..].split(|byte| *byte == 0).nth(index).unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

/// An answer in the making: `struct fuse_out_header`, then what is put behind it.
pub(super) struct Reply(Vec<u8>);

impl Reply {
    /// A success without content yet.
    pub(super) fn ok() -> Self {
        Self(vec![0; 16])
    }

    /// A failure with this `errno`.
    pub(super) fn error(errno: i32) -> Self {
        let mut reply = Self::ok();
        reply.0[4..8].copy_from_slice(&(-errno).to_ne_bytes());
        reply
    }

    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// `fuse_init_out`: 7.31, no capability but writes of more than a page.
    pub(super) fn init(max_readahead: u32) -> Self {
        let big_writes = 1 << 5;
        Self::ok().u32(7).u32(31).u32(max_readahead).u32(big_writes).u16(16).u16(12).u32(MAX_WRITE).u32(1).bytes(&[0; 36])
    }

    /// `fuse_open_out`.
    pub(super) fn opened(self) -> Self {
        self.u64(0).u32(DIRECT_IO).u32(0)
    }

    /// `fuse_entry_out` without its attributes: a name that the kernel may not remember.
    pub(super) fn entry(self, node: u64) -> Self {
        self.u64(node).u64(0).u64(0).u64(0).u32(0).u32(0)
    }

    /// The head of `fuse_attr_out`: attributes that the kernel may not remember.
    pub(super) fn unremembered(self) -> Self {
        self.u64(0).u64(0)
    }

    /// `fuse_kstatfs`, blocks of 4 KiB and 1000 inodes.
    pub(super) fn statfs(self, blocks: u64, free: u64) -> Self {
        self.u64(blocks).u64(free).u64(free).u64(1000).u64(900).u32(4096).u32(255).u32(4096).u32(0).bytes(&[0; 24])
    }

    /// The whole answer to the request with this number.
    pub(super) fn finish(mut self, unique: u64) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("an answer below 4 GiB");
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..16].copy_from_slice(&unique.to_ne_bytes());
        self.0
    }
}
