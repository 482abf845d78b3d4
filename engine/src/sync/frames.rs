//! Cuts a receive stream into frames. A frame is copied out of the buffer that it was read into, unless it is most of it:
//! what is kept of a frame must not keep a buffer that is much larger, for whoever counts it counts the frame.
//!
//! What the feeds of a link hold that is read and not taken is bounded over all of them ([`FeedBytes`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::RecvStream;
use subrosa_protocol::codec::DecodeError;
use subrosa_protocol::frame::FrameLimit;
use subrosa_protocol::limits::FEED_HELD_BYTES_MAX;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;

/// Room made for a stream that says little.
const READ_BYTES_MIN: usize = 2 << 10;
/// Room made for a stream in full flow.
const READ_BYTES_MAX: usize = 256 << 10;

pub(super) struct FrameReader {
    stream: RecvStream,
    buffer: BytesMut,
    /// What the last read brought: the next one gets twice the room.
    last_read: usize,
    /// Of a feed.
    share: Option<Share>,
}

/// Bytes of the feeds of one link that are read and not taken.
#[derive(Debug, Default)]
pub(super) struct FeedBytes {
    /// Of frames that are not whole yet. An honest relay, which reads a chunk when the one before is handed over, never begins
    /// so much at a time as is too much here, however many feeds there are; so whoever does has no need to be waited for.
    begun: AtomicUsize,
    /// Of whole ones, which are waited for: the link takes them in its time.
    whole: AtomicUsize,
    changed: Notify,
}

impl FeedBytes {
    /// A frame of that length was taken.
    pub(super) fn took(&self, len: usize) {
        self.whole.fetch_sub(PREFIX_BYTES + len, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until more may be read.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken.
    async fn room(&self) -> Result<(), FrameError> {
        loop {
            let changed = self.changed.notified();
            let begun = self.begun.load(Ordering::SeqCst);
            if begun >= FEED_HELD_BYTES_MAX {
                return Err(FrameError::TooMuchBegun);
            }
            if begun + self.whole.load(Ordering::SeqCst) < FEED_HELD_BYTES_MAX {
                return Ok(());
            }
            changed.await;
        }
    }
}

/// What one feed has of it.
struct Share {
    held: Arc<FeedBytes>,
    begun: usize,
    whole: usize,
}

impl Share {
    /// So much is in the buffer: of a frame that is not whole, or of others.
    fn is(&mut self, begun: usize, whole: usize) {
        let FeedBytes { begun: all_begun, whole: all_whole, .. } = &*self.held;
        for (all, own, now) in [(all_begun, &mut self.begun, begun), (all_whole, &mut self.whole, whole)] {
            all.fetch_add(now, Ordering::SeqCst);
            all.fetch_sub(std::mem::replace(own, now), Ordering::SeqCst);
        }
    }

    /// A frame of that length leaves the buffer: it is counted until it is taken.
    const fn cut(&mut self, len: usize) {
        self.whole = self.whole.saturating_sub(PREFIX_BYTES + len);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.is(0, 0);
        self.held.changed.notify_waiters();
    }
}

const PREFIX_BYTES: usize = 4;

/// Why no frame comes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The stream is finished, reset, or its connection lost.
    #[error("stream ended")]
    Ended,
    /// A length that no frame has.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The feeds of the link have begun more at a time than any honest relay does.
    #[error("too many large frames begun")]
    TooMuchBegun,
}

impl FrameReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new(), last_read: 0, share: None }
    }

    /// Of a feed. Whoever takes its frames says so to `held`.
    pub(super) fn of_feed(stream: RecvStream, held: Arc<FeedBytes>) -> Self {
        Self { share: Some(Share { held, begun: 0, whole: 0 }), ..Self::new(stream) }
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
                if let Some(share) = &mut self.share {
                    share.is(0, self.buffer.len());
                    share.cut(len);
                }
                return Ok(cut(&mut self.buffer, len));
            }
            if let Some(share) = &mut self.share {
                share.is(self.buffer.len(), 0);
                share.held.room().await?;
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
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn looked_at(
        room: Pin<&mut impl Future<Output = Result<(), FrameError>>>,
    ) -> Poll<Result<(), FrameError>> {
        room.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whole_frames_of_all_feeds_are_waited_for_and_too_much_that_is_begun_is_not() {
        let held = Arc::new(FeedBytes::default());
        let share = || Share { held: held.clone(), begun: 0, whole: 0 };
        let (mut one, mut other) = (share(), share());
        one.is(FEED_HELD_BYTES_MAX - 100, 0);
        assert!(matches!(looked_at(pin!(held.room())), Poll::Ready(Ok(()))));
        other.is(0, 100);
        let mut room = pin!(held.room());
        assert!(looked_at(room.as_mut()).is_pending(), "whole frames are taken in time");
        other.cut(100 - PREFIX_BYTES);
        other.is(0, 0);
        assert!(looked_at(room.as_mut()).is_pending(), "it left the buffer, and is with nobody yet");
        held.took(100 - PREFIX_BYTES);
        assert!(matches!(looked_at(room), Poll::Ready(Ok(()))));
        other.is(100, 0);
        assert!(matches!(looked_at(pin!(held.room())), Poll::Ready(Err(FrameError::TooMuchBegun))));
        drop(one);
        assert!(matches!(looked_at(pin!(held.room())), Poll::Ready(Ok(()))), "that feed is over");
        drop(other);
        assert_eq!([&held.begun, &held.whole].map(|bytes| bytes.load(Ordering::SeqCst)), [0, 0]);
    }

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
