//! A socket enters, the same socket leaves, with a count of what has really been handed to the kernel: only so can a server die
//! after exactly half a body and not somewhere before.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Bytes written, as of the last flush: hyper flushes the socket when its own buffer is empty.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    written: AtomicU64,
    flushed: watch::Sender<u64>,
}

impl Gauge {
    pub(super) fn flushed(&self) -> u64 {
        *self.flushed.borrow()
    }

    pub(super) async fn wait_for(&self, bytes: u64) {
        // The sender lives as long as `self`.
        let _ = self.flushed.subscribe().wait_for(|flushed| *flushed >= bytes).await;
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = result {
            self.written.fetch_add(count as u64, Ordering::Relaxed);
        }
        result
    }
}

/// A socket with a gauge.
#[derive(Debug)]
pub(super) struct Gauged {
    stream: TcpStream,
    gauge: Arc<Gauge>,
}

impl Gauged {
    pub(super) fn new(stream: TcpStream, gauge: Arc<Gauge>) -> Self {
        Self { stream, gauge }
    }
}

impl AsyncRead for Gauged {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Gauged {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.gauge.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.gauge.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.gauge.written.load(Ordering::Relaxed);
        self.gauge.flushed.send_if_modified(|flushed| std::mem::replace(flushed, written) != written);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
