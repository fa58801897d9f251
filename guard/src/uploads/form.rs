//! The request to Immich: a multipart form (RFC 7578) of an exact length, whose last part is the file.
//!
//! Everything before and behind the file is known before the first byte, so the length is declared, and a broken upload is visible as one: the
//! message does not reach it. The name of the file is a field of its own: Immich prefers it, and reads a name in `Content-Disposition` as Latin-1.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

use super::metadata::Metadata;
use crate::proxy::request_body::BodyError;
use crate::random;

/// The parts of the form around the file.
#[derive(Clone, Debug)]
pub struct Form {
    /// The delimiter of its parts.
    pub boundary: String,
    /// What is before the file.
    pub preamble: Bytes,
    /// What is behind it.
    pub closing: Bytes,
}

impl Form {
    /// The form of a file with this metadata.
    pub fn new(metadata: &Metadata) -> Result<Self, random::Unavailable> {
        let mut boundary = "guard-".to_owned();
        for byte in random::bytes::<16>()? {
            // Writing into a String cannot fail.
            let _ = write!(boundary, "{byte:02x}");
        }
        let mut text = String::new();
        let fields = metadata.fields.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in fields.chain([("filename", metadata.filename.as_str())]) {
            let _ = write!(text, "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        let content_type = metadata.content_type.as_deref().unwrap_or("application/octet-stream");
        let _ = write!(
            text,
            "--{boundary}\r\nContent-Disposition: form-data; name=\"assetData\"; filename=\"upload{}\"\r\n\
             Content-Type: {content_type}\r\n\r\n",
            metadata.extension
        );
        let closing = format!("\r\n--{boundary}--\r\n");
        Ok(Self { boundary, preamble: text.into(), closing: closing.into() })
    }
}

/// The body of the request to Immich: the form, with the bytes of the file as they arrive through a channel. If they end early, the connection is
/// broken off, and Immich has no complete message.
pub struct UploadBody {
    preamble: Option<Bytes>,
    file: Option<mpsc::Receiver<Bytes>>,
    left: u64,
    closing: Option<Bytes>,
}

impl UploadBody {
    /// The body of an upload of `length` bytes, which arrive through `file`.
    pub fn new(form: Form, length: u64, file: mpsc::Receiver<Bytes>) -> Self {
        Self { preamble: Some(form.preamble), file: Some(file), left: length, closing: Some(form.closing) }
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(preamble) = this.preamble.take() {
            return Poll::Ready(Some(Ok(Frame::data(preamble))));
        }
        if this.left == 0 {
            return Poll::Ready(this.closing.take().map(|closing| Ok(Frame::data(closing))));
        }
        let Some(file) = &mut this.file else { return Poll::Ready(None) };
        match std::task::ready!(file.poll_recv(cx)) {
            // Never more than was declared: whoever sends counts too.
            Some(bytes) if bytes.len() as u64 <= this.left => {
                this.left -= bytes.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            _ => {
                this.file = None;
                Poll::Ready(Some(Err(BodyError::Incomplete)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.preamble.is_none() && self.left == 0 && self.closing.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let around = [&self.preamble, &self.closing].into_iter().flatten().map(|bytes| bytes.len() as u64).sum::<u64>();
        SizeHint::with_exact(around + self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            filename: "Été \"1\".mov".to_owned(),
            extension: ".mov".to_owned(),
            content_type: None,
            checksum: None,
            fields: vec![("fileCreatedAt", "2026-11-25T12:00:00Z".to_owned())],
        }
    }

    #[tokio::test]
    async fn the_length_is_exact_and_the_file_is_last() {
        let form = Form::new(&metadata()).unwrap();
        let (sender, receiver) = mpsc::channel(1);
        let body = UploadBody::new(form.clone(), 5, receiver);
        let declared = body.size_hint().exact().unwrap();
        tokio::spawn(async move {
            for piece in ["he", "llo"] {
                sender.send(Bytes::from(piece)).await.unwrap();
            }
        });
        let whole = body.collect().await.unwrap().to_bytes();
        assert_eq!(whole.len() as u64, declared);
        let text = String::from_utf8(whole.to_vec()).unwrap();
        let b = &form.boundary;
        assert_eq!(
            text,
            format!(
                "--{b}\r\nContent-Disposition: form-data; name=\"fileCreatedAt\"\r\n\r\n2026-11-25T12:00:00Z\r\n\
                 --{b}\r\nContent-Disposition: form-data; name=\"filename\"\r\n\r\nÉté \"1\".mov\r\n\
                 --{b}\r\nContent-Disposition: form-data; name=\"assetData\"; filename=\"upload.mov\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\nhello\r\n--{b}--\r\n"
            )
        );
    }

    #[tokio::test]
    async fn an_upload_that_ends_early_or_has_too_much_is_never_closed_well() {
        for pieces in [&["he"][..], &[], &["hello!"]] {
            let (sender, receiver) = mpsc::channel(4);
            for piece in pieces {
                sender.send(Bytes::from(*piece)).await.unwrap();
            }
            drop(sender);
            assert!(UploadBody::new(Form::new(&metadata()).unwrap(), 5, receiver).collect().await.is_err(), "{pieces:?}");
        }
    }
}
