//! Cuts a receive stream into frames. The bytes of a frame are a slice of the buffer that they were read into:
//! a segment is copied once, from the transport's packets.

use bytes::{Bytes, BytesMut};
use quinn::RecvStream;
use subrosa_protocol::codec::DecodeError;
use subrosa_protocol::frame::FrameLimit;
use tokio::io::AsyncReadExt as _;

/// Room made for a stream that says little.
const READ_BYTES_MIN: usize = 2 << 10;
/// Room made for a stream in full flow.
const READ_BYTES_MAX: usize = 256 << 10;

pub(super) struct FrameReader {
    stream: RecvStream,
    buffer: BytesMut,
    /// What the last read brought: the next one gets twice the room.
    last_read: usize,
}

/// Why no frame comes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The stream is finished, reset, or its connection lost.
    #[error("stream ended")]
    Ended,
    /// A length that no frame has.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl FrameReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new(), last_read: 0 }
    }

    /// The next frame, its length prefix removed.
    ///
    /// # Cancel safety
    /// What was read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Bytes, FrameError> {
        loop {
            let announced = FrameLimit::FULL.announced(&self.buffer)?;
            if let Some(len) = announced
                && self.buffer.len() >= 4 + len
            {
                return Ok(self.buffer.split_to(4 + len).freeze().slice(4..));
            }
            let missing = announced.map_or(4, |len| 4 + len).saturating_sub(self.buffer.len());
            let room = (self.last_read * 2).clamp(READ_BYTES_MIN, READ_BYTES_MAX).max(missing);
            if self.buffer.capacity() - self.buffer.len() < missing.max(READ_BYTES_MIN / 2) {
                self.buffer.reserve(room);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(FrameError::Ended),
                Ok(read) => self.last_read = read,
            }
        }
    }
}
