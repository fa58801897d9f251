//! An upgraded connection enters; every frame that comes out of it goes back in (RFC 6455): text and binary as they were, a ping as a
//! pong, a close as a close.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::record::{Count, Log};

/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A frame longer than this is a broken test.
const LONGEST: u64 = 64 * 1024 * 1024;

/// `Sec-WebSocket-Accept` for a request that asks for a WebSocket.
pub fn accept(headers: &HeaderMap) -> Option<String> {
    let is_upgrade = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade)?.to_str().ok()?;
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    Some(STANDARD.encode(hash.as_ref()))
}

/// The same, and counts the tunnel.
pub(super) async fn echo_counted(upgraded: Upgraded, log: &Log) {
    let _open = Count::tunnel(log);
    echo(upgraded).await;
}

/// Echoes until a close frame, or until the peer says that it sends no more; then says the same.
pub async fn echo(upgraded: Upgraded) {
    let mut stream = BufReader::new(TokioIo::new(upgraded));
    // A peer that goes away is what ends most tunnels.
    if let Ok(()) = frames(&mut stream).await {
        let _ = stream.shutdown().await;
    }
}

async fn frames<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> io::Result<()> {
    while let Some(Frame { head, mask, mut payload }) = Frame::read(stream).await? {
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        let opcode = head & 0x0F;
        let head = if opcode == PING { head & 0xF0 | PONG } else { head };
        if opcode != PONG {
            stream.write_all(&encoded(head, &payload)).await?;
            stream.flush().await?;
        }
        if opcode == CLOSE {
            break;
        }
    }
    Ok(())
}

struct Frame {
    /// FIN, reserved bits and opcode, which all go back as they came.
    head: u8,
    mask: [u8; 4],
    payload: Vec<u8>,
}

impl Frame {
    /// None when the peer ends between two frames.
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let head = match stream.read_u8().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            head => head?,
        };
        let length = stream.read_u8().await?;
        if length & 0x80 == 0 {
            return Err(io::Error::other("a client's frame is masked (RFC 6455, 5.1)"));
        }
        let length = match length & 0x7F {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            short => u64::from(short),
        };
        let fits = usize::try_from(length).ok().filter(|_| length <= LONGEST);
        let mut payload = vec![0; fits.ok_or_else(|| io::Error::other("a frame longer than any test sends"))?];
        let mut mask = [0; 4];
        stream.read_exact(&mut mask).await?;
        stream.read_exact(&mut payload).await?;
        Ok(Some(Self { head, mask, payload }))
    }
}

fn encoded(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head];
    match payload.len() {
        short @ 0..=125 => frame.push(u8::try_from(short).expect("at most 125")),
        medium @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend(u16::try_from(medium).expect("at most 65535").to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
