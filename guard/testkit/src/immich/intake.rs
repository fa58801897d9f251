//! A request's body enters, its length and hash leave: and, where its end never comes, the fact that it did not.

use aws_lc_rs::digest::{Context, SHA256};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::multipart::Form;
use super::record::{Entry, Stored};
use crate::noise::hex;

/// A body on its way in. Dropped before its end, an upload counts as aborted.
pub(super) struct Intake {
    body: Incoming,
    entry: Entry,
    hash: Context,
    form: Option<Form>,
    bytes: u64,
    is_upload: bool,
    finished: bool,
}

impl Intake {
    /// A body that nobody keeps.
    pub(super) fn new(body: Incoming, entry: Entry) -> Self {
        Self { body, entry, hash: Context::new(&SHA256), form: None, bytes: 0, is_upload: false, finished: false }
    }

    /// An asset.
    pub(super) fn upload(body: Incoming, entry: Entry) -> Self {
        let mut intake = Self::new(body, entry);
        intake.is_upload = true;
        intake.form = intake.entry.get().header("content-type").and_then(Form::new);
        intake
    }

    /// Reads until at least `enough` bytes came, or the end.
    pub(super) async fn read(&mut self, enough: u64) -> Result<(), hyper::Error> {
        while !self.finished && self.bytes < enough {
            let Some(frame) = self.body.frame().await else {
                self.finished = true;
                self.entry.modify(|request| request.complete = true);
                break;
            };
            if let Some(data) = frame?.data_ref() {
                if self.is_upload {
                    self.hash.update(data);
                    self.form.iter_mut().for_each(|form| form.push(data, |_| ()));
                }
                self.bytes += data.len() as u64;
                self.entry.modify(|request| request.body_bytes = self.bytes);
            }
        }
        Ok(())
    }

    /// Reads to the end.
    pub(super) async fn read_all(&mut self) -> Result<(), hyper::Error> {
        self.read(u64::MAX).await
    }

    /// Keeps what was read, which is all.
    pub(super) fn store(self) {
        debug_assert!(self.finished, "only a whole asset is stored");
        let file = self.form.as_ref().and_then(Form::finish);
        let stored = Stored { bytes: self.bytes, sha256: hex(self.hash.clone().finish().as_ref()), file };
        self.entry.log().send_modify(|state| state.stored.push(stored));
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        if self.is_upload && !self.finished {
            self.entry.log().send_modify(|state| state.aborted_uploads += 1);
        }
    }
}
