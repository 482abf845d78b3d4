//! Cuts a receive stream into frames. A frame is copied out of the buffer that it was read into, unless it is most of it:
//! what is kept of a frame must not keep a buffer that is much larger, for whoever counts it counts the frame.

use bytes::{Buf as _, Bytes, BytesMut};
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
                return Ok(cut(&mut self.buffer, len));
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

/// Takes the first frame off a buffer that holds all of it, without the prefix that says its length.
fn cut(buffer: &mut BytesMut, len: usize) -> Bytes {
    buffer.advance(4);
    if len >= READ_BYTES_MAX / 2 {
        return buffer.split_to(len).freeze();
    }
    let frame = Bytes::copy_from_slice(&buffer[..len]);
    buffer.advance(len);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_frame_keeps_nothing_of_the_buffer_that_it_was_read_into() {
        let mut buffer = BytesMut::with_capacity(READ_BYTES_MAX);
        buffer.extend_from_slice(b"\0\0\0\x03one\0\0\0\x03two");
        let start = buffer.as_ptr();
        let frames = [cut(&mut buffer, 3), cut(&mut buffer, 3)];
        assert_eq!(frames, [&b"one"[..], b"two"]);
        assert!(buffer.is_empty());
        // Nobody else holds the buffer: it is used again from its start.
        buffer.reserve(READ_BYTES_MAX);
        assert_eq!((buffer.as_ptr(), buffer.capacity()), (start, READ_BYTES_MAX));
    }

    #[test]
    fn a_large_frame_is_not_copied() {
        let mut buffer = BytesMut::with_capacity(READ_BYTES_MAX + 4);
        buffer.resize(READ_BYTES_MAX + 4, 7);
        let start = buffer[4..].as_ptr();
        let frame = cut(&mut buffer, READ_BYTES_MAX);
        assert_eq!((frame.as_ptr(), frame.len()), (start, READ_BYTES_MAX));
    }
}
