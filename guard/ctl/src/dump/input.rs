//! Opens a dump, plain or by gzip, as a stream of lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{Context, SHA256};

/// The first bytes of a gzip file (RFC 1952) and of an archive of `pg_dump --format=custom`.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const CUSTOM: &[u8] = b"PGDMP";

/// The lines of a dump.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    /// `gzip -dc`, where the dump is compressed.
    child: Option<Child>,
    path: PathBuf,
    line: Vec<u8>,
    digest: Context,
}

impl Lines {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let place = path.display();
        let mut file = File::open(path).with_context(|| format!("{place}: cannot be read"))?;
        let mut head = Vec::new();
        file.by_ref().take(8).read_to_end(&mut head).with_context(|| format!("{place}: cannot be read"))?;
        file.seek(SeekFrom::Start(0)).with_context(|| format!("{place}: wanted a file, not a pipe"))?;
        ensure!(
            !head.starts_with(CUSTOM),
            "{place}: found an archive of pg_dump --format=custom, wanted SQL: pg_restore --file=dump.sql {place}"
        );
        let mut child = None;
        let stream: Box<dyn Read> = if head.starts_with(&GZIP) {
            let mut gzip = Command::new("gzip");
            gzip.args(["--decompress", "--stdout"]).stdin(file).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut started =
                gzip.spawn().with_context(|| format!("{place}: gzip cannot be run; wanted it, or the dump unpacked"))?;
            let stdout = started.stdout.take().context("gzip has no output")?;
            child = Some(started);
            Box::new(stdout)
        } else {
            Box::new(file)
        };
        Ok(Self {
            reader: BufReader::with_capacity(1 << 18, stream),
            child,
            path: path.to_owned(),
            line: Vec::new(),
            digest: Context::new(&SHA256),
        })
    }

    /// The next line with its end, `None` after the last one. An error where the compressed file is damaged.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        let length = self.reader.read_until(b'\n', &mut self.line);
        let length = length.with_context(|| format!("{}: cannot be read to its end", self.path.display()))?;
        if length > 0 {
            self.digest.update(&self.line);
            return Ok(Some(&self.line));
        }
        if let Some(mut child) = self.child.take() {
            let status = child.wait()?;
            ensure!(
                status.success(),
                "{}: found a damaged gzip file (gzip ended with {status}), wanted the dump whole: copy it again, or make a new one",
                self.path.display()
            );
        }
        Ok(None)
    }

    /// The SHA-256 of the lines, in hexadecimal digits: the same for a dump and for the same dump by gzip.
    pub(super) fn sha256(&self) -> String {
        use std::fmt::Write as _;
        let digest = self.digest.clone().finish();
        digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
