//! What an answer consists of enters, frames for hyper leave.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::noise;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// All of it at once.
    Whole(Bytes),
    /// The bytes of [`noise`] between two positions; `sized` says whether the length is told in advance.
    Noise { at: u64, end: u64, sized: bool },
    /// What somebody sends, of unknown length.
    Driven(mpsc::Receiver<io::Result<Bytes>>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Noise { at, end, .. } if at == end => Poll::Ready(None),
            Self::Noise { at, end, .. } => {
                let next = (*at + noise::CHUNK).min(*end);
                let part = noise::bytes(*at, next);
                *at = next;
                Poll::Ready(Some(Ok(Frame::data(part.into()))))
            }
            Self::Driven(parts) => parts.poll_recv(context).map(|part| part.map(|part| part.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Noise { at, end, sized } => *sized && at == end,
            Self::Driven(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Noise { at, end, sized: true } => SizeHint::with_exact(end - at),
            Self::Noise { .. } | Self::Driven(_) => SizeHint::default(),
        }
    }
}

impl From<serde_json::Value> for Body {
    fn from(value: serde_json::Value) -> Self {
        Self::Whole(value.to_string().into())
    }
}
