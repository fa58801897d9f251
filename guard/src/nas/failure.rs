//! What `guard nas` reports when the path may not be written to: a code, what was found, and what to do.

/// Why the path may not be written to. The numbers are exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Code {
    /// The path is not there.
    Missing = 40,
    /// Not mounted: the node's own disk, or another kind of file system.
    NotMounted = 41,
    /// Mounted from elsewhere.
    WrongSource = 42,
    /// No sentinel.
    SentinelMissing = 43,
    /// The sentinel of another NAS.
    SentinelOther = 44,
    /// Read-only.
    ReadOnly = 45,
    /// Too little space.
    NoSpace = 46,
    /// This user may not write.
    NotWritable = 47,
    /// A step did not end in time.
    Hung = 48,
    /// The mount is dead.
    Stale = 49,
    /// Any other error.
    Io = 50,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::Missing,
        Self::NotMounted,
        Self::WrongSource,
        Self::SentinelMissing,
        Self::SentinelOther,
        Self::ReadOnly,
        Self::NoSpace,
        Self::NotWritable,
        Self::Hung,
        Self::Stale,
        Self::Io,
    ];

    /// The exit code.
    pub const fn exit(self) -> u8 {
        self as u8
    }

    /// The name in messages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "NAS_MISSING",
            Self::NotMounted => "NAS_NOT_MOUNTED",
            Self::WrongSource => "NAS_WRONG_SOURCE",
            Self::SentinelMissing => "NAS_SENTINEL_MISSING",
            Self::SentinelOther => "NAS_SENTINEL_OTHER",
            Self::ReadOnly => "NAS_READ_ONLY",
            Self::NoSpace => "NAS_NO_SPACE",
            Self::NotWritable => "NAS_NOT_WRITABLE",
            Self::Hung => "NAS_HUNG",
            Self::Stale => "NAS_STALE",
            Self::Io => "NAS_IO",
        }
    }

    /// Its place in troubleshooting.md.
    pub fn anchor(self) -> String {
        self.label().to_lowercase().replace('_', "-")
    }

    /// Whether only a new mount, or a new container, can heal it. A hang, a full or a read-only disk may heal under the running process,
    /// and killing it for them would turn a NAS's reboot into a storm of restarts.
    pub const fn is_definite(self) -> bool {
        matches!(
            self,
            Self::Missing | Self::NotMounted | Self::WrongSource | Self::SentinelMissing | Self::SentinelOther | Self::Stale
        )
    }
}

/// What is wrong: the code, what was found and what is wanted, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// The code.
    pub code: Code,
    /// What was found, and what is wanted.
    pub found: String,
    /// What to do, with the command where there is one.
    pub fix: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: Code, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, found: found.into(), fix: fix.into() }
    }
}
