//! A line between one device and a relay: it takes its time, and counts what goes over it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::now;

/// The largest datagram.
const DATAGRAM_BYTES_MAX: usize = 1 << 16;
/// Set in the first byte of a packet of QUIC's handshake, and clear in all others (RFC 9000, section 17).
const LONG_HEADER: u8 = 0x80;

/// What went over a line, both ways, in bytes of UDP payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    /// Those of datagrams that begin with a packet of the handshake.
    pub(crate) handshake_bytes: u64,
}

#[derive(Default)]
struct Counts {
    datagrams: AtomicU64,
    bytes: AtomicU64,
    handshake_bytes: AtomicU64,
}

/// The line, for one device at a time. Its threads end with the process.
pub(crate) struct Line {
    addr: SocketAddr,
    counts: Arc<Counts>,
}

impl Line {
    /// A line to `relay` that takes `delay` each way.
    pub(crate) fn to(relay: SocketAddr, delay: Duration) -> io::Result<Self> {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        far.connect(relay)?;
        let (addr, counts) = (near.local_addr()?, Arc::new(Counts::default()));
        // Whoever spoke last is the device.
        let device = Arc::new(Mutex::new(relay));
        let (near, far) = (Arc::new(near), Arc::new(far));
        let (from, to, heard) = (near.clone(), far.clone(), device.clone());
        let receive = move |buffer: &mut [u8]| {
            let (bytes, from) = from.recv_from(buffer)?;
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = from;
            Ok(bytes)
        };
        carry(delay, counts.clone(), receive, move |datagram| to.send(datagram));
        let receive = move |buffer: &mut [u8]| far.recv(buffer);
        carry(delay, counts.clone(), receive, move |datagram| {
            let to = *device.lock().unwrap_or_else(PoisonError::into_inner);
            near.send_to(datagram, to)
        });
        Ok(Self { addr, counts })
    }

    /// Where the device is to go.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What went over it since this was asked.
    pub(crate) fn take(&self) -> Carried {
        let take = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        let Counts { datagrams, bytes, handshake_bytes } = &*self.counts;
        Carried { datagrams: take(datagrams), bytes: take(bytes), handshake_bytes: take(handshake_bytes) }
    }
}

/// Carries what is received in one direction, each after its time.
fn carry(
    delay: Duration,
    counts: Arc<Counts>,
    receive: impl Fn(&mut [u8]) -> io::Result<usize> + Send + 'static,
    send: impl Fn(&[u8]) -> io::Result<usize> + Send + 'static,
) {
    let (underway, arriving) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // An error says that nobody listened to what was sent before.
            let Ok(bytes) = receive(&mut buffer) else { continue };
            let datagram = buffer[..bytes].to_vec();
            counts.datagrams.fetch_add(1, Ordering::SeqCst);
            counts.bytes.fetch_add(bytes as u64, Ordering::SeqCst);
            if datagram.first().is_some_and(|first| first & LONG_HEADER != 0) {
                counts.handshake_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
            }
            if underway.send((now() + delay, datagram)).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, datagram) in arriving {
            std::thread::sleep(due.saturating_duration_since(now()));
            drop(send(&datagram));
        }
    });
}
