//! Cuts a control stream into frames, holding as little as it can.
//!
//! A frame of up to [`limits::FRAME_BYTES_MAX_UNAUTHENTICATED`] is read as it comes. A larger one first needs a
//! [`Place`]; until it has one its bytes stay in the transport, whose window is small. The buffer grows with
//! what arrives, never with what is announced.
//!
//! A member that sends frames larger than the small window gets a larger one while there is room for it. What a
//! window once promised cannot be taken back: after the last large frame the window shrinks, and the room is free
//! again when the peer has sent what it was promised.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, RecvStream};
use subrosa_protocol::frame::FrameLimit;
use subrosa_protocol::limits;

use crate::intake::Owner;
use crate::places::{Lease, Place, Places, Windows};

/// Bytes taken from the transport at a time.
const READ_BYTES: usize = 64 << 10;
const PREFIX_BYTES: usize = 4;
/// Room for a frame of which only the prefix is there.
const BUFFER_BYTES_MIN: usize = 128;

/// Why there is no next frame.
#[derive(Debug)]
pub(crate) enum FrameEnd {
    /// It is larger than the limit, or empty.
    TooLarge,
    /// It came so slowly that its place went to another.
    TooSlow,
    /// The peer went away.
    Peer,
}

/// What the next frame is read for.
pub(crate) struct Terms<'a> {
    pub(crate) limit: FrameLimit,
    pub(crate) owner: Owner,
    pub(crate) places: &'a Arc<Places>,
    /// Whether the link may have a larger window.
    pub(crate) windows: Option<&'a Arc<Windows>>,
}

/// See the module's documentation.
pub(crate) struct FrameReader {
    recv: RecvStream,
    window: Window,
    /// The frame that is being read, its length prefix first.
    buffer: Vec<u8>,
    /// What was read beyond the last frame.
    rest: Bytes,
    place: Option<Place>,
    /// The place of the frame handed out last.
    handed_out: Option<Place>,
}

impl FrameReader {
    pub(crate) fn new(connection: Connection, recv: RecvStream) -> Self {
        let window = Window { connection, lease: None, owed: None };
        Self { recv, window, buffer: Vec::new(), rest: Bytes::new(), place: None, handed_out: None }
    }

    /// The next whole frame, length prefix removed. Its place is kept until [`FrameReader::release`].
    ///
    /// # Cancel safety
    /// What was read stays in the buffer, and a place in the queue is kept.
    pub(crate) async fn next(&mut self, terms: &Terms<'_>) -> Result<Bytes, FrameEnd> {
        loop {
            let announced = terms.limit.announced(&self.buffer).map_err(|_| FrameEnd::TooLarge)?;
            let whole = announced.map_or(PREFIX_BYTES, |len| len + PREFIX_BYTES);
            if announced.is_some() && self.buffer.len() == whole {
                self.window.after_frame(whole);
                self.handed_out = self.place.take();
                return Ok(Bytes::from(std::mem::take(&mut self.buffer)).slice(PREFIX_BYTES..));
            }
            if whole > limits::FRAME_BYTES_MAX_UNAUTHENTICATED + PREFIX_BYTES {
                let place = self.place.get_or_insert_with(|| terms.places.ask(terms.owner, whole));
                place.granted().await;
                self.window.before_frame(whole, terms);
            }
            if self.rest.is_empty() {
                self.rest = self.read().await.inspect_err(|_| self.forget())?;
                self.window.read(self.rest.len());
            }
            self.take_in(whole);
        }
    }

    /// The frame handed out last has been dealt with.
    pub(crate) fn release(&mut self) {
        self.handed_out = None;
    }

    /// There will be no next frame: what was read of it is of no use.
    fn forget(&mut self) {
        self.buffer = Vec::new();
        self.place = None;
    }

    /// The next bytes of the stream.
    async fn read(&mut self) -> Result<Bytes, FrameEnd> {
        let lost = async {
            match &self.place {
                Some(place) => place.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            chunk = self.recv.read_chunk(READ_BYTES, true) => match chunk {
                Ok(Some(chunk)) => Ok(chunk.bytes),
                Ok(None) | Err(_) => Err(FrameEnd::Peer),
            },
            () = lost => Err(FrameEnd::TooSlow),
        }
    }

    /// Moves what belongs to the frame of `whole` bytes into the buffer, which grows twofold up to just that.
    fn take_in(&mut self, whole: usize) {
        let taken = self.rest.split_to(self.rest.len().min(whole - self.buffer.len()));
        let needed = self.buffer.len() + taken.len();
        if needed > self.buffer.capacity() {
            let room = needed.max(2 * self.buffer.capacity()).min(whole).max(BUFFER_BYTES_MIN);
            self.buffer.reserve_exact(room - self.buffer.len());
        }
        self.buffer.extend_from_slice(&taken);
        if self.rest.is_empty() {
            self.rest = Bytes::new(); // nothing keeps the packet
        }
        if let Some(place) = &mut self.place {
            place.arrived(self.buffer.len(), self.buffer.len() == whole);
        }
    }
}

/// A link's transport receive window.
struct Window {
    connection: Connection,
    lease: Option<Lease>,
    /// After shrinking: what the peer may still send of what it was promised.
    owed: Option<usize>,
}

impl Window {
    /// A frame that has its place is about to be read.
    fn before_frame(&mut self, whole: usize, terms: &Terms<'_>) {
        if whole > limits::WINDOW_BYTES_MIN as usize
            && self.lease.is_none()
            && let Some(windows) = terms.windows
        {
            self.lease = windows.lease(terms.owner);
            if self.lease.is_some() {
                self.connection.set_receive_window(limits::MEMBER_WINDOW_BYTES.into());
            }
        }
    }

    /// A frame was read: a small one ends a series of large ones.
    fn after_frame(&mut self, whole: usize) {
        if whole <= limits::WINDOW_BYTES_MIN as usize && self.lease.is_some() && self.owed.is_none() {
            self.connection.set_receive_window(limits::WINDOW_BYTES_MIN.into());
            self.owed = Some((limits::MEMBER_WINDOW_BYTES - limits::WINDOW_BYTES_MIN) as usize);
        }
    }

    /// Bytes were taken from the transport.
    fn read(&mut self, bytes: usize) {
        if let Some(owed) = &mut self.owed {
            *owed = owed.saturating_sub(bytes);
            if *owed == 0 {
                self.owed = None;
                self.lease = None;
            }
        }
    }
}
