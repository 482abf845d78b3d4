//! What a link may have sent that its peer has not acknowledged: [`limits::SEND_BYTES_MIN`], and
//! [`limits::MEMBER_SEND_BYTES`] while one of its feeds has much to send and there is room for it among all links.
//!
//! Bytes are copied into the transport, in pieces: it holds what it counts, not the chunk that a piece is cut from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::{Connection, SendStream, VarInt};
use subrosa_protocol::limits;

use crate::intake::Owner;
use crate::places::{Lease, Place, Windows};
use crate::transport::WRITE_TIMEOUT;

/// Handed to the transport at a time.
const PIECE_BYTES: usize = 16 << 10;

/// One link's send window, shared by its feeds.
pub(crate) struct Sending {
    connection: Connection,
    windows: Arc<Windows>,
    owner: Owner,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Feeds that have much to send.
    busy: usize,
    /// Kept until all is acknowledged that was sent under it.
    lease: Option<Lease>,
}

/// Why bytes were not taken.
pub(crate) enum Untaken {
    /// The peer wants no more of this stream, or is gone.
    Peer,
    /// The peer took too little for too long.
    TooSlow,
}

impl Sending {
    pub(crate) fn new(connection: Connection, windows: Arc<Windows>, owner: Owner) -> Arc<Self> {
        Arc::new(Self { connection, windows, owner, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A feed's part in its link's [`Sending`].
pub(crate) struct Sender {
    sending: Arc<Sending>,
    stream: SendStream,
    busy: bool,
    /// Has sent much, and not all of it is known to be acknowledged.
    draining: bool,
}

impl Sender {
    pub(crate) const fn new(sending: Arc<Sending>, stream: SendStream) -> Self {
        Self { sending, stream, busy: false, draining: false }
    }

    /// Hands a chunk to the transport, waiting while the peer has no room.
    ///
    /// # Cancel safety
    /// If dropped, part of the bytes may have been sent: the stream is of no more use.
    pub(crate) async fn send(&mut self, bytes: &[u8], place: Option<&mut Place>) -> Result<(), Untaken> {
        if bytes.len() > limits::SEND_BYTES_MIN as usize {
            self.widen();
        }
        let Some(place) = place else { return write(&mut self.stream, bytes, |_| ()).await };
        let signal = place.signal();
        tokio::select! {
            biased;
            () = signal.lost() => Err(Untaken::TooSlow),
            written = write(&mut self.stream, bytes, |sent| place.arrived(sent, false)) => written,
        }
    }

    fn widen(&mut self) {
        let mut state = self.sending.state();
        if !self.busy {
            self.busy = true;
            state.busy += 1;
        }
        if state.lease.is_none() {
            state.lease = self.sending.windows.lease(self.sending.owner);
        }
        if state.lease.is_some() {
            self.sending.connection.set_send_window(limits::MEMBER_SEND_BYTES.into());
        }
    }

    fn narrow(&mut self) {
        if self.busy {
            self.busy = false;
            let mut state = self.sending.state();
            state.busy -= 1;
            if state.busy == 0 && state.lease.is_some() {
                self.sending.connection.set_send_window(limits::SEND_BYTES_MIN.into());
                self.draining = true;
            }
        }
    }

    /// There is nothing more to send for now: gives the larger window back once what was sent under it is acknowledged,
    /// and then waits for ever.
    ///
    /// # Cancel safety
    /// Safe: to be called again when there is nothing to send again.
    pub(crate) async fn rest(&mut self) {
        self.narrow();
        if self.draining {
            // Under the small window there is room for nothing before the rest is acknowledged.
            if self.stream.write(&[]).await.is_ok() {
                self.draining = false;
                let mut state = self.sending.state();
                if state.busy == 0 {
                    state.lease = None;
                }
            }
        }
        std::future::pending().await
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.stream.reset(VarInt::from_u32(0)); // or the transport would go on sending what it holds
        self.narrow(); // a lease stays the link's until another of its feeds rests, or its end
    }
}

async fn write(stream: &mut SendStream, bytes: &[u8], mut note: impl FnMut(usize)) -> Result<(), Untaken> {
    let mut sent = 0;
    while sent < bytes.len() {
        let piece = &bytes[sent..bytes.len().min(sent + PIECE_BYTES)];
        sent += match tokio::time::timeout(WRITE_TIMEOUT, stream.write(piece)).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(_)) => return Err(Untaken::Peer),
            Err(_) => return Err(Untaken::TooSlow),
        };
        note(sent);
    }
    Ok(())
}
