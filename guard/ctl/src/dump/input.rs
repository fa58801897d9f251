//! Opens a dump, plain or by gzip, as a stream of lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

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
        Ok(Self { reader: BufReader::with_capacity(1 << 18, stream), child, path: path.to_owned(), line: Vec::new() })
    }

    /// The next line with its end, `None` after the last one. An error where the compressed file is damaged.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        let length = self.reader.read_until(b'\n', &mut self.line);
        let length = length.with_context(|| format!("{}: cannot be read to its end", self.path.display()))?;
        if length > 0 {
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
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
