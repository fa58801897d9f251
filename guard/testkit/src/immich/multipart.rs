//! A multipart form enters in pieces of any size, its fields and the hash of its file leave. The file is the last part, as Immich wants it.

use aws_lc_rs::digest::{Context, SHA256};

use crate::noise::hex;

/// A file of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// The fields before it, in order.
    pub fields: Vec<(String, String)>,
    /// The name in its `Content-Disposition`.
    pub filename: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// A form on its way in.
pub struct Form {
    boundary: String,
    head: Vec<u8>,
    file: Option<(Vec<(String, String)>, String)>,
    hash: Context,
    bytes: u64,
    /// What may be the end of the form, and is no byte of the file then.
    held: Vec<u8>,
}

impl Form {
    /// A form with the boundary of this content type; none for another one.
    pub fn new(content_type: &str) -> Option<Self> {
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=")?.to_owned();
        Some(Self { boundary, head: Vec::new(), file: None, hash: Context::new(&SHA256), bytes: 0, held: Vec::new() })
    }

    /// Takes the next piece, and gives the bytes of the file in it to `file`, as far as they are no part of the form's end.
    pub fn push(&mut self, data: &[u8], mut file: impl FnMut(&[u8])) {
        if self.file.is_some() {
            self.push_file(data, &mut file);
            return;
        }
        self.head.extend_from_slice(data);
        let end = find(&self.head, b"name=\"assetData\"").and_then(|at| Some(at + find(&self.head[at..], b"\r\n\r\n")? + 4));
        if let Some(end) = end {
            let rest = self.head.split_off(end);
            self.file = Some(self.read_head());
            self.push_file(&rest, &mut file);
        }
    }

    /// Holds back as much as the end of the form is long, and hashes what was before it.
    fn push_file(&mut self, data: &[u8], file: &mut impl FnMut(&[u8])) {
        let keep = self.closing().len();
        let of_held = (self.held.len() + data.len()).saturating_sub(keep).min(self.held.len());
        self.hash.update(&self.held[..of_held]);
        file(&self.held[..of_held]);
        self.held.drain(..of_held);
        let of_data = data.len() - (keep - self.held.len()).min(data.len());
        self.hash.update(&data[..of_data]);
        file(&data[..of_data]);
        self.held.extend_from_slice(&data[of_data..]);
        self.bytes += (of_held + of_data) as u64;
    }

    /// The file, if the form has ended well.
    pub fn finish(&self) -> Option<StoredFile> {
        let (fields, filename) = self.file.clone()?;
        let sha256 = hex(self.hash.clone().finish().as_ref());
        (self.held == self.closing().as_bytes()).then_some(StoredFile { fields, filename, bytes: self.bytes, sha256 })
    }

    fn closing(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    fn read_head(&self) -> (Vec<(String, String)>, String) {
        let text = String::from_utf8_lossy(&self.head);
        let quoted = |part: &str, name: &str| {
            let value = part.split_once(&format!("{name}=\""))?.1;
            Some(value.split_once('"')?.0.to_owned())
        };
        let delimiter = format!("--{}\r\n", self.boundary);
        let parts: Vec<_> = text.split(&delimiter).filter(|part| !part.is_empty()).collect();
        let fields = parts.iter().filter_map(|part| {
            let (head, value) = part.split_once("\r\n\r\n")?;
            Some((quoted(head, " name")?, value.strip_suffix("\r\n")?.to_owned()))
        });
        let fields = fields.filter(|(name, _)| name != "assetData").collect();
        (fields, parts.last().and_then(|part| quoted(part, "filename")).unwrap_or_default())
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
