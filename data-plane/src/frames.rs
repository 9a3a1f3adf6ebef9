//! Frames: JSON with its length before it (four bytes, little-endian), over sockets and pipes between
//! the processes of one gateway.
//!
//! Invariant: no frame is larger than [`FRAME_BYTES_MAX`], and memory grows with what arrived, not with
//! the length that was announced.

use std::io;

use bytes::{Buf as _, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::protocol::FRAME_BYTES_MAX;

const HEAD: usize = 4;
/// Room for one read.
const READ_BYTES: usize = 16 << 10;

/// Why frames cannot go on. The other end is broken or gone: give the connection up.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The connection failed.
    #[error("frame connection: {0}")]
    Connection(#[from] io::Error),
    /// The other end left in the middle of a frame.
    #[error("the other end closed in the middle of a frame")]
    Cut,
    /// A length beyond the limit.
    #[error("a frame has {0} bytes; expected at most {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    /// Bytes that are no such message.
    #[error("a frame is not the expected message: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl FrameError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Connection(_) => "FRAME_CONNECTION_FAILED",
            Self::Cut => "FRAME_CUT",
            Self::TooLarge(_) => "FRAME_TOO_LARGE",
            Self::Malformed(_) => "FRAME_MALFORMED",
        }
    }
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from this source from here on.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame; none when the other end closed after a whole one. Cancel-safe: a call that is
    /// dropped loses nothing.
    ///
    /// # Errors
    /// As [`FrameError`] says.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        loop {
            if let Some(len) = announced(&self.buffer)?
                && self.buffer.len() >= HEAD + len
            {
                self.buffer.advance(HEAD);
                return Ok(Some(serde_json::from_slice(&self.buffer.split_to(len))?));
            }
            self.buffer.reserve(READ_BYTES);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Cut)
                };
            }
        }
    }
}

fn announced(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let len = u32::from_le_bytes(*head) as usize;
    if len > FRAME_BYTES_MAX {
        Err(FrameError::TooLarge(len))
    } else {
        Ok(Some(len))
    }
}

/// Writes frames.
#[derive(Debug)]
pub struct FrameWriter<W> {
    sink: W,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to this sink from here on.
    pub const fn new(sink: W) -> Self {
        Self { sink }
    }

    /// Writes one frame. Not cancel-safe: a call that is dropped may leave half a frame behind.
    ///
    /// # Errors
    /// As [`FrameError`] says; a message beyond the limit is refused before any byte is written.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), FrameError> {
        Ok(self.sink.write_all(&encode(message)?).await?)
    }
}

/// Writes one frame, blocking: for the probe, whose words must be out before native code runs.
///
/// # Errors
/// As [`FrameError`] says.
pub fn write_blocking<T: Serialize + ?Sized>(
    sink: &mut impl io::Write,
    message: &T,
) -> Result<(), FrameError> {
    sink.write_all(&encode(message)?)?;
    Ok(sink.flush()?)
}

fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, message)?;
    let len = frame.len() - HEAD;
    match u32::try_from(len) {
        Ok(head) if len <= FRAME_BYTES_MAX => frame[..HEAD].copy_from_slice(&head.to_le_bytes()),
        _ => return Err(FrameError::TooLarge(len)),
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_arrive_in_order_and_end_with_the_connection() {
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let mut writer = FrameWriter::new(near);
        writer.send("first").await.unwrap();
        writer.send(&[1, 2]).await.unwrap();
        drop(writer);
        let mut reader = FrameReader::new(far);
        assert_eq!(
            reader.next::<String>().await.unwrap().as_deref(),
            Some("first")
        );
        assert_eq!(reader.next::<Vec<u8>>().await.unwrap(), Some(vec![1, 2]));
        assert_eq!(reader.next::<String>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn frame_in_pieces_survives_a_cancelled_read() {
        let bytes = encode("pieces").unwrap();
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far);
        near.write_all(&bytes[..7]).await.unwrap();
        tokio::select! {
            biased;
            _ = reader.next::<String>() => panic!("the frame is not whole"),
            () = tokio::task::yield_now() => {}
        }
        near.write_all(&bytes[7..]).await.unwrap();
        assert_eq!(
            reader.next::<String>().await.unwrap().as_deref(),
            Some("pieces")
        );
    }

    #[tokio::test]
    async fn cut_malformed_and_oversized_frames_are_refused() {
        let refusal = async |bytes: &[u8]| {
            FrameReader::new(bytes)
                .next::<String>()
                .await
                .unwrap_err()
                .code()
        };
        assert_eq!(refusal(&[2, 0, 0, 0, b'"']).await, "FRAME_CUT");
        assert_eq!(refusal(&[2, 0]).await, "FRAME_CUT");
        assert_eq!(refusal(&[2, 0, 0, 0, b'{', b'}']).await, "FRAME_MALFORMED");
        assert_eq!(refusal(&u32::MAX.to_le_bytes()).await, "FRAME_TOO_LARGE");
    }

    #[test]
    fn blocking_writer_writes_the_same_bytes() {
        let mut bytes = Vec::new();
        write_blocking(&mut bytes, "same").unwrap();
        assert_eq!(bytes, encode("same").unwrap());
    }
}
